//! What an order costs PostgreSQL stays what is recorded in `exchanges.json`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use e2e::shops;
use load::orders::{Counts, Exchanges, GROUP, count};
use operator::layout::Layout;
use operator::plan::CONTEXTS;
use stores::Home;

const SHOP: &str = "exchanges";
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/exchanges.json");
const GATHER_EVENTS: &str = "SOUK_BATCH_INTERVAL_MS";
/// In this time a slow machine, too, does what a group does at one step, so each makes the same batches of its events.
const LONG: &str = "500";
/// An order that is alone has nothing to gather.
const AS_USUAL: &str = "20";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_costs_the_exchanges_and_rows_that_are_recorded() {
    let alone = counts(1, AS_USUAL).await;
    let now = Exchanges { alone, together: counts(GROUP, LONG).await };
    println!("{now}");
    if std::env::var_os("SOUK_WRITE_EXCHANGES").is_some() {
        std::fs::write(RECORD, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
    }
    let recorded: Exchanges = serde_json::from_slice(&std::fs::read(RECORD).unwrap()).unwrap();
    let differences = now.differences(&recorded);
    assert!(
        differences.is_empty(),
        "{differences:#?}\nnow:\n{now}\nSOUK_SHOW_STATEMENTS=1 prints each statement. If that is meant: \
         SOUK_WRITE_EXCHANGES=1 cargo test -p load --test exchanges"
    );
}

/// Of so many orders, in a shop whose processes gather events so long, in milliseconds.
async fn counts(orders: usize, gathering: &str) -> Counts {
    let set = |options: &mut operator::Options| {
        options.stores.statements = true;
        options.shards = 1;
        let each = CONTEXTS.map(|(it, _)| (it.into(), GATHER_EVENTS.into(), gathering.into()));
        options.environment = each.into();
    };
    let shop = shops::open(SHOP, set).await.unwrap();
    let server = shop.endpoints().postgres_url.clone();
    let folder = Home::find().unwrap().path().join("e2e").join(SHOP).join("run");
    let counting = move || count(&Layout::at(&folder), &server, orders);
    let counted = tokio::task::spawn_blocking(counting).await.unwrap();
    if counted.is_err() {
        shops::print_logs(&shop);
    }
    shops::close(SHOP, shop).await.unwrap();
    counted.unwrap()
}
