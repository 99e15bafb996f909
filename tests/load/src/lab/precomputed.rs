//! Bestsellers, computed when somebody asks and precomputed.

use std::time::Duration;

use anyhow::{Context as _, Result};
use audit::Places;
use operator::layout::Layout;
use operator::{Options, running};
use stores::{Home, Pgbench, Psql, Tools};

use crate::say;
use crate::table::Table;

/// What the experiment asks.
pub(super) const QUESTION: &str = "A page shows the twenty products of which most pieces were sold within a week. How long does the \
     database take to compute that from ten thousand orders, from a hundred thousand, from a million? And to read it, precomputed a minute ago?";
/// The row of the chart.
pub(super) const ASKED: &str = "computed when asked, ms";

const ORDERS: [u32; 3] = [10_000, 100_000, 1_000_000];
const EACH: Duration = Duration::from_secs(4);
const PRODUCTS: &str = "insert into products (product_id, sku, name, description, category, price_minor, currency)
    select gen_random_uuid(), 'lab-' || n, 'Thing ' || n, '', 'Things', 100, 'GBP' from generate_series(1, 1000) n";
/// As the sessions of a service have it.
const SETTINGS: &str =
    "alter role current_user set enable_seqscan = off; alter role current_user set jit = off;
     alter role current_user set max_parallel_workers_per_gather = 0";
const DEFINITION: &str = "select pg_get_viewdef('bestsellers'::regclass)";
/// In its transaction, as product does it; says how many milliseconds it took.
const REFRESH: &str = "begin; refresh materialized view concurrently bestsellers;
    select extract(epoch from clock_timestamp() - now()) * 1000; commit";
const READ: &str =
    "select product_id, pieces from bestsellers order by pieces desc, product_id limit 20;\n";

/// A shop that refreshes nothing by itself.
pub(crate) fn idle(shop: &mut Options) {
    shop.environment.push(("product".into(), "SOUK_PRODUCT_REFRESH_INTERVAL".into(), "0".into()));
}

/// Fills the database of product, and asks it.
///
/// # Errors
/// When the shop of the folder is not up, or the database refuses something.
pub(super) fn run(layout: &Layout) -> Result<Table> {
    let places = Places::of_running(layout, &running::at(layout)?)?;
    let url = places.of_context("product")?.first().context("no database of products")?.clone();
    let tools = Tools::find(&Home::find()?);
    let pgbench = Pgbench::of(&tools)?;
    let psql = Psql::of(&tools).context("no psql on this machine")?;
    psql.run(&url, SETTINGS)?;
    psql.run(&url, PRODUCTS)?;
    let definition = psql.run(&url, DEFINITION)?;
    let compute = format!(
        "select product_id, pieces from ({}) b order by pieces desc, product_id limit 20;\n",
        definition.trim_end().trim_end_matches(';').replace('\n', " ")
    );
    let ms = |script: &str| anyhow::Ok(1_000.0 / pgbench.run(&url, script, 1, EACH)?);
    let (mut sold, mut rows) = (0, [const { Vec::new() }; 3]);
    for orders in ORDERS {
        say(&format!("---- {orders} orders"));
        let last = orders / 100;
        psql.run(&url, &sell(orders - sold - last))?;
        psql.run(&url, REFRESH)?;
        psql.run(&url, &sell(last))?; // the others are in the view already
        sold = orders;
        rows[0].push(Some(ms(&compute)?));
        rows[1].push(Some(psql.run(&url, REFRESH)?.trim().parse()?));
        rows[2].push(Some(ms(READ)?));
    }
    let mut table = Table::new("", ORDERS.map(|orders| format!("{orders} orders")));
    let names = [ASKED, "refreshed in the background, ms", "then read, ms"];
    for ((name, decimals), figures) in names.into_iter().zip([1, 1, 2]).zip(rows) {
        table.add(name, decimals, figures);
    }
    Ok(table)
}

/// So many orders of three products, some of which sell much better than others.
fn sell(orders: u32) -> String {
    let one = "ids[1 + floor(1000 * power(random(), 3))::int]";
    format!(
        "insert into reservations (order_id, state, product_ids, quantities, version)
         select gen_random_uuid(), 'shipped', array[{one}, {one}, {one}], '{{1,2,3}}', 2
         from generate_series(1, {orders}),
             (select array_agg(product_id) as ids from products where sku like 'lab-%') p;
         \nvacuum analyze reservations"
    )
}
