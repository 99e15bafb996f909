//! One run, from finding the shop to the report.

mod assemble;

use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use audit::{Audit, audit};
use operator::api::Api;
use operator::board::now_unix_ms;
use operator::layout::Layout;
use souk::cli::{self, Load};
use stores::Home;

use crate::drive::{Driven, drive};
use crate::machine::{self, Environment, Group, Snapshot};
use crate::outage::ShardOutage;
use crate::pace::Pace;
use crate::report::{self, Report};
use crate::say;
use crate::scenario::Scenario;
use crate::schedule::{self, OUTAGE, Phase};
use crate::seed;
use crate::settled::{self, Ends};
use crate::shop::Target;
use crate::wire::{Wire, on_this_thread};

/// For the last orders to settle, and for the records to agree.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// What a run leaves.
#[derive(Debug)]
pub struct Finished {
    /// What was measured.
    pub report: Report,
    /// Where it was written to.
    pub folder: Option<PathBuf>,
    /// Promises and stated service levels that were not kept, a line each. Empty: all is well.
    pub failures: Vec<String>,
}

/// Customers of a scenario, at a rate or in steps that are still to be said.
pub(crate) fn load(scenario: cli::Scenario, duration: Duration) -> Load {
    Load {
        target: None,
        scenario,
        scenario_file: None,
        rate: None,
        steps: None,
        duration: Some(duration),
        users: 200,
        slo: Vec::new(),
        out: None,
        staff_password_file: None,
    }
}

/// Runs it, on this thread. `here` is the folder of the shop that runs on this machine, if one does.
///
/// # Errors
/// When there is no shop to measure, or the report cannot be written.
pub fn run(options: &Load, here: Option<&Layout>) -> Result<Finished> {
    run_while(options, here, Box::new(|_| Ok(())))
}

/// What is done to the shop under load. It gets the moment at which the warm-up begins.
pub(crate) type Meanwhile = Box<dyn FnOnce(Instant) -> Result<()> + Send>;

/// The same, and something is done meanwhile, on a thread of its own.
///
/// # Errors
/// As [`run`], and those of what is done; these only when the load is over.
pub(crate) fn run_while(
    options: &Load,
    here: Option<&Layout>,
    meanwhile: Meanwhile,
) -> Result<Finished> {
    on_this_thread(measured(options, here, meanwhile))
}

/// Everything that [`assemble`] makes a report of.
struct Run {
    name: String,
    scenario: Scenario,
    target: Target,
    started_unix_ms: i64,
    environment: Environment,
    phases: Vec<Phase>,
    driven: Driven,
    groups: Vec<Group>,
    /// At the beginning of each phase, and at the end of the last.
    looks: Vec<Option<Snapshot>>,
    /// When the last order had settled.
    at_rest: Option<Snapshot>,
    ends: Ends,
    audit: Option<Audit>,
}

async fn measured(options: &Load, here: Option<&Layout>, meanwhile: Meanwhile) -> Result<Finished> {
    let run = driven(options, here, meanwhile).await?;
    let report = assemble::report(&run, options)?;
    report::lines(&report).iter().for_each(|line| say(line));
    let folder = write(options, &report)?;
    let failures = assemble::failures(&report, options);
    Ok(Finished { report, folder, failures })
}

/// Prepares users, sends everything, and waits for what it set going.
async fn driven(options: &Load, here: Option<&Layout>, meanwhile: Meanwhile) -> Result<Run> {
    let (name, scenario) = match &options.scenario_file {
        Some(file) => (file.display().to_string(), Scenario::read(file)?),
        None => (options.scenario.name().to_owned(), Scenario::named(options.scenario)),
    };
    let target = Target::find(options, here).await?;
    let phases = schedule::phases(options);
    let outage = phases.iter().any(|phase| phase.name == OUTAGE);
    let outage = outage.then(|| ShardOutage::of(&target)).transpose()?;
    let environment = Environment::now();
    let api = Api::new(&target.url());
    let products = seed::products(&api, &target, scenario.products).await?;
    say(&format!("target     {}; {} products", target.url(), products.len()));
    let mut members = members(options, &api, &products).await?;
    outage.iter().try_for_each(|outage| outage.mark(&mut members))?;

    let groups =
        target.local.as_ref().map_or_else(Vec::new, |local| machine::groups(&local.state, "load"));
    phases.iter().for_each(announce);
    let wire = Wire::to(&target.gateways)?;
    let (started_unix_ms, pace) = (now_unix_ms(), Pace::start(&phases)?);
    let begin = pace.begin;
    let beside = thread::spawn(move || meanwhile(begin));
    let outage = outage.map(|outage| outage.begin(&phases, pace.begin));
    let looking = machine::look_at(groups.clone(), boundaries(&phases, pace.begin));
    let driven = drive(wire, &api, scenario.clone(), &phases, &products, members, pace).await?;
    let looks = looking.join().unwrap_or_default();
    joined(beside).context("what was done under load")?;
    outage.map_or(Ok(()), joined).context("the outage")?;
    let (ends, at_rest, audit) = settle(&target, &api, &driven, &groups).await?;
    Ok(Run {
        name,
        scenario,
        target,
        started_unix_ms,
        environment,
        phases,
        driven,
        groups,
        looks,
        at_rest,
        ends,
        audit,
    })
}

fn joined(thread: JoinHandle<Result<()>>) -> Result<()> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

async fn members(options: &Load, api: &Api, products: &[String]) -> Result<Vec<seed::Member>> {
    let users = usize::try_from(options.users)?;
    let said = |done| {
        if done % 100 == 0 || done == users {
            say(&format!(
                "users      {done} of {users} signed up, each with something in the cart"
            ));
        }
    };
    seed::members(api, users, products, said).await
}

fn announce(phase: &Phase) {
    let Phase { name, rate, duration, .. } = phase;
    say(&format!("phase      {name}: {rate} requests/s for {} s", duration.as_secs_f64()));
}

/// The beginnings of the phases, and the end.
fn boundaries(phases: &[Phase], begin: Instant) -> Vec<Instant> {
    let mut at = begin;
    let ends = phases.iter().map(|phase| {
        at += phase.duration;
        at
    });
    std::iter::once(begin).chain(ends).collect()
}

/// Waits for the last orders. What they cost belongs to the run; what the audit costs does not.
async fn settle(
    target: &Target,
    api: &Api,
    driven: &Driven,
    groups: &[Group],
) -> Result<(Ends, Option<Snapshot>, Option<Audit>)> {
    let Some(local) = &target.local else {
        return Ok((settled::asked(api, &driven.members, &driven.acknowledged).await?, None, None));
    };
    audit::until_quiet(&local.places, SETTLED_MAX).await?;
    let at_rest = machine::snapshot(groups);
    let ids: Vec<_> = driven.acknowledged.iter().map(|(id, _)| *id).collect();
    let audit = audit(&local.places, &ids, SETTLED_MAX).await.context("auditing")?;
    Ok((settled::recorded(&audit.facts, &driven.acknowledged)?, at_rest, Some(audit)))
}

/// Outside of the repository, and without a folder named, the text is all there is.
fn write(options: &Load, report: &Report) -> Result<Option<PathBuf>> {
    let at = report.started_unix_ms / 1_000;
    let own = || {
        let home = Home::find().ok()?;
        Some(home.path().join("load").join(format!("{}-{at}", options.scenario.name())))
    };
    let Some(folder) = options.out.clone().or_else(own) else { return Ok(None) };
    let write = || -> Result<()> {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("report.txt"), report::lines(report).join("\n") + "\n")?;
        std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(report)?)?;
        Ok(std::fs::write(folder.join("report.html"), report::page(report))?)
    };
    write().with_context(|| format!("cannot write the report to {}", folder.display()))?;
    say(&format!("report     {}", folder.join("report.html").display()));
    Ok(Some(folder))
}
