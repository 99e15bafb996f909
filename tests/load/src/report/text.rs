//! The report for a terminal.

use super::{Cost, Generator, Latency, Orders, Outage, Phase, Report};
use crate::knee::Knee;
use crate::slo::Judged;

/// Line by line.
pub fn lines(report: &Report) -> Vec<String> {
    let mut lines = vec![heading(report), environment(report), String::new()];
    lines.push(columns("phase", ["offered/s", "good/s", "errors %"], "core-ms"));
    lines.extend(report.phases.iter().map(phase));
    if report.phases.len() > 1 {
        lines.push(phase(&report.total));
    }
    lines.push(String::new());
    lines.push(columns("route", ["", "good", "bad"], ""));
    lines.extend(report.routes.iter().map(|route| {
        let counts = [String::new(), route.good.to_string(), route.bad.to_string()];
        row(route.name, counts, &route.latency_ms, "")
    }));
    lines.extend(orders(&report.orders));
    lines.extend(
        report
            .errors
            .iter()
            .map(|error| format!("  {:>8} × {} {}", error.count, error.route, error.code)),
    );
    lines.extend(report.outage.iter().map(outage));
    lines.extend(report.knee.iter().map(|knee| format!("\nknee       {}", told(knee))));
    lines.extend(report.cost.iter().flat_map(cost));
    lines.push(String::new());
    lines.push("expected".to_owned());
    lines.extend(report.levels.iter().map(level));
    lines.push(String::new());
    lines.push(generator(&report.generator));
    match &report.audit {
        Some(verdict) => lines.push(format!("audit\n{verdict}").trim_end().to_owned()),
        None => lines.push("audit      the shop's records are out of reach from here".to_owned()),
    }
    lines
}

fn heading(report: &Report) -> String {
    format!("{} at {}, {} users", report.name, report.target, report.users)
}

fn environment(report: &Report) -> String {
    let environment = &report.environment;
    let shop = report.shop.as_ref().map_or_else(String::new, |shop| {
        format!(
            "; shop: {} profile, {} shard(s), {} processes",
            shop.profile,
            shop.shards,
            shop.processes.len()
        )
    });
    format!(
        "{}, {} cores, Linux {}, load {:.1} before{shop}",
        environment.processor, environment.cores, environment.kernel, environment.load_before
    )
}

fn columns(name: &str, counts: [&str; 3], last: &str) -> String {
    let [a, b, c] = counts;
    let left = format!("{name:<10} {a:>9} {b:>9} {c:>9}");
    format!(
        "{left} {:>8} {:>8} {:>8} {:>8} {:>8} {last:>8}",
        "p50 ms", "p90", "p99", "p99.9", "max"
    )
    .trim_end()
    .to_owned()
}

fn row(name: &str, counts: [String; 3], latency: &Latency, last: &str) -> String {
    let [a, b, c] = counts;
    let Latency { p50, p90, p99, p999, max, .. } = latency;
    let left = format!("{name:<10} {a:>9} {b:>9} {c:>9}");
    format!("{left} {p50:>8.1} {p90:>8.1} {p99:>8.1} {p999:>8.1} {max:>8.1} {last:>8}")
        .trim_end()
        .to_owned()
}

fn phase(phase: &Phase) -> String {
    let counts = [
        format!("{:.0}", phase.offered),
        format!("{:.0}", phase.good),
        format!("{:.2}", phase.errors_percent),
    ];
    let core = phase.core_ms_per_request.map_or_else(String::new, |ms| format!("{ms:.3}"));
    row(&phase.name, counts, &phase.latency_ms, &core)
}

fn orders(orders: &Orders) -> Vec<String> {
    if orders.accepted == 0 {
        return Vec::new();
    }
    let Orders { accepted, looked_at, confirmed, cancelled, open, settled_ms } = orders;
    let counts = [String::new(), looked_at.to_string(), open.to_string()];
    vec![
        row("settled", counts, settled_ms, ""),
        format!(
            "  {accepted} orders accepted; of {looked_at}: {confirmed} confirmed, {cancelled} cancelled"
        ),
    ]
}

fn outage(outage: &Outage) -> String {
    let Outage { others_good, others_bad, own_good, own_bad } = outage;
    format!(
        "\nshard away  others: {others_good} of {} requests good, {:.3} %; its own users: {own_good} of {}",
        others_good + others_bad,
        outage.others_percent(),
        own_good + own_bad
    )
}

/// The knee in words.
pub(super) fn told(knee: &Knee) -> String {
    match knee {
        Knee::Between { borne, not_borne } => {
            format!("{borne:.0}/s were borne, {not_borne:.0}/s were not")
        }
        Knee::Below(rate) => format!("below {rate:.0}/s, the first step"),
        Knee::Above(rate) => format!("above {rate:.0}/s, the last step"),
    }
}

fn cost(cost: &Cost) -> Vec<String> {
    let mb =
        |bytes: Option<u64>| bytes.map_or_else(|| "-".into(), |b| format!("{:.1}", b as f64 / 1e6));
    let mut lines = vec![
        String::new(),
        format!(
            "{:<11} {:>9} {:>15} {:>11} {:>9}",
            "process", "CPU s", "core-ms/request", "memory MB", "most"
        ),
    ];
    lines.extend(cost.processes.iter().map(|process| {
        format!(
            "{:<11} {:>9.2} {:>15.4} {:>11} {:>9}",
            process.name,
            process.cpu_ms as f64 / 1e3,
            process.core_ms_per_request,
            mb(process.resident),
            mb(process.resident_most)
        )
    }));
    lines.push(format!(
        "core-ms per request: {:.3} for shop and stores, {:.3} with provider, supervisor and generator",
        cost.core_ms_per_request, cost.all_core_ms_per_request
    ));
    lines.push(format!(
        "gateway and services: {} MB resident, {} MB proportional (PSS); others on this machine did {:.0} % of its work",
        mb(Some(cost.shop_resident)),
        mb(Some(cost.shop_pss)),
        cost.others_percent
    ));
    lines
}

fn level(level: &Judged) -> String {
    let Judged { name, unit, limit, measured, met, stated } = level;
    let word = if *met { "met   " } else { "MISSED" };
    let weight = if *stated { "" } else { "  (a default: no failure)" };
    format!("  {name:<14} {word} {measured:>9.2} {unit}, at most {limit} {unit}{weight}")
}

fn generator(generator: &Generator) -> String {
    let Generator { lateness_ms, starved, kept_its_schedule } = generator;
    let word = if *kept_its_schedule { "kept its schedule" } else { "DID NOT KEEP ITS SCHEDULE" };
    format!(
        "generator  {word}: late by p50 {:.2} ms, p99 {:.2} ms, {:.1} ms at most; {starved} requests \
         found no free customer",
        lateness_ms.p50, lateness_ms.p99, lateness_ms.max
    )
}
