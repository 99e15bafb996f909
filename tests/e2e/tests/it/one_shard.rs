//! One of two shards is away: its users are told so, and the others buy as ever, also from services that start
//! meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use futures_util::future::try_join_all;
use kernel::{Shard, UserId};
use operator::databases::accept_connections;
use operator::{Shop, Signal};
use stores::{Home, Psql, Tools};

use crate::shopper::{Shopper, Staff, text};

const SHARDED: [&str; 2] = ["cart", "order"];
const OUTAGE: Duration = Duration::from_secs(8);

pub async fn a_shard_that_is_away_costs_its_own_users_only() -> Result<()> {
    let shop = shops::open("one-shard", |_| ()).await?;
    let done = outage(&shop).await;
    shops::close_after("one-shard", shop, done).await
}

async fn outage(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let product = staff.product(10_000).await?;
    let (mut here, mut away) = (Vec::new(), Vec::new());
    while here.len() < 4 || away.len() < 2 {
        let shopper = Shopper::new(shop).await?;
        let user: UserId = text(&shopper.get("/v1/me").await?, "user_id").parse()?;
        if user.shard() < Shard(128) { here.push(shopper) } else { away.push(shopper) }
    }
    let waiting = away[0].order(&product, 1).await?;
    second_shard(shop, false)?;

    let orders = try_join_all(here.iter().map(|it| buys_on(it, &product))).await?;
    let refused = away[1].get("/v1/cart").await;
    ensure!(refused.is_err(), "its shard is away: {refused:?}");
    for service in SHARDED {
        let killed = shop.process(service);
        shop.kill(service, Signal::KILL)?;
        shop.ready_after(service, killed).await.context("with one of its two databases")?;
    }
    let more = try_join_all(here.iter().map(|it| buys_on(it, &product))).await?;
    let (before, after): (usize, usize) = (orders.iter().sum(), more.iter().sum());
    println!(
        "  {before} orders while a shard was away, {after} after a start, none of them failed"
    );
    ensure!(before > 0 && after > 0, "nobody bought");

    second_shard(shop, true)?;
    away[0].settles(&waiting).await?;
    let order = away[1].order_patiently(&product).await?;
    away[1].reaches(&order, "confirmed").await?;
    Ok(())
}

/// Orders one thing after the other for a while; how many, or the first that failed.
async fn buys_on(shopper: &Shopper, product: &str) -> Result<usize> {
    let (began, mut orders) = (Instant::now(), 0);
    while began.elapsed() < OUTAGE {
        let order = shopper.order(product, 1).await?;
        shopper.reaches(&order, "confirmed").await?;
        shopper.cart_is_empty().await;
        orders += 1;
    }
    Ok(orders)
}

/// Takes the second database of each sharded context away, or gives it back.
fn second_shard(shop: &Shop, there: bool) -> Result<()> {
    let psql = Psql::of(&Tools::find(&Home::find()?)).context("psql is beside the server")?;
    let away = |context| accept_connections(&psql, shop.database_urls(context), 1, there);
    SHARDED.into_iter().try_for_each(away)
}
