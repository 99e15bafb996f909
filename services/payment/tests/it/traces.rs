//! One trace from the order's event to ours.

use testkit::eventually;
use tracing::{Instrument as _, info_span};

use crate::shop::{SOON, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_continues_the_trace_of_the_order() {
    let options =
        telemetry::Options { log: "off".into(), trace_ratio: 1.0, ..telemetry::Options::default() };
    let _guard = telemetry::init("payment-test", &options).unwrap();
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let span = info_span!("checkout");
    let trace = telemetry::context::trace_id(&span).unwrap();
    let order = shop.hold(&customer, 1250).instrument(span).await;
    shop.until(order, "captured").await;
    shop.cancel(order).await;
    eventually("both are published", SOON, async || {
        let ours = format!("messaging.outbox where aggregate_id = '{order}'");
        (shop.count(&ours) == 2).then_some(())
    })
    .await;
    let of_order = format!("aggregate_id = '{order}' and traceparent like '%{trace}%'");
    let captured = format!("messaging.outbox where type like '%.PaymentCaptured' and {of_order}");
    assert_eq!(shop.count(&captured), 1);
    let row = format!("payments where order_id = '{order}' and traceparent like '%{trace}%'");
    assert_eq!(shop.count(&row), 1);
}
