//! Service levels: what is expected, and whether it came true.
//!
//! There are always some, so that every report can be read at a glance; only those that were stated on
//! the command line decide about the exit code.

use std::time::Duration;

use serde::Serialize;
use souk::cli::{Class, Slo};

/// What is expected where nothing is stated.
pub const DEFAULTS: [Slo; 5] = [
    latency(Class::Read, 100),
    latency(Class::Cart, 150),
    latency(Class::Checkout, 250),
    latency(Class::Settled, 2_000),
    Slo::Errors(0.1),
];

const fn latency(class: Class, ms: u64) -> Slo {
    Slo::Latency { class: Some(class), percentile: 99.0, limit: Duration::from_millis(ms) }
}

/// One expectation of one thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    what: What,
    limit: f64,
    stated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    /// In milliseconds.
    Latency(Class, f64),
    /// In per cent.
    Errors,
}

/// What was measured, as far as expectations go.
pub trait Measured {
    /// The latency below which this share (in per cent) of the class stays, in milliseconds; none
    /// when there was nothing of that class.
    fn latency_ms(&self, class: Class, percentile: f64) -> Option<f64>;
    /// The share of requests that failed, in per cent.
    fn errors_percent(&self) -> f64;
}

/// An expectation and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// `checkout p99`, `errors`.
    pub name: String,
    /// `ms` or `%`.
    pub unit: &'static str,
    /// At most.
    pub limit: f64,
    /// What was measured.
    pub measured: f64,
    /// Whether it came true.
    pub met: bool,
    /// Whether the exit code depends on it.
    pub stated: bool,
}

/// What is expected: what was stated, and the defaults for whatever nothing was stated about.
pub fn expected(stated: &[Slo]) -> Vec<Expected> {
    let mut all: Vec<Expected> = stated.iter().flat_map(|slo| split(*slo, true)).collect();
    for default in DEFAULTS.into_iter().flat_map(|slo| split(slo, false)) {
        let subject = |expected: &Expected| match expected.what {
            What::Latency(class, _) => Some(class),
            What::Errors => None,
        };
        if all.iter().all(|expected| subject(expected) != subject(&default)) {
            all.push(default);
        }
    }
    all
}

/// An expectation of all classes is one of each.
fn split(slo: Slo, stated: bool) -> Vec<Expected> {
    match slo {
        Slo::Errors(limit) => vec![Expected { what: What::Errors, limit, stated }],
        Slo::Latency { class, percentile, limit } => {
            let requests = [Class::Read, Class::Cart, Class::Checkout];
            let classes = class.map_or(requests.to_vec(), |class| vec![class]);
            let limit = limit.as_secs_f64() * 1e3;
            let one = |class| Expected { what: What::Latency(class, percentile), limit, stated };
            classes.into_iter().map(one).collect()
        }
    }
}

/// Compares. What there was nothing of is not judged.
pub fn judge(expected: &[Expected], measured: &impl Measured) -> Vec<Judged> {
    let one = |Expected { what, limit, stated }: &Expected| {
        let (name, unit, measured) = match *what {
            What::Latency(class, percentile) => {
                let latency = measured.latency_ms(class, percentile)?;
                (format!("{} p{percentile}", class.name()), "ms", latency)
            }
            What::Errors => ("errors".to_owned(), "%", measured.errors_percent()),
        };
        let met = measured <= *limit;
        Some(Judged { name, unit, limit: *limit, measured, met, stated: *stated })
    };
    expected.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake(f64);

    impl Measured for Fake {
        fn latency_ms(&self, class: Class, percentile: f64) -> Option<f64> {
            (class != Class::Settled).then_some(percentile)
        }

        fn errors_percent(&self) -> f64 {
            self.0
        }
    }

    #[test]
    fn what_is_stated_takes_the_place_of_the_default_for_the_same_thing() {
        let slo = |text: &str| text.parse::<Slo>().expect(text);
        let judged = judge(&expected(&[slo("checkout:p50=40ms"), slo("errors=1%")]), &Fake(0.5));
        let told: Vec<_> =
            judged.iter().map(|j| (j.name.as_str(), j.limit, j.met, j.stated)).collect();
        assert_eq!(
            told,
            [
                ("checkout p50", 40.0, false, true),
                ("errors", 1.0, true, true),
                ("read p99", 100.0, true, false),
                ("cart p99", 150.0, true, false),
            ]
        );
        let all = judge(&expected(&[slo("p99.9=1s")]), &Fake(0.0));
        assert_eq!(all.iter().filter(|judged| judged.stated).count(), 3, "one for each class");
    }
}
