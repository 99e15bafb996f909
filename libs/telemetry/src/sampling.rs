//! Which traces are recorded. A request that arrives with a decision keeps it (parent-based); this decides the rest.

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// On a span that is recorded whatever the share is, unless that is 0, or its parent is not recorded: somebody looks at the result.
pub(crate) const ALWAYS: &str = "souk.always_recorded";

/// The decision for a span without a parent: a share of them, whatever says [`ALWAYS`], and whatever is linked to a recorded trace. A handler's
/// batch has no parent but links to the trace of each message in it; without the second rule the batch would be
/// missing from nearly every trace that somebody asked for.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    share: Sampler,
    /// A share of nothing is a switch.
    is_on: bool,
}

impl Root {
    /// `ratio` is the share of traces recorded, 0 to 1.
    pub(crate) fn new(ratio: f64) -> Self {
        Self { share: Sampler::TraceIdRatioBased(ratio), is_on: ratio > 0.0 }
    }
}

impl ShouldSample for Root {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let always = self.is_on && attributes.iter().any(|it| it.key.as_str() == ALWAYS);
        if always || links.iter().any(|link| link.span_context.is_sampled()) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            };
        }
        self.share.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
