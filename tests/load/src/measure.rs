//! What was sent and what came back: counted by phase and route, and by moments of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::scenario::Route;
use crate::schedule::Phase;

/// The longest latency that is told from longer ones.
const LATENCY_MAX_US: u64 = 60_000_000;
/// So many points at most for a chart.
const MOMENTS_MAX: u32 = 240;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered as it should be.
    Good,
    /// Refused, or not answered: why, in a stable word.
    Bad(String),
}

/// The latencies of good answers, in microseconds.
pub(crate) type Latencies = Histogram<u64>;

/// One phase of the run.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// Requests that were due.
    pub(crate) offered: u64,
    /// Of each route.
    pub(crate) routes: Vec<Answers>,
    /// How late the generator itself was, in microseconds.
    pub(crate) lateness: Latencies,
    /// Requests for which no customer was free.
    pub(crate) starved: u64,
    /// Of the answers, those to customers of the database that a shard outage is about.
    pub(crate) of_shard: Tally,
}

/// Answers as they should be, and others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) good: u64,
    pub(crate) bad: u64,
}

/// The answers of one route.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) good: Latencies,
    pub(crate) bad: BTreeMap<String, u64>,
}

/// A moment of the run: a second, or more of them in a long run.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    pub(crate) offered: u64,
    pub(crate) good: Histogram<u32>,
    pub(crate) bad: u64,
}

/// Everything that was counted.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    /// By phase, those that are not measured too.
    pub(crate) phases: Vec<Counted>,
    /// From the beginning of the first phase.
    pub(crate) moments: Vec<Moment>,
    /// How long a moment is.
    pub(crate) moment: Duration,
}

fn latencies() -> Result<Latencies> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)?)
}

fn micros(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).clamp(1, LATENCY_MAX_US)
}

impl Counted {
    fn new() -> Result<Self> {
        let answers = |_: Route| Ok(Answers { good: latencies()?, bad: BTreeMap::new() });
        let routes = Route::ALL.into_iter().map(answers).collect::<Result<_>>()?;
        Ok(Self {
            offered: 0,
            routes,
            lateness: latencies()?,
            starved: 0,
            of_shard: Tally::default(),
        })
    }

    /// Answers as they should be.
    pub(crate) fn good(&self) -> u64 {
        self.routes.iter().map(|answers| answers.good.len()).sum()
    }

    /// Refusals, and requests without an answer.
    pub(crate) fn bad(&self) -> u64 {
        self.routes.iter().map(Answers::bad).sum()
    }

    /// Adds another phase.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.offered += other.offered;
        self.starved += other.starved;
        self.of_shard.good += other.of_shard.good;
        self.of_shard.bad += other.of_shard.bad;
        self.lateness.add(&other.lateness)?;
        for (mine, theirs) in self.routes.iter_mut().zip(&other.routes) {
            mine.good.add(&theirs.good)?;
            for (code, count) in &theirs.bad {
                *mine.bad.entry(code.clone()).or_default() += count;
            }
        }
        Ok(())
    }

    /// The latencies of several routes together.
    pub(crate) fn of(&self, wanted: impl Fn(Route) -> bool) -> Result<Latencies> {
        let mut all = latencies()?;
        for (route, answers) in Route::ALL.into_iter().zip(&self.routes) {
            if wanted(route) {
                all.add(&answers.good)?;
            }
        }
        Ok(all)
    }
}

impl Answers {
    pub(crate) fn bad(&self) -> u64 {
        self.bad.values().sum()
    }
}

impl Recorder {
    /// For a run of these phases.
    pub(crate) fn new(phases: &[Phase]) -> Result<Self> {
        let length: Duration = phases.iter().map(|phase| phase.duration).sum();
        let seconds = (length.as_secs_f64() / f64::from(MOMENTS_MAX)).ceil().max(1.0);
        let moment = Duration::from_secs_f64(seconds);
        let count = (length.as_secs_f64() / seconds).ceil() as usize;
        let fresh = || {
            let good = Histogram::new_with_bounds(1, LATENCY_MAX_US, 2)?;
            anyhow::Ok(Moment { offered: 0, good, bad: 0 })
        };
        Ok(Self {
            phases: phases.iter().map(|_| Counted::new()).collect::<Result<_>>()?,
            moments: (0..count.max(1)).map(|_| fresh()).collect::<Result<_>>()?,
            moment,
        })
    }

    fn at(&mut self, due: Duration) -> &mut Moment {
        let index = (due.as_secs_f64() / self.moment.as_secs_f64()) as usize;
        let last = self.moments.len() - 1;
        &mut self.moments[index.min(last)]
    }

    /// A request was due, and its turn came so much later.
    pub(crate) fn offered(&mut self, phase: usize, due: Duration, late: Duration) {
        self.phases[phase].offered += 1;
        self.phases[phase].lateness.saturating_record(micros(late));
        self.at(due).offered += 1;
    }

    /// Nobody was free to send it.
    pub(crate) fn starved(&mut self, phase: usize) {
        self.phases[phase].starved += 1;
    }

    /// It was one of a customer of the database that a shard outage is about.
    pub(crate) fn of_shard(&mut self, phase: usize, outcome: &Outcome) {
        let tally = &mut self.phases[phase].of_shard;
        match outcome {
            Outcome::Good => tally.good += 1,
            Outcome::Bad(_) => tally.bad += 1,
        }
    }

    /// What became of a request, so long after it was due.
    pub(crate) fn answered(
        &mut self,
        phase: usize,
        due: Duration,
        route: Route,
        latency: Duration,
        outcome: Outcome,
    ) {
        let us = micros(latency);
        let answers = &mut self.phases[phase].routes[route.index()];
        match outcome {
            Outcome::Good => {
                answers.good.saturating_record(us);
                self.at(due).good.saturating_record(us);
            }
            Outcome::Bad(code) => {
                *answers.bad.entry(code).or_default() += 1;
                self.at(due).bad += 1;
            }
        }
    }

    /// All measured phases as one.
    pub(crate) fn measured(&self, phases: &[Phase]) -> Result<Counted> {
        let mut all = Counted::new()?;
        for (counted, phase) in self.phases.iter().zip(phases) {
            if phase.measured {
                all.add(counted)?;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_found_again_and_the_warm_up_is_left_out() {
        let phase = |measured| Phase {
            name: String::new(),
            rate: 1,
            duration: Duration::from_secs(2),
            measured,
        };
        let phases = [phase(false), phase(true), phase(true)];
        let mut recorder = Recorder::new(&phases).expect("bounds");
        let ms = Duration::from_millis;
        for (at, due) in [(0, ms(500)), (1, ms(2_500)), (2, ms(4_500)), (2, ms(5_999))] {
            recorder.offered(at, due, ms(1));
            recorder.answered(at, due, Route::Browse, ms(7), Outcome::Good);
        }
        recorder.offered(2, ms(5_000), ms(1));
        recorder.answered(2, ms(5_000), Route::Add, ms(1), Outcome::Bad("cart_busy".into()));
        let all = recorder.measured(&phases).expect("bounds");
        assert_eq!((all.offered, all.good(), all.bad()), (4, 3, 1));
        assert_eq!(all.routes[Route::Add.index()].bad["cart_busy"], 1);
        let browse = all.of(|route| route == Route::Browse).expect("bounds");
        assert_eq!(browse.value_at_quantile(0.5) / 100, 70);
        let seconds: Vec<_> = recorder.moments.iter().map(|moment| moment.offered).collect();
        assert_eq!(seconds, [1, 0, 1, 0, 1, 2]);
        assert_eq!(recorder.moments[5].bad, 1);
    }
}
