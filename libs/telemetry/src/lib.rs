//! Traces, metrics and logs of a process, and the one way in which a trace crosses a process boundary.
//!
//! A trace travels as a W3C `traceparent` string, whether the carrier is an HTTP header, gRPC metadata, a NATS
//! header or a column of the outbox ([`context`]). Log lines carry the trace id of the span they were written in, so
//! a line leads to its trace and back. Metrics are pulled (all of them: [`catalogue`]), spans are pushed to an OTLP collector if
//! there is one; a collector that is away costs spans, never requests.

mod options;
mod lines;
mod sampling;
mod export;
mod panics;
mod process;
pub mod catalogue;
pub mod context;
pub mod metrics;
pub mod span;

pub use options::{LogFormat, Options};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, Sampler, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;

use crate::lines::Lines;

/// How long [`Guard::shutdown`] may take when the collector does not answer.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Keeps the exporter of this process; whoever holds it ends telemetry with [`Guard::shutdown`].
#[must_use = "spans that were not exported yet are lost without `shutdown`"]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Guard {
    /// Sends the spans that are still in memory, for at most two seconds. Blocks, and needs the tokio runtime to be
    /// alive: call it beside the runtime, not on one of its workers.
    pub fn shutdown(self) {
        if let Some(provider) = self.provider {
            // The only failure is that the time was not enough; then the spans are lost, as they are for an outage.
            let _ = provider.shutdown_with_timeout(FLUSH_MAX);
        }
    }
}

/// Installs logs and traces for the process. `service` is the process's name in both.
///
/// With an OTLP endpoint this must be called inside a tokio runtime. A second call in one process changes nothing and
/// returns a guard that does nothing, so that tests may start several services side by side.
///
/// # Errors
/// The log filter or the endpoint cannot be read. (The command line has checked both already.)
pub fn init(service: &'static str, options: &Options) -> anyhow::Result<Guard> {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.swap(true, Ordering::SeqCst) {
        return Ok(Guard { provider: None });
    }
    let (subscriber, provider) = subscriber(service, options, std::io::stdout)?;
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        return Ok(Guard { provider: None });
    }
    panics::log();
    Ok(Guard { provider: Some(provider) })
}

/// All metrics, in Prometheus's text format.
#[must_use]
pub fn render_metrics() -> String {
    process::measure();
    metrics::encode()
}

/// The layers: spans go to OpenTelemetry, events to the log, each behind its own filter, so that a quieter log does
/// not cut traces and a louder one does not fill them with the spans of libraries.
fn subscriber<W>(
    service: &'static str,
    options: &Options,
    writer: W,
) -> anyhow::Result<(impl Subscriber + Send + Sync + use<W>, SdkTracerProvider)>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let provider = provider(service, options)?;
    // Everything the bridge can add by itself (code location, thread, busy time) costs allocations in each span.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("souk"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_filter(filter_fn(in_traces).with_max_level_hint(LevelFilter::INFO));
    let lines = Lines::new(service, options.log_style(), writer).with_filter(
        options.log_filter()?.and(filter_fn(in_log).with_max_level_hint(LevelFilter::TRACE)),
    );
    Ok((Registry::default().with(spans).with(lines), provider))
}

/// Spans from INFO up. Events only from WARN up: the log has the others, under the same trace id.
fn in_traces(metadata: &Metadata<'_>) -> bool {
    let quietest = if metadata.is_span() { tracing::Level::INFO } else { tracing::Level::WARN };
    *metadata.level() <= quietest
}

/// The log has no use for spans: a line names its trace by itself.
fn in_log(metadata: &Metadata<'_>) -> bool {
    metadata.is_event()
}

fn provider(service: &'static str, options: &Options) -> anyhow::Result<SdkTracerProvider> {
    let root = sampling::Root::new(options.trace_ratio);
    let mut builder = SdkTracerProvider::builder()
        .with_resource(resource(service, options))
        .with_sampler(Sampler::ParentBased(Box::new(root)));
    if let Some(endpoint) = options.collector() {
        builder = builder.with_span_processor(export::processor(endpoint)?);
    }
    Ok(builder.build())
}

/// Who sends spans. `OTEL_RESOURCE_ATTRIBUTES` may add to it.
fn resource(service: &'static str, options: &Options) -> Resource {
    let instance = RandomIdGenerator::default().new_trace_id().to_bytes();
    let instance = uuid::Builder::from_random_bytes(instance).into_uuid();
    let attributes = [
        KeyValue::new("service.namespace", "souk"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_string()),
        KeyValue::new("deployment.environment.name", options.environment.clone()),
    ];
    Resource::builder().with_service_name(service).with_attributes(attributes).build()
}

#[cfg(test)]
mod tests;
