//! The way out for spans: bounded in memory, soon (a trace can be shown right after its order), and never in the way
//! of a request. What does not fit or cannot be sent is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_otlp::{RetryPolicy, SpanExporter as OtlpExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};
use prometheus::IntCounter;

use crate::catalogue::SPANS;
use crate::options;

/// Spans kept while the collector is slow.
const QUEUE_MAX: usize = 2048;
const BATCH_MAX: usize = 512;
/// How long a span waits for others.
const DELAY: Duration = Duration::from_millis(100);
const CONNECT_MAX: Duration = Duration::from_secs(1);
const EXPORT_MAX: Duration = Duration::from_secs(2);

/// A batch processor in front of the OTLP collector at `url`. Connects when the first span goes out.
pub(crate) fn processor(url: &str) -> anyhow::Result<impl SpanProcessor + use<>> {
    let channel =
        options::endpoint(url)?.connect_timeout(CONNECT_MAX).timeout(EXPORT_MAX).connect_lazy();
    // No retry: the next batch is a tenth of a second away, and a collector that is down must not hold back a stop.
    let inner = OtlpExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    Ok(bounded(inner, url.to_owned()))
}

fn bounded<E: SpanExporter + 'static>(inner: E, url: String) -> Bounded {
    let queued = Arc::new(AtomicUsize::new(0));
    let exporter = Watched {
        inner,
        url,
        queued: Arc::clone(&queued),
        failing: AtomicBool::new(false),
        count: Counters::new(),
    };
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_MAX)
        .with_max_export_batch_size(BATCH_MAX)
        .with_scheduled_delay(DELAY)
        .build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    Bounded { batches, queued, overflow: Counters::new().overflow }
}

/// Spans by what became of them.
#[derive(Debug)]
struct Counters {
    exported: IntCounter,
    failed: IntCounter,
    overflow: IntCounter,
}

impl Counters {
    fn new() -> Self {
        let outcome = |name: &str| SPANS.with_label_values(&[name]);
        Self {
            exported: outcome("exported"),
            failed: outcome("export_failed"),
            overflow: outcome("queue_full"),
        }
    }
}

/// Counts what the queue holds, because the batch processor drops silently when it is full.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    queued: Arc<AtomicUsize>,
    overflow: IntCounter,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Ordering::AcqRel) >= QUEUE_MAX {
            self.queued.fetch_sub(1, Ordering::AcqRel);
            self.overflow.inc();
            return;
        }
        self.batches.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Says once that the collector went away and once that it is back, and counts.
#[derive(Debug)]
struct Watched<E> {
    inner: E,
    url: String,
    queued: Arc<AtomicUsize>,
    failing: AtomicBool,
    count: Counters,
}

impl<E: SpanExporter> Watched<E> {
    fn record(&self, spans: usize, result: &OTelSdkResult) {
        self.queued.fetch_sub(spans, Ordering::AcqRel);
        let counter = if result.is_ok() { &self.count.exported } else { &self.count.failed };
        counter.inc_by(spans as u64);
        let was_failing = self.failing.swap(result.is_err(), Ordering::AcqRel);
        match result {
            Err(error) if !was_failing => {
                tracing::warn!(collector = %self.url, error = %error, "spans cannot be exported and are dropped");
            }
            Ok(()) if was_failing => {
                tracing::info!(collector = %self.url, "spans are exported again")
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.record(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use opentelemetry::trace::{Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;
    use crate::Guard;

    /// A collector that takes the connection and never answers.
    fn black_hole() -> (std::net::TcpListener, String) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        (listener, url)
    }

    fn provider(url: &str) -> SdkTracerProvider {
        SdkTracerProvider::builder().with_span_processor(processor(url).expect("a url")).build()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_does_not_fit_is_dropped_and_counted() {
        let (_listener, url) = black_hole();
        let provider = provider(&url);
        let overflow = Counters::new().overflow;
        let before = overflow.get();
        let tracer = provider.tracer("test");
        let started = Instant::now();
        for _ in 0..QUEUE_MAX + 10 {
            drop(tracer.start("span"));
        }
        assert_eq!(overflow.get() - before, 10);
        assert!(
            started.elapsed() < EXPORT_MAX,
            "nobody waited for the collector: {:?}",
            started.elapsed()
        );
        let _ = provider.shutdown_with_timeout(Duration::ZERO); // dropping it would wait for the collector
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_collector_that_does_not_answer_does_not_hold_back_the_end() {
        let (_listener, url) = black_hole();
        let provider = provider(&url);
        drop(provider.tracer("test").start("span"));
        let started = Instant::now();
        tokio::task::spawn_blocking(|| Guard { provider: Some(provider) }.shutdown())
            .await
            .expect("no panic");
        assert!(
            started.elapsed() < crate::FLUSH_MAX + Duration::from_millis(500),
            "{:?}",
            started.elapsed()
        );
    }
}
