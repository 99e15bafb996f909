//! Telemetry of a process against a collector of its own, over real gRPC.

mod collector;
mod reference;

use std::time::{Duration, Instant};

use telemetry::{LogFormat, Options, context};

use crate::collector::Collector;

/// The global subscriber can be installed once in a process, hence one test, told in order.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a process has one subscriber: told in order")]
async fn spans_reach_the_collector_when_there_is_one() {
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|port| port.local_addr())
        .expect("a port");
    let options = Options {
        log_format: LogFormat::Json,
        trace_ratio: 0.0,
        environment: "test".to_owned(),
        otlp_endpoint: Some(format!("http://{address}")),
        ..Options::default()
    };
    let guard = telemetry::init("shop", &options).expect("telemetry");

    // Nobody is there: spans are dropped and counted, and nothing else happens.
    request("lost", RECORDED);
    eventually("dropped spans are counted", || spans("export_failed") >= 1).await;

    let collector = Collector::start(address).await;
    request("POST /v1/orders", RECORDED);
    request("GET /v1/products", NOT_RECORDED);
    eventually("the span arrives", || {
        collector.spans().iter().any(|span| span.name == "POST /v1/orders")
    })
    .await;
    eventually("it is counted", || spans("exported") >= 1).await;

    let order = collector
        .spans()
        .into_iter()
        .find(|span| span.name == "POST /v1/orders")
        .expect("it arrived");
    let instance = order.resource["service.instance.id"].clone();
    assert_eq!(instance.len(), 36, "{instance}");
    for (name, value) in [
        ("service.name", "shop"),
        ("service.namespace", "souk"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(order.resource.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(order.trace_id, RECORDED[3..35]);
    assert_eq!(order.parent_id, RECORDED[36..52]);
    assert_eq!(order.links, [LINKED[3..35].to_owned()]);

    // What is not sent yet at the end is sent then.
    request("last", RECORDED);
    let sent = tokio::task::spawn_blocking(|| guard.shutdown());
    tokio::time::timeout(Duration::from_secs(10), sent).await.expect("it ends").expect("no panic");
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert!(names.iter().any(|name| name == "last"), "{names:?}");
    assert!(!names.iter().any(|name| name == "GET /v1/products"), "{names:?}");

    let again = telemetry::init("another", &options).expect("a second init does nothing");
    again.shutdown();
}

const RECORDED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_RECORDED: &str = "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const LINKED: &str = "00-6bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A request of somebody who sent `traceparent`.
fn request(name: &'static str, traceparent: &str) {
    let span = tracing::info_span!("request", otel.name = name, otel.kind = "server");
    context::continue_from(&span, traceparent);
    context::link(&span, LINKED);
    span.in_scope(|| tracing::info!("handled"));
}

/// The counter `souk_spans_total` as an operator sees it.
fn spans(outcome: &str) -> u64 {
    let metrics = telemetry::render_metrics();
    let prefix = format!("souk_spans_total{{outcome=\"{outcome}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok()).unwrap_or(0)
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < limit, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
