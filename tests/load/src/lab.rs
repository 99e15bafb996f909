//! `cargo souk lab N`: the experiments of the lab book, docs/scaling.md. Most put one load on shops that differ in one thing
//! ([`experiments`]); each prints its question, runs, and prints the figures and a chart.

mod experiments;
pub(crate) mod precomputed;
pub mod sessions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, ensure};
use operator::layout::Layout;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use souk::cli::{EXPERIMENTS, Lab};
use souk::style::red;
use stores::Home;

use crate::run::{Finished, run_while};
use crate::table::Table;
use crate::temporary_shop::with_shop;
use crate::{arguments, say};
use experiments::{BY_LOAD, Experiment, Variant};

/// The numbers of those that are not one load on several shops.
const SESSIONS: usize = 3;
const PRECOMPUTED: usize = 5;

#[derive(Debug, clap::Parser)]
#[command(name = "lab", about = "Run an experiment of the lab book", version)]
struct Program {
    #[command(flatten)]
    lab: Lab,
}

/// The whole program. 0: run; 1: it could not be, or a promise was not kept meanwhile; 64: the command line makes no sense.
pub fn main() -> ExitCode {
    let lab = match arguments() {
        Ok(Program { lab }) => lab,
        Err(code) => return code,
    };
    let done = match lab.number {
        Some(number) => run(number.into()),
        None => Err(anyhow!("{}", Lab::list())),
    };
    if let Err(error) = done {
        eprintln!("{} {error:#}", red("error:"));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(number: usize) -> Result<()> {
    let title = EXPERIMENTS.get(number - 1).context("there is no such experiment")?;
    let home = Home::find()?;
    let (shop, out) = (home.path().join("bench/shop"), home.path().join(format!("lab/{number}")));
    std::fs::create_dir_all(&out)?;
    say(&format!("{number}  {title}\n"));
    if number == SESSIONS {
        ask(sessions::QUESTION);
        let follow = |layout: &Layout, _: &str| sessions::run(layout);
        return in_runtime(with_shop(&shop, sessions::copies, follow));
    }
    if number == PRECOMPUTED {
        ask(precomputed::QUESTION);
        let measure = |layout: &Layout, _: &str| precomputed::run(layout);
        let table = in_runtime(with_shop(&shop, precomputed::idle, measure))?;
        return show(&table, precomputed::ASKED, title, &out);
    }
    let by_load = BY_LOAD.iter().find(|(its, _)| *its == number);
    let (_, experiment) = by_load.context("there is no such experiment")?;
    ask(experiment.question);
    let (table, failures) = in_turn(experiment, &shop, &out)?;
    show(&table, experiment.chart, title, &out)?;
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

/// The table, and a row of it as a chart.
fn show(table: &Table, row: &str, title: &str, out: &Path) -> Result<()> {
    let chart = out.join("chart.svg");
    table.chart(row, title, &chart)?;
    say(&format!("\n{table}\n\n{}\n", table.bars(row)?));
    say(&format!("chart      {}", chart.display()));
    say("Why, where the code is, and when not to do it: docs/scaling.md");
    Ok(())
}

fn ask(question: &str) {
    say(question);
    say("\nWhat do you expect? Write it down before you read on.\n");
}

/// The figures, and which promises were not kept.
fn in_turn(experiment: &Experiment, shop: &Path, out: &Path) -> Result<(Table, Vec<String>)> {
    let columns = experiment.shops.iter().map(|variant| variant.name);
    let mut table = Table::new("", columns);
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for variant in experiment.shops {
        say(&format!("---- {}", variant.name));
        let folder = out.join(variant.name.replace(' ', "-"));
        let finished = measured(experiment, variant, shop, folder)?;
        let of_this = |failure| format!("{}: {failure}", variant.name);
        failures.extend(finished.failures.into_iter().map(of_this));
        reports.push(finished.report);
    }
    for (name, decimals, figure) in experiment.figures {
        table.add(name, *decimals, reports.iter().map(figure));
    }
    Ok((table, failures))
}

/// The generator is no part of the shop: only that is kept to some of the cores.
fn measured(
    experiment: &Experiment,
    variant: &Variant,
    shop: &Path,
    report_in: PathBuf,
) -> Result<Finished> {
    let all = sched_getaffinity(None)?;
    let (mut load, meanwhile) = ((experiment.load)(), variant.meanwhile);
    load.out = Some(report_in);
    let measure = move |layout: &Layout, _: &str| {
        sched_setaffinity(None, &all)?;
        let at = layout.clone();
        run_while(&load, Some(layout), Box::new(move |begin| meanwhile(&at, begin)))
    };
    let cores = variant.cores.map_or(Ok(all), |cores| first(&all, cores))?;
    sched_setaffinity(None, &cores)?; // threads and processes that are started inherit it
    let report = in_runtime(with_shop(shop, variant.change, measure));
    sched_setaffinity(None, &all)?;
    report
}

fn first(all: &CpuSet, cores: usize) -> Result<CpuSet> {
    let mut some = CpuSet::new();
    let allowed = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).take(cores);
    allowed.for_each(|cpu| some.set(cpu));
    let found = usize::try_from(some.count())?;
    ensure!(found == cores, "this experiment wants {cores} cores; there are {found}");
    Ok(some)
}

fn in_runtime<R>(work: impl Future<Output = Result<R>>) -> Result<R> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background(); // a measurement that was broken off is not waited for
    done
}
