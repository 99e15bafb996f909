//! An OTLP collector that keeps what it gets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A span as received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The attributes of the resource.
    pub resource: BTreeMap<String, String>,
    pub name: String,
    pub trace_id: String,
    pub parent_id: String,
    /// The trace ids.
    pub links: Vec<String>,
}

#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<Received>>>);

impl Collector {
    /// Listens on `address` until the test ends.
    pub async fn start(address: SocketAddr) -> Self {
        let collector = Self::default();
        let listener = TcpListener::bind(address).await.expect("the port is free again");
        let service = TraceServiceServer::new(collector.clone());
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        collector
    }

    pub fn spans(&self) -> Vec<Received> {
        self.0.lock().expect("no panic while receiving").clone()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let received = request.into_inner().resource_spans.into_iter().flat_map(of_resource);
        self.0.lock().expect("no panic while receiving").extend(received);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn of_resource(spans: ResourceSpans) -> Vec<Received> {
    let resource = attributes(&spans);
    let all = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
    all.map(|span| received(&resource, &span)).collect()
}

fn received(resource: &BTreeMap<String, String>, span: &Span) -> Received {
    Received {
        resource: resource.clone(),
        name: span.name.clone(),
        trace_id: hex(&span.trace_id),
        parent_id: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| hex(&link.trace_id)).collect(),
    }
}

fn attributes(spans: &ResourceSpans) -> BTreeMap<String, String> {
    let attributes = spans.resource.iter().flat_map(|resource| &resource.attributes);
    let text = |value: &AnyValue| match &value.value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("no text: {other:?}"),
    };
    attributes.filter_map(|it| Some((it.key.clone(), text(it.value.as_ref()?)))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
