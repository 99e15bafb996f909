//! `cargo souk bench WHAT`: which measurement, in a shop of its own, and where its report goes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use operator::layout::Layout;
use souk::cli::{Bench, Measured, Orders};
use souk::style::red;
use stores::Home;

use crate::freshness::Freshness;
use crate::orders::{self, compare, measure, measure_slow};
use crate::temporary_shop::with_shop;
use crate::{arguments, catalogue, freshness, hits, hot, monolith, say, showing, stampede};

#[derive(Debug, clap::Parser)]
#[command(name = "bench", about = "Measure the shop against a yardstick of this machine", version)]
struct Program {
    #[command(flatten)]
    bench: Bench,
}

/// The whole program. 0: measured, and the books are right (targets that are missed are only said);
/// 1: they are not, or nothing could be measured; 64: the command line makes no sense.
pub fn main() -> ExitCode {
    let what = match arguments() {
        Ok(Program { bench }) => bench.what,
        Err(code) => return code,
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
    let out = |name: &str| home.path().join("bench").join(name);
    let folder = out("shop");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let right = match what.clone() {
        Measured::Orders(options) => runtime.block_on(orders_in(&options, &home, &folder)),
        Measured::Provider(options) => {
            let measured = move |layout: &Layout, _: &str| measure_slow(&options, layout);
            let slow = runtime.block_on(with_shop(&folder, |_| {}, measured));
            slow.map(|slow| slow.is_right())
        }
        Measured::Freshness(options) => {
            let measured = move |layout: &Layout, _: &str| freshness::measure(&options, layout);
            runtime.block_on(with_shop(&folder, freshness::copies, measured)).and_then(fresh)
        }
        Measured::Cache(options) => {
            let reports_in = out("cache");
            let shown = runtime.block_on(showing::in_turn(&options, &folder, &reports_in));
            shown.and_then(|()| runtime.block_on(hits::show(&reports_in))).map(|()| true)
        }
        Measured::Stampede(options) => {
            runtime.block_on(stampede::in_turn(&options, &folder, &out("stampede"))).map(|()| true)
        }
        Measured::Catalogue(options) => {
            runtime.block_on(catalogue::run(&options, &folder, &out("catalogue"))).map(|()| true)
        }
        Measured::Monolith(options) => {
            runtime.block_on(monolith::in_turn(&options, &folder, &out("monolith"))).map(|()| true)
        }
        Measured::Hot(options) => {
            runtime.block_on(hot::in_turn(&options, &folder, &out("hot"))).map(|()| true)
        }
    };
    runtime.shutdown_background(); // a measurement that was broken off is not waited for
    right
}

async fn orders_in(options: &Orders, home: &Home, folder: &Path) -> Result<bool> {
    let asked = options.clone();
    let measured = move |layout: &Layout, server: &str| measure(&asked, layout, Some(server));
    let report = with_shop(folder, |_| {}, measured).await?;
    write(options, home, &report)?;
    if let Some(file) = &options.compare {
        say(&compare(file, &report)?);
    }
    Ok(report.audit.is_clean())
}

fn fresh(seen: Freshness) -> Result<bool> {
    say(&seen.to_string());
    ensure!(seen.is_right(), "what was shown had been replaced for more than a second");
    Ok(true)
}

fn write(options: &Orders, home: &Home, report: &orders::Report) -> Result<()> {
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
