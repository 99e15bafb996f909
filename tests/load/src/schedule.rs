//! When requests are due: a Poisson process in each phase, fixed before the first is sent.
//!
//! Gaps between independent customers are exponential, so bursts are part of every rate. The
//! generator of the gaps is seeded: two runs with the same options send at the same times.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use souk::cli::{Load, Scenario, Steps};

/// Connections are opened and caches filled before anything counts.
pub(crate) const WARM_UP: Duration = Duration::from_secs(3);
const STEPS: u32 = 8;
/// A spike is so many times the rate.
const SPIKE: u32 = 3;
const SEED: u64 = 17;
/// The phase in which a shard is away.
pub const OUTAGE: &str = "outage";

/// A time of one rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What it is called in the report.
    pub name: String,
    /// Requests a second.
    pub rate: u32,
    /// How long.
    pub duration: Duration,
    /// False: sent, and not counted.
    pub measured: bool,
}

/// The phases that the options ask for.
pub fn phases(options: &Load) -> Vec<Phase> {
    let measured = |name: String, rate, duration| Phase { name, rate, duration, measured: true };
    let Load { scenario, duration, .. } = options;
    let rate = options.rate.or(options.steps.map(|steps| steps.from)).unwrap_or(1);
    let warm_up = Phase { name: "warm-up".into(), rate, duration: WARM_UP, measured: false };
    let counted = match (options.steps, scenario) {
        (Some(steps), _) => {
            let each = duration.unwrap_or(Duration::from_secs(10));
            rates(steps).map(|rate| measured(format!("{rate}/s"), rate, each)).collect()
        }
        (None, Scenario::Spike) => {
            let third = duration.unwrap_or(Duration::from_secs(60)) / 3;
            let phase = |(name, rate): (&str, u32)| measured(name.into(), rate, third);
            [("before", rate), ("spike", rate * SPIKE), ("after", rate)].map(phase).to_vec()
        }
        (None, Scenario::ShardOutage) => {
            let third = duration.unwrap_or(Duration::from_secs(180)) / 3;
            ["before", OUTAGE, "after"].map(|name| measured(name.into(), rate, third)).to_vec()
        }
        (None, Scenario::Soak) => {
            vec![measured("soak".into(), rate, duration.unwrap_or(Duration::from_secs(1_800)))]
        }
        (None, _) => {
            vec![measured("steady".into(), rate, duration.unwrap_or(Duration::from_secs(30)))]
        }
    };
    std::iter::once(warm_up).chain(counted).collect::<Vec<_>>()
}

/// Evenly from one end to the other.
fn rates(Steps { from, to }: Steps) -> impl Iterator<Item = u32> {
    (0..STEPS).map(move |step| from + (to - from) * step / (STEPS - 1))
}

/// One request to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the beginning of the run.
    pub due: Duration,
    /// In which phase.
    pub phase: usize,
}

/// All arrivals, in their order.
pub fn arrivals(phases: &[Phase]) -> impl Iterator<Item = Arrival> + use<> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut begin = Duration::ZERO;
    let phases: Vec<(usize, Duration, Duration, f64)> = phases
        .iter()
        .enumerate()
        .map(|(at, phase)| {
            let from = begin;
            begin += phase.duration;
            (at, from, begin, f64::from(phase.rate))
        })
        .collect();
    phases.into_iter().flat_map(move |(phase, from, to, rate)| {
        let (mut due, mut random) = (from, StdRng::seed_from_u64(random.random()));
        std::iter::from_fn(move || {
            let share: f64 = random.random();
            due += Duration::from_secs_f64(-(1.0 - share).ln() / rate);
            (due < to).then_some(Arrival { due, phase })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use proptest::prelude::*;

    #[derive(clap::Parser)]
    struct Options {
        #[command(flatten)]
        load: Load,
    }

    fn of(arguments: &str) -> Vec<Phase> {
        let arguments = std::iter::once("load").chain(arguments.split(' '));
        phases(&Options::try_parse_from(arguments).expect("valid").load)
    }

    fn told(phases: &[Phase]) -> Vec<(u32, u64)> {
        let measured = phases.iter().filter(|phase| phase.measured);
        measured.map(|phase| (phase.rate, phase.duration.as_secs())).collect()
    }

    #[test]
    fn options_become_phases() {
        assert_eq!(told(&of("--rate 100")), [(100, 30)]);
        assert_eq!(told(&of("--rate 100 --duration 5m")), [(100, 300)]);
        let spike = told(&of("--rate 100 --scenario spike --duration 30s"));
        assert_eq!(spike, [(100, 10), (300, 10), (100, 10)]);
        assert_eq!(told(&of("--rate 9 --scenario soak")), [(9, 1_800)]);
        let steps = told(&of("--steps 100..800 --duration 2s"));
        assert_eq!(steps, (1..=8).map(|step| (step * 100, 2)).collect::<Vec<_>>());
        assert!(!of("--rate 100")[0].measured, "the first is for warming up");
    }

    proptest! {
        #[test]
        fn arrivals_come_in_order_at_their_rate(rate in 50_u32..2_000, seconds in 2_u64..6) {
            let phase = |rate| Phase {
                name: String::new(), rate, duration: Duration::from_secs(seconds), measured: true,
            };
            let phases = [phase(rate), phase(rate * 2)];
            let arrivals: Vec<Arrival> = arrivals(&phases).collect();
            prop_assert!(arrivals.is_sorted_by_key(|arrival| arrival.due));
            for (at, phase) in phases.iter().enumerate() {
                let expected = f64::from(phase.rate) * seconds as f64;
                let count = arrivals.iter().filter(|arrival| arrival.phase == at).count() as f64;
                // Six standard deviations of a Poisson process.
                prop_assert!((count - expected).abs() < 6.0 * expected.sqrt(), "{count}, {expected}");
                let within = arrivals.iter().filter(|arrival| arrival.phase == at).all(|arrival| {
                    let begin = Duration::from_secs(seconds) * at as u32;
                    (begin..begin + phase.duration).contains(&arrival.due)
                });
                prop_assert!(within);
            }
        }
    }

    #[test]
    fn gaps_are_those_of_customers_who_do_not_know_each_other() {
        let phase = Phase {
            name: String::new(),
            rate: 1_000,
            duration: Duration::from_secs(20),
            measured: true,
        };
        let due: Vec<f64> = arrivals(&[phase]).map(|arrival| arrival.due.as_secs_f64()).collect();
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let above = gaps.iter().filter(|gap| **gap > mean).count() as f64 / gaps.len() as f64;
        assert!(
            (above - (-1.0_f64).exp()).abs() < 0.02,
            "exponential: 36.8 % above the mean, {above}"
        );
    }
}
