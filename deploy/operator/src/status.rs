//! `cargo souk status`: what runs, where, and how to talk to it.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use souk::style::{bold, dim, green, red, yellow};
use stores::Home;

use crate::board::{Entry, now_unix_ms};
use crate::certificates::OPERATOR;
use crate::http::Client;
use crate::layout::Layout;
use crate::plan::PSP;
use crate::process::Process;
use crate::speak::say;
use crate::state::State;
use crate::{ready, running, speak};

/// The whole verb.
///
/// # Errors
/// When the shop is not up.
pub async fn run(home: &Home) -> Result<()> {
    let (layout, state) = running::shop(home)?;
    let up = uptime(state.started_unix_ms);
    let supervisor = state.supervisor.pid;
    say!(
        "{}  up {up}, {} profile, supervisor {supervisor}",
        bold(&state.shop_url()),
        state.profile
    );
    say!();
    say!(
        "{}",
        dim(
            "process       pid       up    memory  restarts  serves at         admin             ready"
        )
    );
    let rows = join_all(state.processes.iter().map(row)).await;
    speak::lines(&rows);
    say!();
    for store in &state.stores {
        say!("{}", store_row(&store.name, store.process.as_ref(), &store.url));
    }
    say!();
    outbox(&state).await;
    match (&state.traces_url, &state.collector) {
        (Some(url), _) => say!("{:<10} {url}/traces/TRACE_ID", "traces"),
        (None, collector) => say!("{:<10} {}", "traces", collector.as_deref().unwrap_or("-")),
    }
    say!("{:<10} {}", "logs", layout.logs().display());
    say!("\n{}", bold("gRPC, as the operator"));
    state.processes.iter().filter_map(|entry| grpcurl(&layout, entry)).for_each(|l| say!("{l}"));
    Ok(())
}

async fn row(entry: &Entry) -> String {
    let task = &entry.task;
    let Some(process) = entry.process.as_ref().filter(|process| process.alive()) else {
        return format!("{:<10} {}", task.name, red("down; it is being started again"));
    };
    let ready = match ready::ask(task.admin).await {
        Ok(()) => green("yes"),
        Err(reason) => yellow(&format!("no: {reason}")),
    };
    format!(
        "{:<10} {:>6} {:>8} {:>9} {:>9}  {:<17} {:<17} {ready}",
        task.name,
        process.pid,
        uptime(entry.started_unix_ms),
        memory(process),
        entry.restarts,
        task.listen.to_string(),
        task.admin.to_string(),
    )
}

fn store_row(name: &str, process: Option<&Process>, url: &str) -> String {
    match process {
        Some(process) if process.alive() => {
            format!("{name:<10} {:>6} {:>18}            {url}", process.pid, memory(process))
        }
        Some(_) => format!("{name:<10} {} {url}", red("down")),
        None => format!("{name:<10} {:>6} {url}", "yours"),
    }
}

/// Events that wait in an outbox, as the services tell it.
async fn outbox(state: &State) {
    let asked = state.processes.iter().filter(|entry| entry.task.service != PSP);
    let counts = asked.map(|entry| async move {
        let client = Client::new(&format!("http://{}", entry.task.admin));
        let metrics = client.get("/metrics").await.ok()?;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        sum(&text, "souk_outbox_events").map(|count| (entry.task.service.as_str(), count))
    });
    let counts = join_all(counts).await.into_iter().flatten();
    // Every copy tells the same, but for one that has not looked for a moment.
    let mut most = std::collections::BTreeMap::<&str, f64>::new();
    for (service, count) in counts {
        let known = most.entry(service).or_default();
        *known = known.max(count);
    }
    let told: Vec<String> = most.iter().map(|(name, count)| format!("{name} {count}")).collect();
    say!("{:<10} {}", "unsent", if told.is_empty() { "-".to_owned() } else { told.join(", ") });
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
    if [PSP, "gateway"].contains(&task.service.as_str()) {
        return None;
    }
    let folder = layout.certs_of(OPERATOR);
    let here = std::env::current_dir().unwrap_or_default();
    let folder = folder.strip_prefix(here).unwrap_or(&folder).display().to_string();
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
        let text = "# HELP souk_outbox_events x\nsouk_outbox_events{database=\"0\"} 3\n\
                    souk_outbox_events{database=\"1\"} 4\nsouk_outbox_events_total 100\n";
        assert_eq!(sum(text, "souk_outbox_events"), Some(7.0));
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
