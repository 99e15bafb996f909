//! The spans of an order, one row each: what somebody sees who opens its trace.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use operator::api::Api;
use operator::traces::{Kind, Span, Trace};
use testkit::eventually;

use crate::shopper::SETTLED;

type Attributes = &'static [(&'static str, &'static str)];

/// A span: its process, its kind and name, the process and name of its parent, and attributes. `*` is any text.
type Row = (&'static str, Kind, &'static str, Option<(&'static str, &'static str)>, Attributes);

const PLACE: &str = "souk.order.v1.OrderService/PlaceOrder";
const GET_CART: &str = "souk.cart.v1.CartService/GetCart";
const BEGIN: &str = "souk.cart.v1.CartService/BeginCheckout";
const PRODUCTS: &str = "souk.product.v1.ProductService/BatchGetProducts";
const ADDRESS: &str = "souk.user.v1.UserService/GetAddress";

const RPC: Attributes =
    &[("rpc.system.name", "grpc"), ("rpc.method", "*"), ("rpc.response.status_code", "OK")];
const DATABASE: Attributes = &[
    ("db.system.name", "postgresql"),
    ("db.namespace", "*"),
    ("db.operation.name", "*"),
    ("server.address", "127.0.0.1"),
    ("server.port", "*"),
];
const PUBLISH: Attributes = &[
    ("messaging.system", "nats"),
    ("messaging.operation.name", "publish"),
    ("messaging.operation.type", "send"),
    ("messaging.destination.name", "*"),
    ("messaging.message.id", "*"),
    ("cloudevents.event_subject", "*"),
];
const PROCESS: Attributes = &[
    ("messaging.system", "nats"),
    ("messaging.operation.name", "process"),
    ("messaging.operation.type", "process"),
    ("messaging.destination.name", "*"),
    ("messaging.message.id", "*"),
    ("messaging.consumer.group.name", "*"),
];
const HTTP: Attributes = &[
    ("http.request.method", "POST"),
    ("http.route", "/v1/orders"),
    ("http.response.status_code", "202"),
    ("url.scheme", "http"),
    ("url.path", "/v1/orders"),
    ("network.protocol.version", "1.1"),
];
const PSP: Attributes = &[
    ("http.request.method", "POST"),
    ("http.response.status_code", "200"),
    ("url.full", "*"),
    ("url.template", "/v1/captures"),
    ("server.address", "127.0.0.1"),
    ("server.port", "*"),
];

const PLACED: &str = "publish souk.order.v1.order.order_placed";
const ON_PLACED: &str = "process souk.order.v1.order.order_placed";
const RESERVED: &str = "publish souk.product.v1.order.stock_reserved";
const ON_RESERVED: &str = "process souk.product.v1.order.stock_reserved";
const HELD: &str = "publish souk.order.v1.order.order_stock_held";
const ON_HELD: &str = "process souk.order.v1.order.order_stock_held";
const CAPTURED: &str = "publish souk.payment.v1.order.payment_captured";
const ON_CAPTURED: &str = "process souk.payment.v1.order.payment_captured";
const CONFIRMED: &str = "publish souk.order.v1.order.order_confirmed";
const ON_CONFIRMED: &str = "process souk.order.v1.order.order_confirmed";

/// A database of carts or orders is one of two, so its number is left out.
const SPANS: [Row; 31] = [
    ("gateway", Kind::Server, "POST /v1/orders", None, HTTP),
    ("gateway", Kind::Client, PLACE, Some(("gateway", "POST /v1/orders")), RPC),
    ("gateway", Kind::Client, PLACE, None, &[("server.address", "order")]),
    ("order", Kind::Server, PLACE, Some(("gateway", PLACE)), RPC),
    (
        "order",
        Kind::Server,
        PLACE,
        None,
        &[("souk.caller", "gateway"), ("server.address", "order")],
    ),
    ("order", Kind::Client, "read souk_order_", Some(("order", PLACE)), DATABASE),
    ("order", Kind::Client, GET_CART, Some(("order", PLACE)), RPC),
    ("cart", Kind::Server, GET_CART, Some(("order", GET_CART)), RPC),
    ("cart", Kind::Client, "read souk_cart_", Some(("cart", GET_CART)), DATABASE),
    ("order", Kind::Client, PRODUCTS, Some(("order", PLACE)), RPC),
    ("product", Kind::Server, PRODUCTS, Some(("order", PRODUCTS)), RPC),
    ("product", Kind::Client, "read souk_product", Some(("product", PRODUCTS)), DATABASE),
    ("order", Kind::Client, ADDRESS, Some(("order", PLACE)), RPC),
    ("user", Kind::Server, ADDRESS, Some(("order", ADDRESS)), RPC),
    ("user", Kind::Client, "read souk_user", Some(("user", ADDRESS)), DATABASE),
    ("order", Kind::Client, BEGIN, Some(("order", PLACE)), RPC),
    ("cart", Kind::Server, BEGIN, Some(("order", BEGIN)), RPC),
    ("cart", Kind::Client, "write souk_cart_", Some(("cart", BEGIN)), DATABASE),
    ("order", Kind::Client, "transaction souk_order_", Some(("order", PLACE)), DATABASE),
    ("order", Kind::Producer, PLACED, Some(("order", PLACE)), PUBLISH),
    ("product", Kind::Consumer, ON_PLACED, Some(("order", PLACED)), PROCESS),
    ("product", Kind::Producer, RESERVED, Some(("product", ON_PLACED)), PUBLISH),
    ("order", Kind::Consumer, ON_RESERVED, Some(("product", RESERVED)), PROCESS),
    ("order", Kind::Producer, HELD, Some(("order", ON_RESERVED)), PUBLISH),
    ("payment", Kind::Consumer, ON_HELD, Some(("order", HELD)), PROCESS),
    ("payment", Kind::Internal, "capture payment", Some(("payment", ON_HELD)), &[]),
    ("payment", Kind::Client, "POST /v1/captures", Some(("payment", "capture payment")), PSP),
    ("payment", Kind::Producer, CAPTURED, Some(("payment", "capture payment")), PUBLISH),
    ("order", Kind::Consumer, ON_CAPTURED, Some(("payment", CAPTURED)), PROCESS),
    ("order", Kind::Producer, CONFIRMED, Some(("order", ON_CAPTURED)), PUBLISH),
    ("product", Kind::Consumer, ON_CONFIRMED, Some(("order", CONFIRMED)), PROCESS),
];

/// Waits for every span of the table; and for the batch in which the first event was taken in.
pub async fn compare(collector: &Api, trace_id: &str) -> Result<()> {
    let missing = Mutex::new(Vec::new());
    let all = eventually("every span of the table", SETTLED * 2, async || {
        let trace = fetch(collector, trace_id).await?;
        let now: Vec<&Row> = SPANS.iter().filter(|row| !is_there(&trace, row)).collect();
        let whole = now.is_empty().then(|| trace.clone());
        *missing.lock().unwrap() = now;
        whole
    });
    let Ok(trace) = tokio::time::timeout(SETTLED, all).await else {
        let trace = fetch(collector, trace_id).await;
        anyhow::bail!("not there: {:#?}\namong {trace:#?}", missing.lock().unwrap());
    };
    for row in SPANS.iter().filter(|row| matches!(row.1, Kind::Consumer)) {
        let event = trace.spans.iter().find(|span| span.name == row.2 && span.service == row.0);
        batch_of(collector, event.context("it was there")?, trace_id).await?;
    }
    let failed: Vec<&Span> = trace.spans.iter().filter(|span| span.failed).collect();
    ensure!(failed.is_empty(), "failed: {failed:#?}");
    Ok(())
}

/// The batch is a trace of its own: linked both ways, and with the transaction of all its events.
async fn batch_of(collector: &Api, event: &Span, trace_id: &str) -> Result<()> {
    let [link] = event.links.as_slice() else { anyhow::bail!("not one link: {event:#?}") };
    let batch = eventually("the batch", Duration::from_secs(10), async || {
        let trace = fetch(collector, &link.trace_id).await?;
        let batch = trace.spans.iter().find(|span| span.span_id == link.span_id)?.clone();
        let within = |span: &&Span| span.parent_span_id.as_ref() == Some(&link.span_id);
        trace.spans.iter().filter(within).find(|span| span.name.starts_with("transaction "))?;
        Some(batch)
    })
    .await;
    ensure!(batch.kind == Kind::Consumer && batch.parent_span_id.is_none(), "{batch:#?}");
    ensure!(batch.name.starts_with("process "), "{batch:#?}");
    ensure!(batch.links.iter().any(|back| back.trace_id == trace_id), "{batch:#?}");
    for name in ["messaging.system", "messaging.destination.name", "messaging.batch.message_count"]
    {
        ensure!(batch.attributes.contains_key(name), "no {name}: {batch:#?}");
    }
    Ok(())
}

async fn fetch(collector: &Api, trace_id: &str) -> Option<Trace> {
    collector.get(&format!("/traces/{trace_id}"), None).await.ok()?.json().ok()
}

fn is_there(trace: &Trace, (service, kind, name, parent, attributes): &Row) -> bool {
    let is = |span: &Span, service: &str, name: &str| {
        span.service == service
            && (span.name == name || name.ends_with('_') && span.name.starts_with(name))
    };
    trace.spans.iter().any(|span| {
        let above = trace.spans.iter().find(|it| Some(&it.span_id) == span.parent_span_id.as_ref());
        is(span, service, name)
            && span.kind == *kind
            && parent.is_none_or(|(service, name)| above.is_some_and(|it| is(it, service, name)))
            && attributes.iter().all(|(key, wanted)| {
                span.attributes.get(*key).is_some_and(|text| *wanted == "*" || text == wanted)
            })
    })
}
