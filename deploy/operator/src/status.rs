//! `cargo souk status`: what runs, where, and how to talk to it.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use souk::style::{bold, dim, green, red, yellow};
use stores::Home;

use crate::board::{Entry, now_unix_ms};
use crate::certificates::OPERATOR;
use crate::http::Client;
use crate::layout::Layout;
use crate::plan::{CONSOLE, PROVISIONER, PSP};
use crate::process::Process;
use crate::speak::say;
use crate::state::{State, Store};
use crate::{ready, running, speak};

/// The whole verb.
///
/// # Errors
/// When the shop is not up.
pub async fn run(home: &Home) -> Result<()> {
    let (layout, state) = running::shop(home)?;
    say!("{}  {}", bold(&state.shop_url()), heading(&state));
    say!();
    let head = ["process", "pid", "up", "memory", "restarts", "serves at", "admin", "ready"];
    say!("{}", dim(&columns(head)));
    let rows = join_all(state.processes.iter().map(process)).await;
    speak::lines(&rows);
    speak::lines(&state.stores.iter().map(store).collect::<Vec<_>>());
    say!();
    say!("{:<11} {}", "unsent", outbox(&state).await);
    if let Some(console) = state.console_url(&layout) {
        say!("{:<11} {console}", "console");
    }
    let traces = state.traces_url.as_ref().map(|url| format!("{url}/traces/TRACE_ID"));
    say!("{:<11} {}", "traces", traces.or(state.collector.clone()).unwrap_or_default());
    say!("{:<11} {}", "logs", near(&layout.logs()));
    say!("\n{}", bold("gRPC, as the operator (grpcurl 1.8.8 or newer)"));
    let calls = state.processes.iter().filter_map(|entry| grpcurl(&layout, entry));
    speak::lines(&calls.collect::<Vec<_>>());
    Ok(())
}

fn heading(state: &State) -> String {
    let State { supervisor, started_unix_ms, profile, .. } = state;
    let (up, memory) = (uptime(*started_unix_ms), memory(supervisor));
    format!("up {up}, {profile} profile, supervisor {} ({memory})", supervisor.pid)
}

fn columns(texts: [&str; 8]) -> String {
    let [name, pid, up, memory, restarts, listen, admin, ready] = texts;
    let left = format!("{name:<11} {pid:>7} {up:>7} {memory:>9} {restarts:>8}");
    format!("{left}  {listen:<15} {admin:<15} {ready}").trim_end().to_owned()
}

async fn process(entry: &Entry) -> String {
    let task = &entry.task;
    let Some(process) = entry.process.as_ref().filter(|process| process.alive()) else {
        return format!("{:<11} {}", task.name, red("down; it is being started again"));
    };
    let ready = match ready::ask(task.admin).await {
        Ok(()) => green("yes"),
        Err(reason) => yellow(&format!("no: {reason}")),
    };
    columns([
        &task.name,
        &process.pid.to_string(),
        &uptime(entry.started_unix_ms),
        &memory(process),
        &entry.restarts.to_string(),
        &task.listen.to_string(),
        &task.admin.to_string(),
        &ready,
    ])
}

fn store(store: &Store) -> String {
    let Store { name, url, process } = store;
    match process {
        Some(process) if process.alive() => {
            columns([name, &process.pid.to_string(), "", &memory(process), "", url, "", ""])
        }
        Some(_) => format!("{name:<11} {}", red("down; it is being started again")),
        None => columns([name, "yours", "", "", "", url, "", ""]),
    }
}

/// A path as it is written from here.
fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// Events that wait in an outbox, as the services tell it.
async fn outbox(state: &State) -> String {
    let of_the_shop = |entry: &&Entry| ![PSP, CONSOLE].contains(&entry.task.service.as_str());
    let asked = state.processes.iter().filter(of_the_shop);
    let counts = asked.map(|entry| async move {
        let client = Client::new(&format!("http://{}", entry.task.admin));
        let metrics = client.get("/metrics").await.ok()?;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        sum(&text, "souk_outbox_depth").map(|count| (entry.task.service.as_str(), count))
    });
    let counts = join_all(counts).await.into_iter().flatten();
    // Every copy tells the same, but for one that has not looked for a moment.
    let mut most = std::collections::BTreeMap::<&str, f64>::new();
    for (service, count) in counts {
        let known = most.entry(service).or_default();
        *known = known.max(count);
    }
    let told: Vec<String> = most.iter().map(|(name, count)| format!("{name} {count}")).collect();
    told.join(", ")
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit_once(' ')?.1.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or_default() + value))
}

/// The certificate carries the service's name and no address, so the name is said beside it.
fn grpcurl(layout: &Layout, entry: &Entry) -> Option<String> {
    let task = &entry.task;
    if [PSP, PROVISIONER, CONSOLE, "gateway"].contains(&task.service.as_str()) {
        return None;
    }
    let folder = near(&layout.certs_of(OPERATOR));
    Some(format!(
        "grpcurl -cacert {folder}/ca.pem -cert {folder}/cert.pem -key {folder}/key.pem \
         -authority {} {} list",
        task.service, task.listen
    ))
}

fn memory(process: &Process) -> String {
    match process.memory() {
        Some(bytes) => format!("{:.1} MB", bytes as f64 / 1e6),
        None => "-".to_owned(),
    }
}

fn uptime(since_unix_ms: i64) -> String {
    let ms = u64::try_from(now_unix_ms() - since_unix_ms).unwrap_or_default();
    let seconds = Duration::from_millis(ms).as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# HELP souk_outbox_depth x\nsouk_outbox_depth{database=\"0\"} 3\n\
                    souk_outbox_depth{database=\"1\"} 4\nsouk_outbox_depth_total 100\n";
        assert_eq!(sum(text, "souk_outbox_depth"), Some(7.0));
        assert_eq!(sum(text, "souk_inbox"), None);
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        for (ago_ms, text) in
            [(5_500, "5 s"), (180_000, "3 min"), (7_300_000, "2 h"), (400_000_000, "4 d")]
        {
            assert_eq!(uptime(now_unix_ms() - ago_ms), text);
        }
    }
}
