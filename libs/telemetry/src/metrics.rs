//! Metrics of the process, pulled in Prometheus's text format from the admin port.
//!
//! What there is stands in the [`catalogue`](crate::catalogue). A metric is registered when it is first used. Labels
//! have few values: a route, never an id.

use std::fmt;
use std::ops::Deref;
use std::sync::{LazyLock, OnceLock};

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub use prometheus;

/// The buckets for durations: seconds, 1-2-5 from half a millisecond to ten seconds. Those that OpenTelemetry advises
/// begin at 5 ms, where most calls of this shop are over.
pub const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// The buckets for numbers of things.
const COUNTS: &[f64] = &[1., 2., 4., 8., 16., 32., 64., 128., 256.];

/// How a metric behaves, in Prometheus's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// What is known of a metric before it has a value.
#[derive(Debug)]
pub struct About {
    /// Its name as OpenTelemetry spells names.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// Its unit by UCUM, as OpenTelemetry has it: `s`, `By`, `{event}`, or `1`.
    pub unit: &'static str,
    pub(crate) help: &'static str,
    /// Its labels as OpenTelemetry spells attributes; `name=value` where the value never changes.
    pub labels: &'static [&'static str],
}

impl About {
    /// What it measures, in a sentence or two.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// Its name at `/metrics`: with the unit, and with `_total` for a counter.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }

    fn options(&self) -> Opts {
        let fixed = self.labels.iter().filter_map(|label| label.split_once('='));
        fixed.fold(Opts::new(self.prometheus_name(), self.help()), |options, (name, value)| {
            options.const_label(name.replace('.', "_"), value)
        })
    }

    fn buckets(&self) -> HistogramOpts {
        let buckets = if self.unit == "s" { SECONDS } else { COUNTS };
        HistogramOpts { common_opts: self.options(), buckets: buckets.to_vec() }
    }

    fn variable_labels(&self) -> Vec<String> {
        let variable = self.labels.iter().filter(|label| !label.contains('='));
        variable.map(|label| label.replace('.', "_")).collect()
    }
}

/// A metric of the catalogue. It is used as what it contains, and registered by that.
#[derive(Debug)]
pub struct Metric<M> {
    about: &'static About,
    made: OnceLock<M>,
}

impl<M> Metric<M> {
    pub(crate) const fn new(about: &'static About) -> Self {
        Self { about, made: OnceLock::new() }
    }

    /// What is known of it.
    #[must_use]
    pub const fn about(&self) -> &'static About {
        self.about
    }
}

impl<M: Instrument> Deref for Metric<M> {
    type Target = M;

    /// # Panics
    /// The catalogue is wrong: a test looks at each row of it.
    fn deref(&self) -> &M {
        self.made.get_or_init(|| {
            let name = self.about.name;
            let metric = M::make(self.about).unwrap_or_else(|error| panic!("{name}: {error}"));
            if let Err(error) = REGISTRY.register(Box::new(metric.clone())) {
                panic!("{name}: {error}");
            }
            metric
        })
    }
}

/// A type of metric that the catalogue can contain.
pub trait Instrument: Collector + Clone + 'static {
    /// How it behaves.
    const KIND: Kind;
    /// A new one, not registered yet.
    ///
    /// # Errors
    /// What it is about is nothing for Prometheus.
    fn make(about: &About) -> prometheus::Result<Self>;
}

macro_rules! instruments {
    ($($type:ident: $kind:ident, $options:ident $(, $labels:ident)?;)*) => {$(
        impl Instrument for $type {
            const KIND: Kind = Kind::$kind;
            fn make(about: &About) -> prometheus::Result<Self> {
                instruments!(@ $type, about, $options $(, $labels)?)
            }
        }
    )*};
    (@ $type:ident, $about:ident, $options:ident) => { $type::with_opts($about.$options()) };
    (@ $type:ident, $about:ident, $options:ident, $labels:ident) => {{
        let labels = $about.$labels();
        $type::new($about.$options(), &labels.iter().map(String::as_str).collect::<Vec<_>>())
    }};
}

instruments! {
    Counter: Counter, options;
    IntCounter: Counter, options;
    IntCounterVec: Counter, options, variable_labels;
    Gauge: Gauge, options;
    IntGauge: Gauge, options;
    IntGaugeVec: Gauge, options, variable_labels;
    Histogram: Histogram, buckets;
    HistogramVec: Histogram, buckets, variable_labels;
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::new);

/// Everything that is registered, in Prometheus's text format.
pub(crate) fn encode() -> String {
    TextEncoder::new().encode_to_string(&REGISTRY.gather()).unwrap_or_else(|error| {
        tracing::error!(%error, "metrics cannot be rendered");
        String::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    static SEEN: Metric<IntCounterVec> = Metric::new(&About {
        name: "souk.test.seen",
        kind: Kind::Counter,
        unit: "{tree}",
        help: " Seen.",
        labels: &["where=here", "what.kind"],
    });
    static TIME: Metric<Histogram> = Metric::new(&About {
        name: "souk.test",
        kind: Kind::Histogram,
        unit: "s",
        help: " Time.",
        labels: &[],
    });

    #[test]
    fn a_metric_is_shown_as_prometheus_names_it() {
        SEEN.with_label_values(&["tree"]).inc_by(3);
        let text = encode();
        let line = "souk_test_seen_total{what_kind=\"tree\",where=\"here\"} 3\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("# HELP souk_test_seen_total Seen.\n"), "{text}");
        assert!(text.contains("# TYPE souk_test_seen_total counter\n"), "{text}");
    }

    #[test]
    fn durations_fall_into_the_buckets_for_durations() {
        TIME.observe(0.003);
        let text = encode();
        assert!(text.contains("souk_test_seconds_bucket{le=\"0.002\"} 0\n"), "{text}");
        assert!(text.contains("souk_test_seconds_bucket{le=\"0.005\"} 1\n"), "{text}");
    }
}
