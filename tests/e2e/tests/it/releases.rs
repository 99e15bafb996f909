//! Releases beside each other: the schema may be one release ahead of a process.

use anyhow::{Context as _, Result, ensure};
use audit::Places;
use e2e::shops;
use operator::{Shop, Signal};
use stores::{Home, Psql, Tools};

use crate::shopper::{Shopper, Staff, booked};

/// What the next release's migration may do: a table more, and a column more in every table. Noted where the
/// context's own migrations are noted, and those of messaging.
const EXPANSION: &str = "
    create table of_the_next_release (id bigint primary key);
    do $$
    declare widened regclass;
    begin
        for widened in
            select oid from pg_class
            where relkind in ('r', 'p') and not relispartition
                and relnamespace in ('public'::regnamespace, 'messaging'::regnamespace)
                and relname !~ 'migrations$'
        loop
            execute format('alter table %s add column of_the_next_release text', widened);
        end loop;
    end $$;
    insert into _sqlx_migrations values (9000, 'of the next release', now(), true, '', 0);
    insert into messaging._migrations values (9000, 'of the next release', now(), true, '', 0);";

pub async fn a_release_serves_a_schema_that_is_one_migration_ahead() -> Result<()> {
    let shop = shops::open("rolled-back", |_| ()).await?;
    let done = roll_back(&shop).await;
    shops::close_after("rolled-back", shop, done).await
}

/// The processes that run see the schema grow under them, and those that start find it grown.
async fn roll_back(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let places = Places::of(shop);
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
    for url in places.databases.values().flatten() {
        psql.run(url, EXPANSION)?;
    }
    confirmed(shop, &shopper, &product).await.context("while the schema is ahead")?;
    for service in places.databases.keys() {
        let stopped = shop.process(service);
        shop.kill(service, Signal::KILL)?;
        shop.ready_after(service, stopped).await?;
    }
    confirmed(shop, &shopper, &product).await.context("started on a schema that is ahead")?;
    staff.stock_is(&product, 8, 0, 2).await;
    Ok(())
}

async fn confirmed(shop: &Shop, shopper: &Shopper, product: &str) -> Result<()> {
    let order = shopper.order_patiently(product).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    shopper.cart_is_empty().await;
    ensure!(booked(shop, &order).await? == (250, 0, 1), "charged once: {order}");
    Ok(())
}
