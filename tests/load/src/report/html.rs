//! The report as one HTML file: charts, then the text, then nothing else to fetch.

use super::chart::{Scale, Series, bars, lines};
use super::{Cost, Moment, Phase, Report};
use crate::knee::Knee;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:820px;margin:2em auto;\
padding:0 1em;color:#1f2328}svg{width:100%;height:auto;margin:.3em 0 1.2em}\
pre{font-size:12px;overflow-x:auto;background:#f6f8fa;padding:1em}h2{font-size:1.1em;margin:1.4em 0 .2em}\
.bad{color:#cf222e}.good{color:#1a7f37}";

/// The whole page.
pub fn page(report: &Report) -> String {
    let title = escape(&format!("{} at {}", report.name, report.target));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
    );
    page.push_str(&summary(report));
    if report.phases.len() > 1 {
        section(&mut page, "Rate by rate: latency and what it costs", &steps(report));
    }
    section(&mut page, "Offered, good and bad in time", &rates(&report.moments));
    section(&mut page, "Latency in time", &latencies(&report.moments));
    section(&mut page, "Latency by route: half, and 99 of 100", &routes(report));
    if let Some(cost) = &report.cost {
        section(&mut page, "Processor time for each request", &costs(cost));
        section(&mut page, "Memory at the end", &memory(cost));
    }
    let text = escape(&super::lines(report).join("\n"));
    page.push_str(&format!("<h2>In full</h2>\n<pre>{text}</pre>\n</body></html>\n"));
    page
}

fn summary(report: &Report) -> String {
    let mut items = vec![format!(
        "{:.0} requests a second offered, {:.0} good; p50 {:.1} ms, p99 {:.1} ms",
        report.total.offered,
        report.total.good,
        report.total.latency_ms.p50,
        report.total.latency_ms.p99
    )];
    items.extend(report.knee.iter().map(|knee| format!("knee: {}", super::text::told(knee))));
    items.extend(report.cost.iter().map(|cost| {
        format!("{:.3} core-ms per request, stores included", cost.core_ms_per_request)
    }));
    let missed = report.levels.iter().filter(|level| !level.met).count();
    items.push(format!(
        "{} of {} expectations met",
        report.levels.len() - missed,
        report.levels.len()
    ));
    if !report.generator.kept_its_schedule {
        items.push(
            "the generator did not keep its schedule: the rates are not those asked for".into(),
        );
    }
    items.push(match &report.audit {
        None => "audit: the shop's records are out of reach".to_owned(),
        Some(verdict) if verdict.is_clean() => {
            format!("audit: all of {} promises kept", verdict.checks.len())
        }
        Some(verdict) => format!("audit: {} promises BROKEN", verdict.broken().count()),
    });
    let items: Vec<String> =
        items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
    format!("<ul>{}</ul>\n", items.join("\n"))
}

fn section(page: &mut String, title: &str, chart: &str) {
    if !chart.is_empty() {
        page.push_str(&format!("<h2>{}</h2>\n{chart}", escape(title)));
    }
}

fn series<T>(name: &str, items: &[T], point: impl Fn(&T) -> (f64, f64)) -> Series {
    Series { name: name.to_owned(), points: items.iter().map(point).collect() }
}

fn rates(moments: &[Moment]) -> String {
    let all = [
        series("offered", moments, |moment| (moment.second, moment.offered)),
        series("good", moments, |moment| (moment.second, moment.good)),
        series("bad", moments, |moment| (moment.second, moment.bad)),
    ];
    lines("seconds", "requests/s", Scale::Linear, &all, None)
}

fn latencies(moments: &[Moment]) -> String {
    let answered: Vec<Moment> =
        moments.iter().copied().filter(|moment| moment.good > 0.0).collect();
    let all = [
        series("p50", &answered, |moment| (moment.second, moment.p50)),
        series("p99", &answered, |moment| (moment.second, moment.p99)),
    ];
    lines("seconds", "ms", Scale::Log, &all, None)
}

fn steps(report: &Report) -> String {
    let phases = &report.phases;
    let by_rate = report.knee.is_some();
    if !by_rate {
        return String::new(); // a spike: what comes when is in the other charts
    }
    let mark = match report.knee {
        Some(Knee::Between { borne, .. } | Knee::Above(borne)) => Some((borne, "borne")),
        _ => None,
    };
    let latency = [
        series("p50", phases, |phase| (phase.offered, phase.latency_ms.p50)),
        series("p99", phases, |phase| (phase.offered, phase.latency_ms.p99)),
    ];
    let cost = |phase: &Phase| Some((phase.offered, phase.core_ms_per_request?));
    let costs = Series { name: "core-ms".into(), points: phases.iter().filter_map(cost).collect() };
    let good = [series("good", phases, |phase| (phase.offered, phase.good))];
    [
        lines("requests/s offered", "ms", Scale::Log, &latency, mark),
        lines("requests/s offered", "requests/s", Scale::Linear, &good, mark),
        lines("requests/s offered", "core-ms/request", Scale::Linear, &[costs], mark),
    ]
    .concat()
}

fn routes(report: &Report) -> String {
    let answered = report.routes.iter().filter(|route| route.good > 0);
    let told = answered.flat_map(|route| {
        let latency = &route.latency_ms;
        [
            (route.name.to_owned(), latency.p50, format!("p50 {:.1} ms", latency.p50)),
            (String::new(), latency.p99, format!("p99 {:.1} ms", latency.p99)),
        ]
    });
    bars(&told.collect::<Vec<_>>())
}

fn costs(cost: &Cost) -> String {
    let bar = |process: &super::Process| {
        let ms = process.core_ms_per_request;
        (process.name.clone(), ms, format!("{ms:.4} core-ms"))
    };
    bars(&cost.processes.iter().map(bar).collect::<Vec<_>>())
}

fn memory(cost: &Cost) -> String {
    let bar = |process: &super::Process| {
        let mb = process.resident? as f64 / 1e6;
        Some((process.name.clone(), mb, format!("{mb:.1} MB")))
    };
    bars(&cost.processes.iter().filter_map(bar).collect::<Vec<_>>())
}

/// Text as it can stand between tags.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
