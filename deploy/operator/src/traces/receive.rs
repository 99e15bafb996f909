//! Taking spans in, by OTLP over gRPC.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceService;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tonic::{Request, Response, Status};

use super::keep::Kept;
use super::span::{Span, hex, text};

/// The service that exporters call.
#[derive(Debug)]
pub(super) struct Receiver {
    kept: Arc<Kept>,
}

impl Receiver {
    pub(super) fn new(kept: &Arc<Kept>) -> Self {
        Self { kept: Arc::clone(kept) }
    }
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let groups = request.into_inner().resource_spans;
        self.kept.add(groups.into_iter().flat_map(spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Each span with its trace's id.
fn spans(group: ResourceSpans) -> impl Iterator<Item = (String, Span)> {
    let service = service(&group);
    let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
    spans.map(move |span| (hex(&span.trace_id), Span::received(&service, span)))
}

fn service(group: &ResourceSpans) -> String {
    let attributes = group.resource.iter().flat_map(|resource| &resource.attributes);
    let mut names = attributes.filter(|attribute| attribute.key == "service.name");
    names.find_map(|name| name.value.clone()).map(text).unwrap_or_else(|| "unknown".to_owned())
}
