//! Two reports side by side: an earlier one, from its file, and the one of now. What an older release did not measure is a
//! dash.

use std::fmt::{self, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Report;

/// What is compared in each phase.
const PHASES: [(&str, &str); 2] = [("full load", "full_load"), ("half load", "half_load")];
const TIMES: [(&str, &str); 3] = [
    ("checkout answered p99, ms", "answered_ms"),
    ("checkout to settled p99, ms", "settled_ms"),
    ("publish lag p99, ms", "publish_lag_ms"),
];
const WRITES: [(&str, &str); 7] = [
    ("statements", "exchanges"),
    ("commits", "commits"),
    ("rows inserted", "inserted"),
    ("rows updated in place", "updated_in_place"),
    ("rows updated", "updated"),
    ("index entries", "index_entries"),
    ("bytes of PostgreSQL's log", "log_bytes"),
];

/// The table.
///
/// # Errors
/// When the file cannot be read, or is no report.
pub(crate) fn compare(file: &Path, now: &Report) -> Result<String> {
    let read = || -> Result<Value> { Ok(serde_json::from_slice(&std::fs::read(file)?)?) };
    let before = read().with_context(|| format!("comparing with {}", file.display()))?;
    anyhow::ensure!(before["full_load"].is_object(), "{} is no report", file.display());
    let now = serde_json::to_value(now)?;
    let mut table = String::new();
    writeln!(table, "\n{:<34}{:>12}{:>12}{:>9}", file.display(), "before", "now", "factor")?;
    row(
        &mut table,
        "settled per durable commit",
        |report| report["ratio"].as_f64(),
        [&before, &now],
    )?;
    for (title, phase) in PHASES {
        let both = [&before[phase], &now[phase]];
        writeln!(table, "{title}")?;
        row(&mut table, "settled a second", |it| it["settled_per_second"].as_f64(), both)?;
        for (name, key) in TIMES {
            row(&mut table, name, |it| it[key]["p99"].as_f64(), both)?;
        }
        let core_ms = |it: &Value| it["cost"]["core_ms_per_order"].as_f64();
        row(&mut table, "core-ms, shop and stores", core_ms, both)?;
        for process in processes(both[1]) {
            row(&mut table, &format!("  {process}"), |it| of_process(it, &process), both)?;
        }
        for (name, key) in WRITES {
            let each = |it: &Value| Some(it["writes"][key].as_f64()? / it["settled"].as_f64()?);
            row(&mut table, name, each, both)?;
        }
    }
    Ok(table)
}

fn processes(phase: &Value) -> Vec<String> {
    let all = phase["cost"]["processes"].as_array().into_iter().flatten();
    all.filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect()
}

fn of_process(phase: &Value, name: &str) -> Option<f64> {
    let mut all = phase["cost"]["processes"].as_array()?.iter();
    all.find(|it| it["name"] == name)?["core_ms_per_order"].as_f64()
}

fn row(
    table: &mut String,
    name: &str,
    value: impl Fn(&Value) -> Option<f64>,
    [before, now]: [&Value; 2],
) -> fmt::Result {
    let (before, now) = (value(before), value(now));
    let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| format!("{it:.3}"));
    let factor =
        before.zip(now).filter(|(before, _)| *before > 0.0).map(|(before, now)| now / before);
    writeln!(table, "  {name:<32}{:>12}{:>12}{:>9}", shown(before), shown(now), shown(factor))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_figure_that_one_report_lacks_is_a_dash() {
        let (before, now) =
            (json!({"settled_per_second": 400.0}), json!({"settled_per_second": 800.0}));
        let mut table = String::new();
        row(&mut table, "settled", |it| it["settled_per_second"].as_f64(), [&before, &now])
            .unwrap();
        row(&mut table, "other", |it| it["other"].as_f64(), [&before, &now]).unwrap();
        let rows: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0], ["settled", "400.000", "800.000", "2.000"]);
        assert_eq!(rows[1], ["other", "-", "-", "-"]);
    }
}
