//! A request, seen from outside.

use kernel::ProductId;

use crate::client::get;
use crate::world::World;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_trace_goes_on_through_the_gateway() {
    let world = World::new().await;
    let traceparent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let request = get("/v1/me").token().header("traceparent", &traceparent);
    let answer = request.header("tracestate", "rojo=1,congo=2").send(&world).await;
    assert_eq!(answer.header("x-trace-id"), TRACE);
    let seen = world.shop.last("GetUser");
    assert_eq!(seen.tracestate.as_deref(), Some("rojo=1,congo=2"), "what others say, as it came");
    let onward = seen.traceparent.unwrap();
    assert!(onward.starts_with(&format!("00-{TRACE}-")) && onward.ends_with("-01"), "{onward}");
    assert!(!onward.contains("00f067aa0ba902b7"), "the gateway's own span is in between");
}

#[tokio::test]
async fn a_page_is_recorded_unless_its_caller_is_not() {
    let world = World::new().await;
    let traced = |rpc| world.shop.last(rpc).traceparent.unwrap();
    for number in 0..8 {
        get(&format!("/products?category={number}")).send(&world).await;
        assert!(traced("ListProducts").ends_with("-01"), "{}", traced("ListProducts"));
    }
    let unrecorded = format!("00-{TRACE}-00f067aa0ba902b7-00");
    get("/search?q=cup").header("traceparent", &unrecorded).send(&world).await;
    assert!(traced("SearchProducts").ends_with("-00"), "{}", traced("SearchProducts"));
}

#[tokio::test]
async fn every_answer_leads_to_its_trace() {
    let world = World::new().await;
    let mut ids = std::collections::HashSet::new();
    for path in ["/", "/v1/cart", "/nowhere", "/v1/me", "/v1/products/7"] {
        let answer = get(path).send(&world).await;
        let id = answer.header("x-trace-id").to_owned();
        assert_eq!(id.len(), 32, "{path}");
        assert_eq!(answer.header("x-request-id"), id);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(ids.insert(id));
    }
    let own = get("/v1").header("x-request-id", "mine-7").send(&world).await;
    assert_eq!(own.header("x-request-id"), "mine-7");
    let long = get("/v1").header("x-request-id", &"x".repeat(129)).send(&world).await;
    assert_eq!(long.header("x-request-id"), long.header("x-trace-id"));
}

#[tokio::test]
async fn requests_are_counted_by_route_not_by_path() {
    let world = World::new().await;
    let id = ProductId::mint().to_string();
    get(&format!("/v1/products/{id}")).send(&world).await;
    get("/some/path/nobody/serves").send(&world).await;
    let metrics = telemetry::render_metrics();
    for series in [
        r#"http_request_method="GET",http_response_status_code="404",http_route="/v1/products/{id}""#,
        r#"http_request_method="GET",http_response_status_code="404",http_route="""#,
    ] {
        assert!(metrics.contains(series), "{series}");
    }
    assert!(!metrics.contains(&id) && !metrics.contains("/some/path"));
}
