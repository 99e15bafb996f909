//! What an order costs PostgreSQL stays what is recorded in `exchanges.json`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use e2e::shops;
use load::orders::{Exchanges, count};
use operator::layout::Layout;
use stores::Home;

const SHOP: &str = "exchanges";
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/exchanges.json");

#[tokio::test(flavor = "multi_thread")]
async fn an_order_costs_the_exchanges_and_rows_that_are_recorded() {
    let statements = |options: &mut operator::Options| {
        options.stores.statements = true;
        options.shards = 1;
    };
    let shop = shops::open(SHOP, statements).await.unwrap();
    let server = shop.endpoints().postgres_url.clone();
    let folder = Home::find().unwrap().path().join("e2e").join(SHOP).join("run");
    let counting = move || count(&Layout::at(&folder), &server);
    let counted = tokio::task::spawn_blocking(counting).await.unwrap();
    if counted.is_err() {
        shops::print_logs(&shop);
    }
    shops::close(SHOP, shop).await.unwrap();
    let now = counted.unwrap();
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
