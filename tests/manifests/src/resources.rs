//! Requests and limits: those of the table in `k8s/resources.md`, where each stands beside the
//! figure that it was made from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::text;
use crate::{Complaints, Shop};

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Megabytes that the process was seen to take.
    pub measured: f64,
    /// What it asks for: `48Mi`.
    pub request: String,
    /// What it may have: `128Mi`.
    pub limit: String,
}

/// Reads the table: `| order | 21.3 | 48Mi | 128Mi |`, by process.
pub fn figures(markdown: &str) -> BTreeMap<String, Figures> {
    let rows = markdown.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, measured, request, limit] = cells.as_slice() else { return None };
        let measured = measured.parse().ok()?;
        let [request, limit] = [request, limit].map(|cell| (*cell).to_owned());
        Some(((*name).to_owned(), Figures { measured, request, limit }))
    });
    rows.collect()
}

/// Every process that serves asks for what its row says, which is no less than what it takes.
pub fn are_measured(shop: &Shop) -> Complaints {
    let mut complaints = Vec::new();
    for pod in shop.pods().iter().filter(|pod| pod.stays()) {
        let ours = pod.serving().filter_map(|it| Some((it.value, it.program()?)));
        for (container, program) in ours {
            let id = pod.owner.id();
            match shop.figures.get(program) {
                None => complaints.push(format!("{id}: {program} has no row in resources.md")),
                Some(row) => {
                    complaints.extend(differs(container, row).map(|what| format!("{id}: {what}")));
                }
            }
        }
    }
    complaints
}

fn differs(container: &Value, row: &Figures) -> Option<String> {
    let of = |kind: &str| text(&container["resources"][kind]["memory"]).to_owned();
    let (request, limit) = (of("requests"), of("limits"));
    if (&request, &limit) != (&row.request, &row.limit) {
        let Figures { request: asked, limit: allowed, .. } = row;
        return Some(format!("{request} to {limit}, but resources.md has {asked} to {allowed}"));
    }
    let mebibytes: f64 = request.strip_suffix("Mi")?.parse().ok()?;
    let short = mebibytes * 1.048_576 < row.measured;
    short.then(|| format!("asks for {request} and takes {} MB", row.measured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_a_figure_are_read() {
        let table = "text\n| process | MB | request | limit |\n|---|---|---|---|\n| order | 21.3 | 48Mi | 128Mi |\n";
        let read = figures(table);
        let expected = Figures { measured: 21.3, request: "48Mi".into(), limit: "128Mi".into() };
        assert_eq!(read, BTreeMap::from([("order".to_owned(), expected)]));
    }
}
