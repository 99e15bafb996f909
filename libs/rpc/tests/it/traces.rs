//! One trace on both sides of a call.

use rpc::ServerOptions;
use tracing::Instrument as _;

use crate::callee::{Callee, GET, call};
use crate::world::World;

#[tokio::test]
async fn the_handler_continues_the_callers_trace() {
    let settings = telemetry::Options { trace_ratio: 1.0, ..telemetry::Options::default() };
    let _guard = telemetry::init("rpc-test", &settings).unwrap();
    let world = World::new();
    let trace = Callee::new(|_| async {
        let span = tracing::Span::current();
        let trace = telemetry::context::trace_id(&span);
        Ok(format!("{} {}", trace.unwrap(), telemetry::context::current().unwrap()))
    });
    let server = world.serve(trace, ServerOptions::default()).await;
    let channel = world.channel("gateway", &[server.address]);

    let span = tracing::info_span!("checkout");
    let ours = telemetry::context::trace_id(&span).unwrap();
    let answer = call(&channel, GET, "").instrument(span).await.unwrap();
    let (theirs, traceparent) = answer.split_once(' ').unwrap();
    assert_eq!(theirs, ours);
    assert!(traceparent.ends_with("-01"), "recorded like its parent: {traceparent}");

    // Outside of any span the call itself begins a trace.
    let other = call(&channel, GET, "").await.unwrap();
    assert!(!other.starts_with(&ours));
}
