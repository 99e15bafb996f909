//! What the sampler saw last: plain values, cheap to share between requests.

use std::fmt;
use std::time::Instant;

use operator::board::now_unix_ms;
use operator::control::Injection;
use operator::plan::PSP;
use serde::Serialize;

use crate::scrape::{Cache, Events};
use crate::series::Point;
use crate::traffic::Traffic;

/// How a process or a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It runs and has not been ready yet.
    Starting,
    /// It says that it is ready; of a store: it runs.
    Ready,
    /// It was ready, and says that it is not.
    NotReady,
    /// It was stopped by a signal and does nothing.
    Paused,
    /// A fault keeps it away.
    Stopped,
    /// It has died; the supervisor starts it again.
    Down,
    /// Somebody else runs it.
    NotOurs,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Starting => "starting",
            Condition::Ready => "ready",
            Condition::NotReady => "not ready",
            Condition::Paused => "paused",
            Condition::Stopped => "stopped",
            Condition::Down => "down",
            Condition::NotOurs => "somebody else's",
        })
    }
}

/// A process of the shop, or one of the stores.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its own name: `order-2`.
    pub name: String,
    /// What it is one of: `order`.
    pub service: String,
    /// How it is.
    pub state: Condition,
    /// Why it is not ready.
    pub reason: Option<String>,
    /// Where it serves; of a store its URL without the password.
    pub address: String,
    /// None while it is down.
    pub pid: Option<u32>,
    /// Of one core; none at the first look.
    pub cpu_percent: Option<f64>,
    /// Resident.
    pub memory_bytes: Option<u64>,
    /// How often it was started again; none for stores.
    pub restarts: Option<u32>,
    /// Since it was started last; none for stores and what is down.
    pub up_ms: Option<i64>,
}

impl Row {
    /// Whether it is the server of the databases.
    pub fn is_postgres(&self) -> bool {
        self.name == "postgres"
    }

    /// Whether it cannot answer.
    pub fn is_away(&self) -> bool {
        matches!(self.state, Condition::Paused | Condition::Stopped | Condition::Down)
    }
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: i64,
    /// What went wrong.
    pub reason: String,
}

impl Unknown {
    /// The same trouble as before began before; its reason is the latest.
    pub fn after(before: Option<&Unknown>, error: &anyhow::Error) -> Self {
        let since_unix_ms = before.map_or_else(now_unix_ms, |before| before.since_unix_ms);
        Self { since_unix_ms, reason: format!("{error:#}") }
    }
}

/// Everything that was seen in one look.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Why the shop is unknown; none while it is up.
    pub unknown: Option<Unknown>,
    /// Where the shop's pages are.
    pub shop_url: Option<String>,
    /// Where traces are answered.
    pub traces_url: Option<String>,
    /// URLs of the order databases, with their passwords: never shown.
    pub order_databases: Vec<String>,
    /// The processes.
    pub processes: Vec<Row>,
    /// The stores.
    pub stores: Vec<Row>,
    /// Faults under way and of the last ten minutes, oldest first.
    pub faults: Vec<Injection>,
    /// Why the faults are unknown.
    pub faults_unknown: Option<Unknown>,
    /// Orders now; none while the databases do not answer.
    pub traffic: Option<Traffic>,
    /// Why they are unknown.
    pub traffic_unknown: Option<Unknown>,
    /// Events that wait.
    pub events: Events,
    /// Caches.
    pub caches: Vec<Cache>,
    /// The last five minutes.
    pub series: Vec<Point>,
    /// Since when every process and store has been ready, no fault under way and no event waiting; none while it is not so.
    pub calm_since: Option<Instant>,
}

impl Snapshot {
    /// What has records and cannot be asked for them now: it would keep an auditor waiting.
    pub fn unreadable(&self) -> Option<&Row> {
        let stores = self.stores.iter().filter(|row| row.is_postgres());
        let provider = self.processes.iter().filter(|row| row.service == PSP);
        stores.chain(provider).find(|row| row.is_away())
    }

    /// Whether all is well and nothing waits.
    pub fn is_calm(&self) -> bool {
        let well = |row: &Row| matches!(row.state, Condition::Ready | Condition::NotOurs);
        self.unknown.is_none()
            && self.faults_unknown.is_none()
            && self.processes.iter().chain(&self.stores).all(well)
            && self.faults.iter().all(|fault| fault.ended_unix_ms.is_some())
            && self.events.none_wait()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, state: Condition) -> Row {
        Row {
            name: name.to_owned(),
            service: name.to_owned(),
            state,
            reason: None,
            address: String::new(),
            pid: None,
            cpu_percent: None,
            memory_bytes: None,
            restarts: None,
            up_ms: None,
        }
    }

    #[test]
    fn a_shop_is_calm_when_all_run_nothing_waits_and_no_fault_is_under_way() {
        let calm = Snapshot {
            processes: vec![row("order", Condition::Ready), row(PSP, Condition::Ready)],
            stores: vec![row("postgres", Condition::NotOurs)],
            ..Snapshot::default()
        };
        assert!(calm.is_calm());
        let starting = Snapshot { stores: vec![row("nats", Condition::Starting)], ..calm.clone() };
        assert!(!starting.is_calm());
        let error = anyhow::anyhow!("no supervisor");
        let unknown = Some(Unknown::after(None, &error));
        assert!(!Snapshot { faults_unknown: unknown.clone(), ..calm.clone() }.is_calm());
        assert!(!Snapshot { unknown, ..calm }.is_calm());
    }

    #[test]
    fn only_what_has_records_can_be_unreadable() {
        for (name, state, expected) in [
            (PSP, Condition::Paused, true),
            (PSP, Condition::NotReady, false),
            ("order", Condition::Paused, false),
        ] {
            let processes = vec![row(name, state)];
            let live = Snapshot { processes, ..Snapshot::default() };
            assert_eq!(live.unreadable().is_some(), expected, "{name} {state}");
        }
        let stores = vec![row("redis", Condition::Down), row("postgres", Condition::Stopped)];
        let live = Snapshot { stores, ..Snapshot::default() };
        assert_eq!(live.unreadable().map(|row| row.name.as_str()), Some("postgres"));
    }
}
