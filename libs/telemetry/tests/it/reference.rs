//! The reference of metrics, docs/metrics.md, is what the catalogue says.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use telemetry::catalogue::ALL;
use telemetry::metrics::About;

const WRITE: &str = "SOUK_WRITE_METRICS";

const HEAD: &str = "<!-- Generated from libs/telemetry/src/catalogue.rs: SOUK_WRITE_METRICS=1 cargo test -p telemetry -->

# Metrics

Every metric that a process of the shop shows at `/metrics`, on its admin port. The list is
[`catalogue.rs`](../libs/telemetry/src/catalogue.rs), and there is no other way to register one. Change it there, and then run
`SOUK_WRITE_METRICS=1 cargo test -p telemetry`; without the variable `the_reference_is_what_the_catalogue_says` fails until that is done.
What to watch, and what to do about it: [operations.md](operations.md). Why the names are as they are, and what spans carry:
[traces.md](traces.md).

A label with a value always has that one. An `error_type` that is empty means that nothing failed. Histograms of seconds have
buckets from 0.5 ms to 10 s, the others from 1 to 256.
";

/// The beginning of a name, and the heading of all metrics whose names begin so.
const SECTIONS: [(&str, &str); 3] = [
    ("", "By OpenTelemetry's semantic conventions"),
    ("souk.", "The shop's own"),
    ("process.", "By Prometheus's conventions for a process"),
];

#[test]
fn the_reference_is_what_the_catalogue_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let expected = page();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == expected, "docs/metrics.md: {WRITE}=1 cargo test -p telemetry");
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (start, heading) in SECTIONS {
        let _ = write!(
            page,
            "\n## {heading}\n\n| at `/metrics` | name | | unit | labels | what it measures |\n|---|---|---|---|---|---|\n"
        );
        for about in ALL.iter().filter(|about| section(about) == start) {
            page.push_str(&row(about));
        }
    }
    page
}

fn section(about: &About) -> &'static str {
    let own = SECTIONS[1..].iter().find(|(start, _)| about.name.starts_with(start));
    own.map_or("", |(start, _)| start)
}

fn row(about: &About) -> String {
    let labels: Vec<String> = about.labels.iter().map(|label| label_of(label)).collect();
    format!(
        "| `{}` | `{}` | {} | `{}` | {} | {} |\n",
        about.prometheus_name(),
        about.name,
        about.kind,
        about.unit,
        labels.join(", "),
        about.help()
    )
}

fn label_of(label: &str) -> String {
    match label.split_once('=') {
        Some((name, value)) => format!("`{}=\"{value}\"`", name.replace('.', "_")),
        None => format!("`{}`", label.replace('.', "_")),
    }
}
