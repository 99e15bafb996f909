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
    // The client says that it is connected a moment before it says to whom.
    let who = async || context.bus.client().try_server_info();
    let running = eventually("who answers", SOON, who).await;
    println!("nats-server {}", running.version);
    assert_eq!(running.version, program.version);
}
