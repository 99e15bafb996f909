//! Metrics of the process, pulled in Prometheus's text format from the admin port.
//!
//! Names: `souk_<what>_<unit>`, counters end in `_total`. Labels have few values: a route, never an id.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use prometheus;

/// The house buckets for durations: seconds, 1-2-5 from half a millisecond to ten seconds.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The registry of this process; what the process itself uses (memory, CPU, file descriptors) is in it.
pub fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
        let registry = Registry::new();
        let process = registry.register(Box::new(crate::process::Usage::new()));
        debug_assert!(process.is_ok(), "{process:?}");
        registry
    });
    &REGISTRY
}

/// Everything registered, in Prometheus's text format.
#[must_use]
pub fn render() -> String {
    TextEncoder::new().encode_to_string(&registry().gather()).unwrap_or_else(|error| {
        tracing::error!(%error, "metrics cannot be rendered");
        String::new()
    })
}

/// A counter. As with each constructor here, asking again for a name returns the metric that is there.
///
/// # Panics
/// The name is in use for a metric of another kind, or is not a Prometheus name: a mistake in the source.
pub fn counter(name: &str, help: &str) -> IntCounter {
    register(name, || IntCounter::new(name, help))
}

/// A counter by labels. Panics like [`counter`].
pub fn counter_vec(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(name, || IntCounterVec::new(Opts::new(name, help), labels))
}

/// A gauge of whole things. Panics like [`counter`].
pub fn gauge(name: &str, help: &str) -> IntGauge {
    register(name, || IntGauge::new(name, help))
}

/// A gauge of fractions, such as seconds. Panics like [`counter`].
pub fn gauge_f64(name: &str, help: &str) -> Gauge {
    register(name, || Gauge::new(name, help))
}

/// A gauge of whole things by labels. Panics like [`counter`].
pub fn gauge_vec(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(name, || IntGaugeVec::new(Opts::new(name, help), labels))
}

/// A histogram of durations in seconds. Panics like [`counter`].
pub fn histogram(name: &str, help: &str) -> Histogram {
    register(name, || {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
    })
}

/// A histogram of durations in seconds by labels. Panics like [`counter`].
pub fn histogram_vec(name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    histogram_vec_with(name, help, labels, SECONDS)
}

/// A histogram by labels with buckets of its own, for what is not a duration. Panics like [`counter`].
pub fn histogram_vec_with(
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> HistogramVec {
    register(name, || {
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
    })
}

/// One metric per name and process, however many components (or services, in a test) ask for it.
fn register<C>(name: &str, make: impl FnOnce() -> prometheus::Result<C>) -> C
where
    C: Collector + Clone + 'static,
{
    static KNOWN: LazyLock<Mutex<HashMap<String, Box<dyn Any + Send>>>> =
        LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(existing) = known.get(name) {
        let same_kind = existing.downcast_ref::<C>();
        return same_kind
            .cloned()
            .unwrap_or_else(|| panic!("metric {name} is registered as another kind"));
    }
    let metric = make().unwrap_or_else(|error| panic!("metric {name}: {error}"));
    if let Err(error) = registry().register(Box::new(metric.clone())) {
        panic!("metric {name}: {error}");
    }
    known.insert(name.to_owned(), Box::new(metric.clone()));
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_counter() {
        counter_vec("souk_test_seen_total", "Seen.", &["what"]).with_label_values(&["tree"]).inc();
        counter_vec("souk_test_seen_total", "Seen.", &["what"])
            .with_label_values(&["tree"])
            .inc_by(2);
        assert!(render().contains("souk_test_seen_total{what=\"tree\"} 3\n"), "{}", render());
    }

    #[test]
    #[should_panic(expected = "another kind")]
    fn a_name_has_one_kind() {
        counter("souk_test_kind_total", "A counter.");
        gauge("souk_test_kind_total", "A gauge.");
    }

    #[test]
    fn durations_fall_into_the_house_buckets() {
        histogram_vec("souk_test_seconds", "Time.", &["route"])
            .with_label_values(&["/"])
            .observe(0.003);
        let text = render();
        assert!(text.contains("souk_test_seconds_bucket{route=\"/\",le=\"0.002\"} 0\n"), "{text}");
        assert!(text.contains("souk_test_seconds_bucket{route=\"/\",le=\"0.005\"} 1\n"), "{text}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_counts_itself() {
        let text = render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
            line.rsplit(' ').next().expect("a value").parse().expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
