//! With an exporter's own messages, over the wire.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;

use super::*;
use crate::http::Client;

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..KeyValue::default() }
}

fn request(service: &str) -> ExportTraceServiceRequest {
    let span = otlp::Span {
        trace_id: vec![0xab; 16],
        span_id: vec![2; 8],
        parent_span_id: vec![1; 8],
        name: "souk.order.v1.OrderPlaced".into(),
        kind: otlp::span::SpanKind::Consumer as i32,
        start_time_unix_nano: 5_000_000,
        end_time_unix_nano: 7_500_000,
        attributes: vec![text("peer", "gateway")],
        links: vec![otlp::span::Link {
            trace_id: vec![3; 16],
            span_id: vec![4; 8],
            ..Default::default()
        }],
        ..otlp::Span::default()
    };
    let resource =
        Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
    let scope_spans = vec![otlp::ScopeSpans { spans: vec![span], ..Default::default() }];
    let group = otlp::ResourceSpans { resource: Some(resource), scope_spans, ..Default::default() };
    ExportTraceServiceRequest { resource_spans: vec![group] }
}

#[tokio::test]
async fn what_is_exported_can_be_asked_for() {
    let collector = Collector::start(Limits::default()).await.expect("ports");
    let mut exporter = TraceServiceClient::connect(collector.otlp_url()).await.expect("it listens");
    exporter.export(request("product")).await.expect("taken");
    let client = Client::new(&collector.traces_url());
    let trace_id = "ab".repeat(16);
    let trace = client.get(&format!("/traces/{trace_id}")).await.expect("an answer");
    let trace: Trace = trace.json().expect("a trace");
    let [span] = trace.spans.as_slice() else { panic!("{trace:?}") };
    assert_eq!(span.service, "product");
    assert_eq!((span.kind, span.duration_ns), (Kind::Consumer, 2_500_000));
    assert_eq!(span.parent_span_id.as_deref(), Some("0101010101010101"));
    assert_eq!(span.attributes["peer"], "gateway");
    assert_eq!(span.links, [Link { trace_id: "03".repeat(16), span_id: "04".repeat(8) }]);
    let unknown = client.get("/traces/00").await.expect("an answer");
    assert_eq!(unknown.status, 404);
}
