//! `cargo souk bench cache`: what it costs to show a product without a memory, with product's, and with the gateway's as well.

use std::path::Path;

use anyhow::{Context as _, Result};
use operator::layout::Layout;
use serde_json::json;
use souk::cli::{CacheBench, Load, Scenario};

use crate::report::Report;
use crate::run::run;

/// What is turned off, from run to run: services, and their settings that are 0.
pub const VARIANTS: [(&str, &[(&str, &str)]); 3] = [
    (
        "no memory",
        &[("product", "SOUK_PRODUCT_CACHE_BYTES"), ("gateway", "SOUK_PRODUCT_PAGES_BYTES")],
    ),
    ("product's", &[("gateway", "SOUK_PRODUCT_PAGES_BYTES")]),
    ("both", &[]),
];

/// Looks at products of a shop, one product a request. The report goes to a folder.
///
/// # Errors
/// As [`crate::run`].
pub fn measure(options: &CacheBench, layout: &Layout, folder: &Path) -> Result<Report> {
    let file = folder.join("looking.json");
    let scenario = json!({ "weights": { "browse": 1 }, "zipf": 1.0, "products": options.products });
    std::fs::write(&file, scenario.to_string()).context("writing the scenario")?;
    let load = Load {
        target: None,
        scenario: Scenario::Mix, // the file's instead
        scenario_file: Some(file),
        rate: Some(options.rate),
        steps: None,
        duration: Some(options.duration),
        users: 2,
        slo: Vec::new(),
        out: Some(folder.join("report")),
        staff_password_file: None,
    };
    Ok(run(&load, Some(layout))?.report)
}

/// The table: core-milliseconds for a request by process, and latencies. The first is what the others are compared with.
///
/// # Errors
/// When there is none, or the kernel does not tell what one has cost.
pub fn table(reports: &[(&str, Report)]) -> Result<String> {
    let mut lines = vec![row("core-ms for a request", reports, |it| it.0.to_owned())];
    let cost =
        |report: &Report| report.cost.clone().context("the kernel does not tell what it cost");
    let costs = reports.iter().map(|(_, report)| cost(report)).collect::<Result<Vec<_>>>()?;
    let figure = |value: f64| format!("{value:.3}");
    let first = costs.first().context("nothing was measured")?;
    for name in first.processes.iter().map(|process| &process.name) {
        let of = |at: usize| costs[at].processes.iter().find(|process| process.name == *name);
        let figures = (0..costs.len())
            .map(|at| of(at).map_or_else(String::new, |it| figure(it.core_ms_per_request)));
        lines.push(row(&format!("  {name}"), &figures.collect::<Vec<_>>(), String::clone));
    }
    lines.push(row("  shop and stores", &costs, |it| figure(it.core_ms_per_request)));
    let ratio =
        |it: &crate::report::Cost| figure(it.core_ms_per_request / first.core_ms_per_request);
    lines.push(row("  for one without memory", &costs, ratio));
    lines.push(row("p50, ms", reports, |it| figure(it.1.total.latency_ms.p50)));
    lines.push(row("p99, ms", reports, |it| figure(it.1.total.latency_ms.p99)));
    lines.push(row("good, %", reports, |it| figure(100.0 - it.1.total.errors_percent)));
    Ok(lines.join("\n"))
}

fn row<T>(name: &str, columns: &[T], text: impl Fn(&T) -> String) -> String {
    let columns = columns.iter().map(|column| format!("{:>12}", text(column)));
    format!("{name:<26}{}", columns.collect::<String>())
}
