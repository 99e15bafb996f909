//! What a run came to. This is the JSON report as it stands; text and HTML are drawn from it.

mod text;
mod html;
mod chart;

use audit::Verdict;
use hdrhistogram::{Counter, Histogram};
use operator::state::State;
use serde::Serialize;

use crate::knee::Knee;
use crate::machine::{Environment, Part};
use crate::scenario::Scenario;
use crate::slo::Judged;

pub use html::page;
pub use text::lines;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The name of the scenario, or of its file.
    pub name: String,
    /// What it was.
    pub scenario: Scenario,
    /// Where it went.
    pub target: String,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: i64,
    /// Customers with an account.
    pub users: usize,
    /// The machine of the generator; also the shop's when it runs here.
    pub environment: Environment,
    /// How the shop is laid out, when it runs here.
    pub shop: Option<Layout>,
    /// What was measured, phase by phase.
    pub phases: Vec<Phase>,
    /// All measured phases together.
    pub total: Phase,
    /// Latencies of each route, over all phases.
    pub routes: Vec<Route>,
    /// What went wrong, by route and code.
    pub errors: Vec<Errors>,
    /// The run in time, the warm-up included.
    pub moments: Vec<Moment>,
    /// The orders that were accepted, and their ends.
    pub orders: Orders,
    /// Of a run in which a shard was away.
    pub outage: Option<Outage>,
    /// Of a run in steps.
    pub knee: Option<Knee>,
    /// Expectations.
    pub levels: Vec<Judged>,
    /// The generator itself.
    pub generator: Generator,
    /// What it cost, when the shop runs here.
    pub cost: Option<Cost>,
    /// What the records say, when they are in reach.
    pub audit: Option<Verdict>,
}

/// How the shop is laid out.
#[derive(Clone, Debug, Serialize)]
pub struct Layout {
    /// `release` or `dev`.
    pub profile: String,
    /// Databases of carts, and of orders.
    pub shards: u16,
    /// `gateway`, `order-2`.
    pub processes: Vec<String>,
}

impl Layout {
    pub(crate) fn of(state: &State) -> Self {
        Self {
            profile: state.profile.clone(),
            shards: state.shards,
            processes: state.processes.iter().map(|entry| entry.task.name.clone()).collect(),
        }
    }
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50: f64,
    /// Of ten, nine are.
    pub p90: f64,
    /// 95 %.
    pub p95: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// Of times in microseconds.
    pub(crate) fn of<C: Counter>(us: &Histogram<C>) -> Self {
        let ms = |us: u64| us as f64 / 1e3;
        let at = |quantile| ms(us.value_at_quantile(quantile));
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(us.max()),
        }
    }
}

/// A time of one rate. Rates are requests a second.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    /// What it is called.
    pub name: String,
    /// How long.
    pub seconds: f64,
    /// Requests that were due.
    pub offered: f64,
    /// Requests that were answered as they should be.
    pub good: f64,
    /// Requests that were not, in per cent.
    pub errors_percent: f64,
    /// Of all good answers.
    pub latency_ms: Latency,
    /// Processor time of shop and stores for each answer, in milliseconds of one core.
    pub core_ms_per_request: Option<f64>,
}

/// One route.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// `browse`.
    pub name: &'static str,
    /// What was sent.
    pub request: &'static str,
    /// Good answers.
    pub good: u64,
    /// Others, and none.
    pub bad: u64,
    /// Of good answers.
    pub latency_ms: Latency,
}

/// One way in which requests of a route failed.
#[derive(Clone, Debug, Serialize)]
pub struct Errors {
    /// Which route.
    pub route: &'static str,
    /// `503 overloaded`, `timeout`.
    pub code: String,
    /// How often.
    pub count: u64,
}

/// A moment of the run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Moment {
    /// Its beginning, from the beginning of the run.
    pub second: f64,
    /// Requests a second that were due.
    pub offered: f64,
    /// Requests a second that were answered as they should be.
    pub good: f64,
    /// Requests a second that were not.
    pub bad: f64,
    /// Milliseconds.
    pub p50: f64,
    /// Milliseconds.
    pub p99: f64,
}

/// Orders that were accepted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Orders {
    /// With 202.
    pub accepted: u64,
    /// Of these, so many were looked at again.
    pub looked_at: u64,
    /// Sold.
    pub confirmed: u64,
    /// Ended without a sale.
    pub cancelled: u64,
    /// Not ended, or not there.
    pub open: u64,
    /// From acceptance to end.
    pub settled_ms: Latency,
}

/// What users had of it while a database of carts and of orders was away. The catalogue's visitors are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// Good answers to users of other databases.
    pub others_good: u64,
    /// Other answers to them, and none.
    pub others_bad: u64,
    /// Good answers to users of that database.
    pub own_good: u64,
    /// Other answers to them, and none.
    pub own_bad: u64,
}

impl Outage {
    /// The share of others' requests that were answered as they should be, in per cent.
    pub fn others_percent(&self) -> f64 {
        100.0 * self.others_good as f64 / (self.others_good + self.others_bad).max(1) as f64
    }
}

/// The generator itself.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Generator {
    /// How late it sent.
    pub lateness_ms: Latency,
    /// Requests for which no customer was free: more users are needed.
    pub starved: u64,
    /// Whether the rates of this report are those that were asked for.
    pub kept_its_schedule: bool,
}

/// Processor time and memory.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// Requests that were answered meanwhile.
    pub requests: u64,
    /// From the first measured request until the last order had settled.
    pub seconds: f64,
    /// Shop and stores, for each request, in milliseconds of one core.
    pub core_ms_per_request: f64,
    /// The same with the provider, the supervisor and this generator.
    pub all_core_ms_per_request: f64,
    /// Of the whole machine's work, what others did, in per cent.
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
    /// `order-2`, `postgres`.
    pub name: String,
    /// What it is part of.
    pub part: Part,
    /// Processor time in all.
    pub cpu_ms: u64,
    /// For each request, in milliseconds of one core.
    pub core_ms_per_request: f64,
    /// Memory at the end, in bytes; shared memory of a server counts once.
    pub resident: Option<u64>,
    /// The most there was.
    pub resident_most: Option<u64>,
}
