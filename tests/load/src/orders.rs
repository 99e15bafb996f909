//! `cargo souk bench orders`: how many orders a second the shop settles, in units of what its machine
//! can do: the single rows that the same PostgreSQL commits in a second, in the same run.
//!
//! An order is settled when it was placed, its stock held, it was paid and confirmed: seven durable
//! changes in four databases and one at the payment provider. First as many orders are sent as the
//! shop settles ([`rush`]); then half as many, at times that were fixed before ([`steady`]), because a
//! latency at full load says nothing but how long the queue was made. Accounts, cards, carts and
//! tokens are there before ([`customers`]). What was settled when is read from the records ([`books`]).

mod customers;
mod sender;
mod rush;
mod steady;
mod slow;
mod books;
mod writes;
mod batches;
mod yardstick;
mod bench;
mod compare;
mod exchanges;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Parser as _;
use operator::layout::Layout;
use operator::signals::Signals;
use operator::state::State;
use operator::{Options, Shop};
use souk::cli::{Bench, CacheBench, EXIT_USAGE, Measured, Orders, SERVICES};
use souk::style::red;
use stores::{Home, Pgbench, Server, Stores};
use tokio::task::spawn_blocking;

use crate::showing;

pub use bench::measure;
pub use exchanges::{Counts, Exchanges, GROUP, count};
pub use report::Report;
pub use slow::{Slow, measure as measure_slow};

#[derive(Debug, clap::Parser)]
#[command(name = "bench", about = "Measure the shop against a yardstick of this machine", version)]
struct Program {
    #[command(flatten)]
    bench: Bench,
}

/// The whole program. 0: measured, and the books are right (targets that are missed are only said);
/// 1: they are not, or nothing could be measured; 64: the command line makes no sense.
pub fn main() -> ExitCode {
    let what = match Program::try_parse() {
        Ok(Program { bench }) => bench.what,
        Err(error) => {
            let _ = error.print(); // if it cannot be printed, nobody looks
            return if error.use_stderr() { EXIT_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match verb(&what) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("{} the books are not right: see the audit", red("error:"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{} {error:#}", red("error:"));
            ExitCode::FAILURE
        }
    }
}

/// Whether the books are right.
fn verb(what: &Measured) -> Result<bool> {
    let home = Home::find()?;
    let folder = home.path().join("bench/shop");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let right = match what.clone() {
        Measured::Orders(options) => {
            let asked = options.clone();
            let measured =
                move |layout: &Layout, server: &str| measure(&asked, layout, Some(server));
            let report = runtime.block_on(in_a_shop_of_its_own(measured, &folder, &[]));
            report.and_then(|report| {
                write(&options, &home, &report)?;
                if let Some(file) = &options.compare {
                    say(&compare::compare(file, &report)?);
                }
                Ok(report.audit.is_clean())
            })
        }
        Measured::Provider(options) => {
            let measured = move |layout: &Layout, _: &str| measure_slow(&options, layout);
            let slow = runtime.block_on(in_a_shop_of_its_own(measured, &folder, &[]));
            slow.map(|slow| slow.is_right())
        }
        Measured::Cache(options) => {
            runtime.block_on(shown(&options, &folder, &home.path().join("bench/cache")))
        }
    };
    runtime.shutdown_background(); // a measurement that was broken off is not waited for
    right
}

/// Whether everything was shown, in each of the shops, which are in `folder` one after the other.
async fn shown(options: &CacheBench, folder: &Path, reports_in: &Path) -> Result<bool> {
    let mut reports = Vec::new();
    for (name, off) in showing::VARIANTS {
        say(&format!("---- {name}"));
        let (options, at) = (options.clone(), reports_in.join(name.replace([' ', '\''], "-")));
        std::fs::create_dir_all(&at)?;
        let measure = move |layout: &Layout, _: &str| showing::measure(&options, layout, &at);
        reports.push((name, in_a_shop_of_its_own(measure, folder, off).await?));
    }
    say(&format!("\n{}", showing::table(&reports)?));
    Ok(reports.iter().all(|(_, report)| report.total.errors_percent < 0.1))
}

/// Opens a shop in a folder, measures it, and leaves nothing there. `zeros` are settings that are 0, and whose.
async fn in_a_shop_of_its_own<R: Send + 'static>(
    measure: impl FnOnce(&Layout, &str) -> Result<R> + Send + 'static,
    folder: &Path,
    zeros: &[(&str, &str)],
) -> Result<R> {
    let mut signals = Signals::catch()?;
    let shop = open(folder, zeros).await.context("starting the shop")?;
    let layout = Layout::at(&folder.join("run"));
    let server = shop.endpoints().postgres_url.clone();
    let measured = tokio::select! {
        measured = spawn_blocking(move || measure(&layout, &server)) => measured?,
        name = signals.next() => Err(anyhow!("stopped by {name}")),
    };
    let stopped = shop.stop().await;
    let report = measured.with_context(|| format!("logs are in {}", folder.display()))?;
    stopped?;
    clear(folder)?;
    Ok(report)
}

async fn open(folder: &Path, zeros: &[(&str, &str)]) -> Result<Shop> {
    let tools = stores::provide(&Home::find()?, &Server::ALL, &say)?;
    Pgbench::of(&tools)?; // rather now than after a minute
    let other = State::read(&Layout::at(&folder.join("run"))).ok().flatten();
    ensure!(!other.is_some_and(|other| other.is_up()), "another measurement is under way here");
    clear(folder)?;
    std::fs::create_dir_all(folder)?;
    let mut options = Options::in_folder(folder, tools)?;
    options.restart = false;
    options.stores.statements = true;
    let sampled = SERVICES.map(|service| {
        (service.to_owned(), "SOUK_TRACE_RATIO".to_owned(), report::TRACE_RATIO.to_string())
    });
    options.environment.extend(sampled);
    let zero = |(service, name): &(&str, &str)| {
        ((*service).to_owned(), (*name).to_owned(), "0".to_owned())
    };
    options.environment.extend(zeros.iter().map(zero));
    Shop::start(options).await
}

fn clear(folder: &Path) -> Result<()> {
    Stores::wipe(&folder.join("stores"))?;
    if folder.is_dir() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn write(options: &Orders, home: &Home, report: &Report) -> Result<()> {
    let at = report.setting.started_unix_ms / 1_000;
    let own = || home.path().join("bench").join(format!("orders-{at}"));
    let folder: PathBuf = options.out.clone().unwrap_or_else(own);
    let write = || -> Result<()> {
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("report.txt"), report.to_string())?;
        Ok(std::fs::write(folder.join("report.json"), serde_json::to_vec_pretty(report)?)?)
    };
    write().with_context(|| format!("cannot write the report to {}", folder.display()))?;
    say(&format!("report     {}", folder.join("report.json").display()));
    Ok(())
}

fn say(text: &str) {
    operator::speak::line(format_args!("{text}"));
}
