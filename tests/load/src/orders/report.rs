//! What a run came to: the JSON report as it stands, and its text.

mod text;

use std::collections::BTreeMap;

use anyhow::Result;
use audit::Verdict;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::bench::{self, Sights};
use super::books::{Books, Durability, Settled};
use super::sender::{micros, times};
use super::writes::Writes;
use crate::machine::{self, Environment, Group, Part, Spent};
use crate::report::{Latency, Layout};

/// Of traces.
pub(super) use crate::temporary_shop::TRACE_RATIO;
const RATIO_MIN: f64 = 0.1;
const SETTLED_P99_MAX_MS: f64 = 250.0;
const PUBLISH_LAG_P99_MAX_MS: f64 = 100.0;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where and on what it was measured.
    #[serde(flatten)]
    pub setting: Setting,
    /// Single rows that were durably committed in a second, before and after.
    pub durable_commits_per_second: [f64; 2],
    /// As many orders as the shop settles.
    pub full_load: Phase,
    /// Half as many.
    pub half_load: Phase,
    /// Settled orders for each durable commit.
    pub ratio: f64,
    /// What was to be reached.
    pub targets: Vec<Target>,
    /// What the books say.
    pub audit: Verdict,
}

/// Where and on what it was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Setting {
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: i64,
    /// The machine.
    pub environment: Environment,
    /// How the shop is laid out.
    pub shop: Layout,
    /// What PostgreSQL says of itself.
    pub durability: Durability,
    /// Customers, each with something in the cart.
    pub carts: u32,
    /// Lines in a cart at most, of one piece each; every number of them is as frequent.
    pub lines: u32,
    /// Orders under way at full load.
    pub under_way: u32,
    /// Products that they buy, by Zipf's law.
    pub products: usize,
}

/// A time of one load.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// How long.
    pub seconds: f64,
    /// Checkouts a second that were due; at full load nothing is.
    pub offered_per_second: Option<f64>,
    /// Orders that were confirmed in this time.
    pub settled: u64,
    /// In a second.
    pub settled_per_second: f64,
    /// Checkouts that were not accepted, by code.
    pub refused: BTreeMap<String, u64>,
    /// From the moment at which a checkout was due to its answer.
    pub answered_ms: Latency,
    /// From the moment at which a checkout was due until the bus had its confirmation. Where checkouts are
    /// due at times of their own, one that was not confirmed counts as the longest time.
    pub settled_ms: Latency,
    /// From placed to confirmed, by the order's own row: the times at which the transactions began.
    pub recorded_ms: Latency,
    /// From the beginning of an event's transaction until its outbox had noted that it is sent.
    pub publish_lag_ms: Latency,
    /// How late this program sent.
    pub late_ms: Latency,
    /// Processor time and memory.
    pub cost: Option<Cost>,
    /// What PostgreSQL did, in all.
    pub writes: Option<Writes>,
    /// The mean size of the shop's batches, by kind: steps of a checkout, reads, and each consumer's.
    pub batches: BTreeMap<String, f64>,
    /// For how many milliseconds a connection to each database was in use, for each settled order.
    pub connection_ms: BTreeMap<String, f64>,
}

/// Processor time and memory.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Milliseconds of one core for each settled order, of gateway, services and stores.
    pub core_ms_per_order: f64,
    /// The same with the provider and this program.
    pub all_core_ms_per_order: f64,
    /// Of the machine's work, what others did, in per cent.
    pub others_percent: f64,
    /// The gateway and the services together, in bytes.
    pub shop_resident: u64,
    /// Their proportional set size (PSS), in bytes.
    pub shop_pss: u64,
    /// Each process.
    pub processes: Vec<Process>,
}

/// One process, or one server with its children.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// `order`, `postgres`.
    pub name: String,
    /// What it is part of.
    pub part: Part,
    /// Processor time for each settled order.
    pub core_ms_per_order: f64,
    /// Memory in the end, in bytes; shared memory of a server counts once.
    pub resident: Option<u64>,
}

/// Something that was to be reached.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// `settled p99, half load`.
    pub name: &'static str,
    /// `ms`, or nothing.
    pub unit: &'static str,
    /// What was measured.
    pub measured: f64,
    /// What it was to be.
    pub limit: f64,
    /// Whether the limit is the least or the most.
    pub at_least: bool,
    /// Whether it is so.
    pub reached: bool,
}

impl Target {
    fn at_least(name: &'static str, limit: f64, measured: f64) -> Self {
        Self { name, unit: "", measured, limit, at_least: true, reached: measured >= limit }
    }

    fn at_most_ms(name: &'static str, limit: f64, measured: f64) -> Self {
        Self { name, unit: " ms", measured, limit, at_least: false, reached: measured <= limit }
    }
}

/// A phase, and what the records say about it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) phase: bench::Phase,
    pub(super) settled: Vec<Settled>,
    lag: Histogram<u64>,
    writes: Option<Writes>,
}

impl Told {
    /// Looks it up, once everything is settled.
    pub(super) async fn of(
        phase: bench::Phase,
        books: &mut Books,
        sights: &mut Sights,
    ) -> Result<Self> {
        let (from, to) = (phase.from.at, phase.to.at);
        let settled = books.settled(from, to).await?;
        let lag = books.publish_lag(from, to).await?;
        let marks = phase.from.done.as_ref().zip(phase.to.done.as_ref());
        let writes = match sights.server.as_mut().zip(marks) {
            Some((server, (from, to))) => Some(server.between(from, to).await?),
            None => None,
        };
        Ok(Self { phase, settled, lag, writes })
    }

    /// How long the phase was.
    pub(super) fn seconds(&self) -> f64 {
        (self.phase.to.at - self.phase.from.at).as_seconds_f64()
    }

    fn reported(&self, groups: &[Group]) -> Result<Phase> {
        let (mut waited, mut recorded) = (times()?, times()?);
        for Settled { order, placed, ended, told } in &self.settled {
            if let Some(due) = self.phase.sent.accepted.get(order) {
                waited.saturating_record(micros(*due, *told).max(1));
                recorded.saturating_record(micros(*placed, *ended).max(1));
            }
        }
        if self.phase.offered.is_some() {
            // Whoever was refused, or never got what they ordered, has waited longest.
            let without = self.phase.sent.late.len().saturating_sub(waited.len());
            (0..without).for_each(|_| waited.saturating_record(u64::MAX));
        }
        let spent = self.phase.from.spent.as_ref().zip(self.phase.to.spent.as_ref());
        let settled = self.settled.len() as u64;
        Ok(Phase {
            seconds: self.seconds(),
            offered_per_second: self.phase.offered,
            settled,
            settled_per_second: settled as f64 / self.seconds(),
            refused: self.phase.sent.refused.clone(),
            answered_ms: Latency::of(&self.phase.sent.answered),
            settled_ms: Latency::of(&waited),
            recorded_ms: Latency::of(&recorded),
            publish_lag_ms: Latency::of(&self.lag),
            late_ms: Latency::of(&self.phase.sent.late),
            cost: spent.map(|(from, to)| cost(&to.since(from, groups), groups, settled)),
            writes: self.writes.clone(),
            batches: self.phase.to.batches.since(&self.phase.from.batches),
            connection_ms: self.phase.to.in_use.each_since(&self.phase.from.in_use, settled),
        })
    }
}

fn cost(spent: &Spent, groups: &[Group], orders: u64) -> Cost {
    let each = |ms: u64| ms as f64 / orders.max(1) as f64;
    let processes = groups.iter().zip(&spent.groups).map(|(group, (part, ms))| Process {
        name: group.name.clone(),
        part: *part,
        core_ms_per_order: each(*ms),
        resident: machine::memory(group).0,
    });
    let processes: Vec<Process> = processes.collect();
    let shop = processes.iter().filter(|process| process.part == Part::Shop);
    Cost {
        core_ms_per_order: each(spent.shop()),
        all_core_ms_per_order: each(spent.all()),
        others_percent: spent.others_percent(),
        shop_resident: shop.filter_map(|process| process.resident).sum(),
        shop_pss: machine::shop_pss(groups),
        processes,
    }
}

/// Puts everything together.
pub(super) fn report(
    setting: Setting,
    durable_commits_per_second: [f64; 2],
    phases: [Told; 2],
    groups: &[Group],
    audit: Verdict,
) -> Result<Report> {
    let [full_load, half_load] = phases.each_ref().map(|told| told.reported(groups));
    let (full_load, half_load) = (full_load?, half_load?);
    let commits = durable_commits_per_second.iter().sum::<f64>() / 2.0;
    let ratio = full_load.settled_per_second / commits;
    let targets = vec![
        Target::at_least("ratio to the yardstick", RATIO_MIN, ratio),
        Target::at_most_ms("settled p99, half load", SETTLED_P99_MAX_MS, half_load.settled_ms.p99),
        Target::at_most_ms(
            "publish lag p99, full load",
            PUBLISH_LAG_P99_MAX_MS,
            full_load.publish_lag_ms.p99,
        ),
        Target::at_most_ms(
            "publish lag p99, half load",
            PUBLISH_LAG_P99_MAX_MS,
            half_load.publish_lag_ms.p99,
        ),
    ];
    Ok(Report { setting, durable_commits_per_second, full_load, half_load, ratio, targets, audit })
}
