//! `cargo souk bench cache`: what it costs to show products, lists and searches without a memory, with product's, with the
//! gateway's as well, and when both are kept as long as nothing changes.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use operator::Options;
use operator::layout::Layout;
use souk::cli::{CacheBench, Load, Scenario};

use crate::report::{Cost, Report};
use crate::run::{load, run};
use crate::table::Table;
use crate::temporary_shop::with_shop;
use crate::{say, scenario};

/// The row of the chart.
const COST: &str = "  shop and stores";

/// What is turned off, from run to run: services, and their settings that are 0.
pub const VARIANTS: [(&str, &[(&str, &str)]); 4] = [
    (
        "no memory",
        &[("product", "SOUK_PRODUCT_CACHE_BYTES"), ("gateway", "SOUK_PRODUCT_PAGES_BYTES")],
    ),
    ("product's", &[("gateway", "SOUK_PRODUCT_PAGES_BYTES")]),
    (
        "half a second",
        &[("product", "SOUK_PRODUCT_CACHE_LIFE"), ("gateway", "SOUK_PRODUCT_PAGES_LIFE")],
    ),
    ("both", &[]),
];

/// Looks around in a shop: lists, products and searches, 1 to 10 to 1. The report goes to a folder.
///
/// # Errors
/// As [`crate::run`].
pub fn measure(options: &CacheBench, layout: &Layout, folder: &Path) -> Result<Report> {
    let file = folder.join("looking.json");
    let products = usize::try_from(options.products)?;
    let scenario = scenario::Scenario { products, ..scenario::Scenario::named(Scenario::Browse) };
    std::fs::write(&file, serde_json::to_vec(&scenario)?).context("writing the scenario")?;
    let load = Load {
        scenario_file: Some(file),
        rate: Some(options.rate),
        users: 2,
        out: Some(folder.join("report")),
        ..load(Scenario::Mix, options.duration) // the file's instead
    };
    Ok(run(&load, Some(layout))?.report)
}

/// A shop whose services have these settings at 0.
pub(crate) fn turn_off(shop: &mut Options, settings: &[(&str, &str)]) {
    let zero = |(service, name): &(&str, &str)| {
        ((*service).to_owned(), (*name).to_owned(), "0".to_owned())
    };
    shop.environment.extend(settings.iter().map(zero));
}

/// Measures each of [`VARIANTS`] in `folder`, one after the other, prints the table and draws a chart.
///
/// # Errors
/// When a shop does not come up, or cannot be measured, or did not show everything.
pub(crate) async fn in_turn(options: &CacheBench, folder: &Path, reports_in: &Path) -> Result<()> {
    let mut reports = Vec::new();
    for (name, off) in VARIANTS {
        say(&format!("---- {name}"));
        let (options, at) = (options.clone(), reports_in.join(name.replace([' ', '\''], "-")));
        std::fs::create_dir_all(&at)?;
        let change = |shop: &mut Options| turn_off(shop, off);
        let measured = move |layout: &Layout, _: &str| measure(&options, layout, &at);
        reports.push((name, with_shop(folder, change, measured).await?));
    }
    let table = table(&reports)?;
    table.chart(
        COST,
        "What a look at the catalogue costs, core-ms",
        &reports_in.join("cost.svg"),
    )?;
    say(&format!("\n{table}"));
    let shown = reports.iter().all(|(_, report)| report.total.errors_percent < 0.1);
    ensure!(shown, "some looks were answered with an error");
    Ok(())
}

/// The table: core-milliseconds for a request by process, and latencies. The first is what the others are compared with.
///
/// # Errors
/// When there is none, or the kernel does not tell what one has cost.
pub fn table(reports: &[(&str, Report)]) -> Result<Table> {
    let cost =
        |report: &Report| report.cost.clone().context("the kernel does not tell what it cost");
    let costs = reports.iter().map(|(_, report)| cost(report)).collect::<Result<Vec<_>>>()?;
    let first = costs.first().context("nothing was measured")?.clone();
    let mut table = Table::new("core-ms for a request", reports.iter().map(|it| it.0));
    for name in first.processes.iter().map(|process| &process.name) {
        let of = |cost: &Cost| cost.processes.iter().find(|process| process.name == *name).cloned();
        let figures = costs.iter().map(|cost| of(cost).map(|it| it.core_ms_per_request));
        table.add(&format!("  {name}"), 3, figures);
    }
    table.add(COST, 3, costs.iter().map(|it| Some(it.core_ms_per_request)));
    let ratio = |it: &Cost| Some(it.core_ms_per_request / first.core_ms_per_request);
    table.add("  for one without memory", 3, costs.iter().map(ratio));
    let phases = || reports.iter().map(|(_, report)| &report.total);
    table.add("p50, ms", 3, phases().map(|it| Some(it.latency_ms.p50)));
    table.add("p99, ms", 3, phases().map(|it| Some(it.latency_ms.p99)));
    table.add("good, %", 3, phases().map(|it| Some(100.0 - it.errors_percent)));
    Ok(table)
}
