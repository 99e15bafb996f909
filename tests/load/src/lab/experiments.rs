//! The experiments that put one load on shops that differ in one thing.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use operator::layout::Layout;
use operator::{Options, Signal, running};
use souk::cli::{Load, Scenario, Slo, Steps};

use crate::knee::Knee;
use crate::orders::slow_provider;
use crate::report::{Outage, Report, Route};
use crate::run;
use crate::schedule::WARM_UP;
use crate::showing::{VARIANTS, turn_off};

/// One of them.
pub(super) struct Experiment {
    pub(super) question: &'static str,
    pub(super) load: fn() -> Load,
    pub(super) shops: &'static [Variant],
    pub(super) figures: &'static [Figure],
    /// The figure of the chart.
    pub(super) chart: &'static str,
}

/// A shop of an experiment.
pub(super) struct Variant {
    pub(super) name: &'static str,
    /// All of the machine's without it.
    pub(super) cores: Option<usize>,
    pub(super) change: fn(&mut Options),
    /// What is done to it under load; gets the moment at which the load begins.
    pub(super) meanwhile: fn(&Layout, Instant) -> Result<()>,
}

/// What is read from a report: its name, how many decimals, and where.
type Figure = (&'static str, usize, fn(&Report) -> Option<f64>);

const AS_IT_IS: Variant =
    Variant { name: "", cores: None, change: |_| {}, meanwhile: |_, _| Ok(()) };

const ERRORS: Figure =
    ("not answered as they should be, %", 2, |report| Some(report.total.errors_percent));

/// By their numbers.
pub(super) const BY_LOAD: [(usize, Experiment); 5] =
    [(1, LARGER), (2, SEVERAL), (4, CACHES), (6, ASYNCHRONOUS), (7, SHARDS)];

/// The highest rate is the most that is tried.
const KNEE: &str = "requests/s in time (the knee; at most 1450)";
const ANSWERED: &str = "answered of 1450/s";

const LARGER: Experiment = Experiment {
    question: "The whole shop is on one core, and is given a second one. How many more requests a second does it answer in time? \
               Twice as many?",
    load: || Load { steps: Some(Steps { from: 50, to: 1_450 }), ..load(Scenario::Mix, 4) },
    shops: &[
        Variant { name: "one core", cores: Some(1), ..AS_IT_IS },
        Variant { name: "two cores", cores: Some(2), ..AS_IT_IS },
    ],
    figures: &[
        (KNEE, 0, |report| match report.knee? {
            Knee::Between { borne, .. } | Knee::Above(borne) => Some(borne),
            Knee::Below(_) => None,
        }),
        ("core-ms for a request", 2, |report| Some(report.cost.as_ref()?.core_ms_per_request)),
        ("p99 at 50/s, ms", 0, |report| Some(report.phases.first()?.latency_ms.p99)),
        (ANSWERED, 0, |report| Some(report.phases.last()?.good)),
    ],
    chart: ANSWERED,
};

const SEVERAL: Experiment = Experiment {
    question: "Under load one process of product is killed, twice in sixteen seconds, and started again. How many requests \
               fail when it is the only one, and how many when there are two?",
    load: || Load { rate: Some(300), ..load(Scenario::Browse, 16) },
    shops: &[
        Variant {
            name: "one",
            change: |shop| copies(shop, "product=1"),
            meanwhile: kill,
            ..AS_IT_IS
        },
        Variant {
            name: "two",
            change: |shop| copies(shop, "product=2"),
            meanwhile: kill,
            ..AS_IT_IS
        },
    ],
    figures: &[
        ERRORS,
        ("p50, ms", 1, |report| Some(report.total.latency_ms.p50)),
        ("p99, ms", 1, |report| Some(report.total.latency_ms.p99)),
        ("the slowest, ms", 0, |report| Some(report.total.latency_ms.max)),
    ],
    chart: ERRORS.0,
};

const COST: &str = "shop and stores, core-ms";

const CACHES: Experiment = Experiment {
    question: "A product is read a thousand times for each time that it changes. What does a look at the catalogue cost when each \
               asks the database, when product remembers, and when the gateway remembers its own answer?",
    load: || {
        let slo = vec![Slo::Errors(0.1)];
        Load { rate: Some(1_500), users: 2, slo, ..load(Scenario::Browse, 8) }
    },
    shops: &[
        Variant { name: VARIANTS[0].0, change: |shop| turn_off(shop, VARIANTS[0].1), ..AS_IT_IS },
        Variant { name: VARIANTS[1].0, change: |shop| turn_off(shop, VARIANTS[1].1), ..AS_IT_IS },
        Variant { name: VARIANTS[2].0, change: |shop| turn_off(shop, VARIANTS[2].1), ..AS_IT_IS },
        Variant { name: VARIANTS[3].0, change: |shop| turn_off(shop, VARIANTS[3].1), ..AS_IT_IS },
    ],
    figures: &[
        ("gateway, core-ms", 3, |report| core_ms(report, "gateway")),
        ("product, core-ms", 3, |report| core_ms(report, "product")),
        ("PostgreSQL, core-ms", 3, |report| core_ms(report, "postgres")),
        (COST, 3, |report| Some(report.cost.as_ref()?.core_ms_per_request)),
        ("p50, ms", 1, |report| Some(report.total.latency_ms.p50)),
        ("p99, ms", 1, |report| Some(report.total.latency_ms.p99)),
    ],
    chart: COST,
};

const ASYNCHRONOUS: Experiment = Experiment {
    question: "The payment provider, somebody else's service, takes a second for each charge. How long does a customer wait for the \
               answer to a checkout, and how long until the order is paid?",
    load: || Load { rate: Some(40), ..load(Scenario::Checkout, 12) },
    shops: &[
        Variant { name: "at once", ..AS_IT_IS },
        Variant {
            name: "after a second",
            meanwhile: |layout, _| slow_provider(layout, Duration::from_secs(1)),
            ..AS_IT_IS
        },
    ],
    figures: &[
        ("checkout answered, p50, ms", 1, |report| Some(checkout(report)?.latency_ms.p50)),
        ("checkout answered, p99, ms", 1, |report| Some(checkout(report)?.latency_ms.p99)),
        ("order settled, p50, ms", 0, |report| Some(report.orders.settled_ms.p50)),
        ("order settled, p99, ms", 0, |report| Some(report.orders.settled_ms.p99)),
        ERRORS,
    ],
    chart: "checkout answered, p50, ms",
};

const SHARDS: Experiment = Experiment {
    question: "One of the databases of carts and orders takes no connections for ten seconds. What share of the customers has \
               anything of it when there are two databases, and when there are four?",
    load: || Load { rate: Some(200), ..load(Scenario::ShardOutage, 30) },
    shops: &[
        Variant { name: "two databases", change: |shop| shop.shards = 2, ..AS_IT_IS },
        Variant { name: "four databases", change: |shop| shop.shards = 4, ..AS_IT_IS },
    ],
    figures: &[
        ("requests that failed meanwhile, %", 1, |report| {
            let Outage { own_bad, others_bad, .. } = report.outage?;
            Some(100.0 * (own_bad + others_bad) as f64 / requests(report.outage?))
        }),
        ("of those with that database, %", 1, |report| {
            let Outage { own_good, own_bad, .. } = report.outage?;
            Some(100.0 * own_bad as f64 / (own_good + own_bad).max(1) as f64)
        }),
        ("of the others, %", 2, |report| Some(100.0 - report.outage?.others_percent())),
    ],
    chart: "requests that failed meanwhile, %",
};

fn requests(outage: Outage) -> f64 {
    let Outage { others_good, others_bad, own_good, own_bad } = outage;
    (others_good + others_bad + own_good + own_bad).max(1) as f64
}

fn core_ms(report: &Report, name: &str) -> Option<f64> {
    let processes = &report.cost.as_ref()?.processes;
    Some(processes.iter().find(|process| process.name == name)?.core_ms_per_request)
}

fn checkout(report: &Report) -> Option<&Route> {
    report.routes.iter().find(|route| route.name == "checkout")
}

/// For so many seconds, or for so many each step. The rate is the experiment's.
fn load(scenario: Scenario, seconds: u64) -> Load {
    run::load(scenario, Duration::from_secs(seconds))
}

fn copies(shop: &mut Options, replicas: &str) {
    shop.replicas = replicas.parse().expect("services and numbers");
    shop.restart = true;
}

/// The first process of product that is up, twice, and so long after each other that it is started again as soon.
fn kill(layout: &Layout, begin: Instant) -> Result<()> {
    for after in [2, 13].map(Duration::from_secs) {
        sleep((begin + WARM_UP + after).saturating_duration_since(Instant::now()));
        let state = running::at(layout)?;
        let process = state.of("product").find_map(|entry| entry.process.as_ref());
        process.context("no product is up")?.signal(Signal::KILL)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use souk::cli::EXPERIMENTS;

    use super::super::{PRECOMPUTED, SESSIONS};
    use super::*;

    #[test]
    fn every_chart_is_of_a_figure() {
        for (number, experiment) in BY_LOAD {
            let names: Vec<&str> = experiment.figures.iter().map(|figure| figure.0).collect();
            assert!(names.contains(&experiment.chart), "{number}: {names:?}");
            let load = (experiment.load)();
            assert!(load.rate.is_some() != load.steps.is_some(), "{number}");
        }
    }

    #[test]
    fn every_number_is_an_experiment() {
        let by_load = BY_LOAD.iter().map(|(number, _)| *number);
        let mut numbers: Vec<usize> = by_load.chain([SESSIONS, PRECOMPUTED]).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=EXPERIMENTS.len()).collect::<Vec<_>>());
    }
}
