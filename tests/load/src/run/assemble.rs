//! From what was counted to what is told.

use anyhow::Result;
use audit::Verdict;
use souk::cli::{Class, Load};

use super::Run;
use crate::knee::{self, Step};
use crate::machine::{self, Part};
use crate::measure::Counted;
use crate::report::{
    Cost, Errors, Generator, Latency, Layout, Moment, Orders, Outage, Phase, Process, Report, Route,
};
use crate::scenario;
use crate::schedule::OUTAGE;
use crate::settled::Ends;
use crate::slo::{self, Measured};

/// A generator that is later than this with one request in a hundred measures itself.
const LATE_MAX_MS: f64 = 20.0;
/// Of what is offered, so many requests may find no free customer.
const STARVED_MAX: f64 = 0.001;
/// Of the requests of users whose shard is not away, so many per cent are answered as they should be.
const OTHERS_MIN: f64 = 99.9;

pub(super) fn report(run: &Run, options: &Load) -> Result<Report> {
    let all = run.driven.recorder.measured(&run.phases)?;
    let audit = run.audit.as_ref().map(|audit| audit.verdict.clone());
    let cost = cost(run, &all);
    let expected = slo::expected(&options.slo);
    let phases = phases(run)?;
    let steps = run.phases.iter().zip(&run.driven.recorder.phases);
    let steps = steps.filter(|(phase, _)| phase.measured).zip(&phases);
    let steps: Vec<Step> = steps
        .map(|((_, counted), told)| {
            let levels = slo::judge(&expected, &Seen { counted, ends: None });
            let levels_met = levels.iter().all(|level| level.met);
            Step { offered: told.offered, good: told.good, levels_met }
        })
        .collect();
    let seconds = phases.iter().map(|phase| phase.seconds).sum();
    let core_ms = cost.as_ref().map(|cost| cost.core_ms_per_request);
    Ok(Report {
        name: run.name.clone(),
        scenario: run.scenario.clone(),
        target: run.target.url(),
        started_unix_ms: run.started_unix_ms,
        users: run.driven.members.len(),
        environment: run.environment.clone(),
        shop: run.target.local.as_ref().map(|local| Layout::of(&local.state)),
        total: phase("together", seconds, &all, core_ms)?,
        phases,
        routes: routes(&all),
        errors: errors(&all),
        moments: moments(run),
        orders: orders(run),
        outage: outage(run),
        knee: options.steps.and_then(|_| knee::find(&steps)),
        levels: slo::judge(&expected, &Seen { counted: &all, ends: Some(&run.ends) }),
        generator: generator(&all),
        cost,
        audit,
    })
}

/// What has to be said and makes the exit code 1.
pub(super) fn failures(report: &Report, options: &Load) -> Vec<String> {
    let broken = report.audit.iter().flat_map(Verdict::broken);
    let broken = broken.map(|check| {
        let first = check.examples.first().map_or("", String::as_str);
        format!("audit: {}: {} wrong: {first}", check.name, check.defects)
    });
    let open = (report.orders.open > 0 && report.audit.is_none())
        .then(|| format!("{} accepted orders did not end", report.orders.open));
    // A run in steps goes on until levels are missed: there the knee is the answer.
    let judged = report.levels.iter().filter(|_| options.steps.is_none());
    let missed = judged.filter(|level| level.stated && !level.met).map(|level| {
        let (name, unit) = (&level.name, level.unit);
        format!("{name} is {:.2} {unit}, expected at most {} {unit}", level.measured, level.limit)
    });
    let late = (options.steps.is_none() && !report.generator.kept_its_schedule).then(|| {
        let late = &report.generator.lateness_ms;
        format!(
            "this generator cannot keep the rate: it sent p99 {:.0} ms late, and found no free \
             customer {} times",
            late.p99, report.generator.starved
        )
    });
    let dragged = report.outage.filter(|outage| outage.others_percent() < OTHERS_MIN);
    let dragged = dragged.map(|outage| {
        let (good, least) = (outage.others_percent(), OTHERS_MIN);
        format!("other users' requests: {good:.3} % good, expected at least {least} %")
    });
    broken.chain(open).chain(dragged).chain(missed).chain(late).collect()
}

/// What expectations are compared with.
struct Seen<'a> {
    counted: &'a Counted,
    ends: Option<&'a Ends>,
}

impl Measured for Seen<'_> {
    fn latency_ms(&self, class: Class, percentile: f64) -> Option<f64> {
        let at = percentile / 100.0;
        if class == Class::Settled {
            let took = &self.ends?.took;
            return (!took.is_empty()).then(|| ms(took.value_at_quantile(at)));
        }
        let latencies = self.counted.of(|route| route.class() == class).ok()?;
        (!latencies.is_empty()).then(|| ms(latencies.value_at_quantile(at)))
    }

    fn errors_percent(&self) -> f64 {
        percent(self.counted.bad(), self.counted.good() + self.counted.bad())
    }
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

fn phases(run: &Run) -> Result<Vec<Phase>> {
    let mut told = Vec::new();
    for (at, (planned, counted)) in run.phases.iter().zip(&run.driven.recorder.phases).enumerate() {
        if planned.measured {
            let look = |at: usize| run.looks.get(at)?.as_ref();
            let spent = look(at).zip(look(at + 1)).map(|(from, to)| to.since(from, &run.groups));
            let core_ms =
                spent.and_then(|spent| each(spent.shop(), counted.good() + counted.bad()));
            told.push(phase(&planned.name, planned.duration.as_secs_f64(), counted, core_ms)?);
        }
    }
    Ok(told)
}

fn each(ms: u64, requests: u64) -> Option<f64> {
    (requests > 0).then(|| ms as f64 / requests as f64)
}

fn phase(name: &str, seconds: f64, counted: &Counted, core_ms: Option<f64>) -> Result<Phase> {
    Ok(Phase {
        name: name.to_owned(),
        seconds,
        offered: counted.offered as f64 / seconds,
        good: counted.good() as f64 / seconds,
        errors_percent: percent(counted.bad(), counted.good() + counted.bad()),
        latency_ms: Latency::of(&counted.of(|_| true)?),
        core_ms_per_request: core_ms,
    })
}

fn routes(all: &Counted) -> Vec<Route> {
    let used = scenario::Route::ALL.into_iter().zip(&all.routes);
    let used = used.filter(|(_, answers)| answers.good.len() + answers.bad() > 0);
    let told = used.map(|(route, answers)| Route {
        name: route.name(),
        request: route.request(),
        good: answers.good.len(),
        bad: answers.bad(),
        latency_ms: Latency::of(&answers.good),
    });
    told.collect()
}

fn errors(all: &Counted) -> Vec<Errors> {
    let routes = scenario::Route::ALL.into_iter().zip(&all.routes);
    let told = routes.flat_map(|(route, answers)| {
        let error = move |(code, count): (&String, &u64)| Errors {
            route: route.name(),
            code: code.trim_end().to_owned(),
            count: *count,
        };
        answers.bad.iter().map(error)
    });
    told.collect()
}

fn moments(run: &Run) -> Vec<Moment> {
    let length = run.driven.recorder.moment.as_secs_f64();
    let told = run.driven.recorder.moments.iter().enumerate().map(|(at, moment)| Moment {
        second: at as f64 * length,
        offered: moment.offered as f64 / length,
        good: moment.good.len() as f64 / length,
        bad: moment.bad as f64 / length,
        p50: ms(moment.good.value_at_quantile(0.5)),
        p99: ms(moment.good.value_at_quantile(0.99)),
    });
    told.collect()
}

fn orders(run: &Run) -> Orders {
    let Ends { took, confirmed, cancelled, open } = &run.ends;
    Orders {
        accepted: run.driven.acknowledged.len() as u64,
        looked_at: run.ends.count(),
        confirmed: *confirmed,
        cancelled: *cancelled,
        open: *open,
        settled_ms: Latency::of(took),
    }
}

fn outage(run: &Run) -> Option<Outage> {
    let at = run.phases.iter().position(|phase| phase.name == OUTAGE)?;
    let counted = run.driven.recorder.phases.get(at)?;
    let of_shard = counted.of_shard;
    Some(Outage {
        others_good: counted.good() - of_shard.good,
        others_bad: counted.bad() - of_shard.bad,
        own_good: of_shard.good,
        own_bad: of_shard.bad,
    })
}

fn generator(all: &Counted) -> Generator {
    let lateness_ms = Latency::of(&all.lateness);
    let starved_share = all.starved as f64 / all.offered.max(1) as f64;
    let kept_its_schedule = lateness_ms.p99 <= LATE_MAX_MS && starved_share <= STARVED_MAX;
    Generator { lateness_ms, starved: all.starved, kept_its_schedule }
}

/// From the first measured phase until the last order had settled.
fn cost(run: &Run, all: &Counted) -> Option<Cost> {
    let first = run.phases.iter().position(|phase| phase.measured)?;
    let from = run.looks.get(first)?.as_ref()?;
    let spent = run.at_rest.as_ref()?.since(from, &run.groups);
    let requests = all.good() + all.bad();
    let processes = run.groups.iter().zip(&spent.groups).map(|(group, (part, cpu_ms))| {
        let (resident, resident_most) = machine::memory(group);
        Process {
            name: group.name.clone(),
            part: *part,
            cpu_ms: *cpu_ms,
            core_ms_per_request: each(*cpu_ms, requests).unwrap_or_default(),
            resident,
            resident_most,
        }
    });
    let processes: Vec<Process> = processes.collect();
    let shop = processes.iter().filter(|process| process.part == Part::Shop);
    Some(Cost {
        requests,
        seconds: spent.seconds,
        core_ms_per_request: each(spent.shop(), requests)?,
        all_core_ms_per_request: each(spent.all(), requests)?,
        others_percent: spent.others_percent(),
        shop_resident: shop.filter_map(|process| process.resident).sum(),
        shop_pss: machine::shop_pss(&run.groups),
        processes,
    })
}
