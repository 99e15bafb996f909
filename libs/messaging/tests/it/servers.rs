//! On which nats-server these tests run.

use stores::{Home, Source, Tools};
use testkit::eventually;

use crate::bench::{Context, SOON};

/// Whoever names a server gets that one, and not silently another.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_the_one_that_was_named() {
    let program = Tools::find(&Home::find().unwrap()).nats.expect("a nats-server");
    let named = std::env::var_os(stores::NATS_VARIABLE).is_some();
    assert_eq!(program.source == Source::Named, named);
    let context = Context::new(1).await;
    let connected = async || context.bus.is_connected().then_some(());
    eventually("connected", SOON, connected).await;
    let running = context.bus.client().server_info().version;
    println!("nats-server {running}");
    assert_eq!(running, program.version);
}
