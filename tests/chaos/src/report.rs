//! What a run came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use audit::{Facts, State, Verdict};
use serde::Serialize;

use crate::calls::{self, Call, Count, Wish};
use crate::nemesis::Struck;
use crate::run::Run;

/// Fewer acknowledged orders than this in a minute prove nothing.
const ORDERS_PER_MINUTE_MIN: u64 = 60;
/// Nor do strikes of which so many missed, in per cent.
const MISSES_PERCENT_MAX: usize = 25;

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What decided about the strikes.
    pub seed: u64,
    /// How long it went on.
    pub minutes: u32,
    /// How to run it again.
    pub again: String,
    /// Strikes that hit, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Strikes whose target was down already.
    pub missed: Vec<String>,
    /// Strikes that were planned.
    pub planned: usize,
    /// How calls went, by what they were for.
    pub calls: BTreeMap<Wish, Count>,
    /// What became of the orders.
    pub orders: Orders,
    /// How many transactions wrote so many orders each.
    pub groups: BTreeMap<u64, u64>,
    /// From the last fault until nothing was under way, in milliseconds; none when it took too long.
    pub rest_ms: Option<u128>,
    /// What became of the promises.
    pub verdict: Verdict,
}

/// What became of the orders.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Orders {
    /// That a customer was told of.
    pub acknowledged: u64,
    /// In the records.
    pub recorded: u64,
    /// Of these, sold.
    pub confirmed: u64,
    /// Of these, not.
    pub cancelled: u64,
}

impl Report {
    pub(crate) fn new(
        run: &Run,
        planned: usize,
        struck: Struck,
        facts: &Facts,
        calls: &[Call],
        verdict: Verdict,
        rest: Option<Duration>,
    ) -> Self {
        let in_state =
            |state| facts.orders.values().filter(|order| order.state == state).count() as u64;
        let hits = |kind: &souk::cli::Fault| struck.hits.get(kind).copied().unwrap_or(0);
        Self {
            seed: run.seed,
            minutes: run.minutes,
            again: run.again(),
            faults: run.kinds.iter().map(|kind| (kind.name(), hits(kind))).collect(),
            missed: struck.misses,
            planned,
            calls: calls::counted(calls),
            orders: Orders {
                acknowledged: calls::acknowledged(calls).len() as u64,
                recorded: facts.orders.len() as u64,
                confirmed: in_state(State::Confirmed),
                cancelled: in_state(State::Cancelled),
            },
            groups: facts.groups.clone(),
            rest_ms: rest.map(|rest| rest.as_millis()),
            verdict,
        }
    }

    /// Why this run proves that something is wrong, or proves nothing; a line each. Empty: all is well.
    pub fn failures(&self) -> Vec<String> {
        let broken = self.verdict.broken().map(|check| {
            format!(
                "{} {}: {} of {} wrong",
                check.promise, check.name, check.defects, check.looked_at
            )
        });
        let absent = self.faults.iter().filter(|(_, count)| **count == 0);
        let absent = absent.map(|(kind, _)| format!("too few faults: no {kind} hit anything"));
        let missed = (self.missed.len() * 100 > self.planned * MISSES_PERCENT_MAX)
            .then(|| format!("too few faults: {} of {} missed", self.missed.len(), self.planned));
        let wanted = ORDERS_PER_MINUTE_MIN * u64::from(self.minutes);
        let orders = self.orders.acknowledged;
        let few = (orders < wanted).then(|| format!("too few orders: {orders} of {wanted}"));
        broken.chain(absent).chain(missed).chain(few).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hits = self.faults.iter().map(|(kind, count)| format!("{kind} {count}"));
        writeln!(f, "faults     {}", hits.collect::<Vec<_>>().join(", "))?;
        for missed in &self.missed {
            writeln!(f, "  missed {missed}")?;
        }
        for (wish, count) in &self.calls {
            writeln!(f, "calls      {:<10} {count}", wish.name())?;
        }
        let Orders { acknowledged, recorded, confirmed, cancelled } = self.orders;
        writeln!(
            f,
            "orders     {acknowledged} acknowledged, {recorded} recorded: {confirmed} confirmed, \
             {cancelled} cancelled"
        )?;
        let groups = self.groups.iter().map(|(size, count)| format!("{size} × {count}"));
        writeln!(f, "groups     {}: orders × transactions", groups.collect::<Vec<_>>().join(", "))?;
        match self.rest_ms {
            Some(ms) => writeln!(f, "at rest    {:.1} s after the last fault", ms as f64 / 1e3)?,
            None => writeln!(f, "at rest    not within the time")?,
        }
        write!(f, "{}", self.verdict)?;
        let failures = self.failures();
        for failure in &failures {
            writeln!(f, "FAILED     {failure}")?;
        }
        match failures.is_empty() {
            true => write!(f, "every promise was kept; again with: {}", self.again),
            false => write!(f, "run it again: {}", self.again),
        }
    }
}
