//! The rows of processes and stores.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use operator::Process;
use operator::board::{Entry, now_unix_ms};
use operator::control::Injection;
use operator::ready;
use operator::state::{State, Store};
use tokio::time::timeout;

use crate::process::{Cpu, Stat};
use crate::snapshot::{Condition, Row};

const READY_MAX: Duration = Duration::from_millis(500);

/// Remembers what a look alone does not show.
#[derive(Debug, Default)]
pub struct Processes {
    cpu: Cpu,
    /// The start after which each process was ready.
    was_ready: HashMap<String, i64>,
}

impl Processes {
    /// The rows of the processes, in the order of the state file.
    pub async fn look(&mut self, state: &State, faults: &[Injection], now: Instant) -> Vec<Row> {
        self.cpu.forget_old(now);
        let asked = state.processes.iter().map(|entry| async move {
            let process = entry.process.as_ref().filter(|process| process.alive());
            let stat = process.and_then(|process| Stat::of(process.pid));
            let paused = stat.is_some_and(|stat| stat.paused);
            let ready = match process {
                Some(_) if !paused => ask(entry).await,
                _ => Ok(()),
            };
            (entry, stat, ready)
        });
        let answers = join_all(asked).await;
        let rows = answers.into_iter();
        rows.map(|(entry, stat, ready)| self.row(entry, stat, ready, faults, now)).collect()
    }

    fn row(
        &mut self,
        entry: &Entry,
        stat: Option<Stat>,
        ready: Result<(), String>,
        faults: &[Injection],
        now: Instant,
    ) -> Row {
        let (task, started) = (&entry.task, entry.started_unix_ms);
        let process = entry.process.as_ref().filter(|process| process.alive());
        let state = match (process, &ready) {
            (None, _) => away(&task.name, faults),
            (Some(_), _) if stat.is_some_and(|stat| stat.paused) => Condition::Paused,
            (Some(_), Ok(())) => {
                self.was_ready.insert(task.name.clone(), started);
                Condition::Ready
            }
            (Some(_), Err(_)) if self.was_ready.get(&task.name) == Some(&started) => {
                Condition::NotReady
            }
            (Some(_), Err(_)) => Condition::Starting,
        };
        Row {
            name: task.name.clone(),
            service: task.service.clone(),
            state,
            reason: ready.err(),
            address: task.listen.to_string(),
            restarts: Some(entry.restarts),
            up_ms: process.map(|_| (now_unix_ms() - started).max(0)),
            ..self.measured(process, stat, now)
        }
    }

    /// The rows of the stores.
    pub fn stores(&mut self, state: &State, faults: &[Injection], now: Instant) -> Vec<Row> {
        state.stores.iter().map(|store| self.store(store, faults, now)).collect()
    }

    fn store(&mut self, store: &Store, faults: &[Injection], now: Instant) -> Row {
        let process = store.process.as_ref().filter(|process| process.alive());
        let stat = process.and_then(|process| Stat::of(process.pid));
        let condition = match (&store.process, process) {
            (None, _) => Condition::NotOurs,
            (Some(_), None) => away(&store.name, faults),
            (Some(_), Some(_)) if stat.is_some_and(|stat| stat.paused) => Condition::Paused,
            (Some(_), Some(_)) => Condition::Ready,
        };
        Row {
            name: store.name.clone(),
            service: store.name.clone(),
            state: condition,
            address: store.url.clone(),
            ..self.measured(process, stat, now)
        }
    }

    fn measured(&mut self, process: Option<&Process>, stat: Option<Stat>, now: Instant) -> Row {
        let both = process.zip(stat);
        Row {
            name: String::new(),
            service: String::new(),
            state: Condition::Down,
            reason: None,
            address: String::new(),
            pid: process.map(|process| process.pid),
            cpu_percent: both.and_then(|(process, stat)| self.cpu.percent(process, &stat, now)),
            memory_bytes: process.and_then(Process::memory),
            restarts: None,
            up_ms: None,
        }
    }
}

async fn ask(entry: &Entry) -> Result<(), String> {
    let asked = timeout(READY_MAX, ready::ask(entry.task.admin)).await;
    asked.unwrap_or_else(|_| Err("no answer within 500 ms".to_owned()))
}

/// What is not there is kept away by a fault, or has died.
fn away(name: &str, faults: &[Injection]) -> Condition {
    let of_this = |fault: &&Injection| {
        let target = fault.target.as_deref().unwrap_or_default();
        let nats = fault.kind.starts_with("nats-") && name.starts_with("nats");
        nats || (["stop", "restart"].contains(&fault.kind.as_str()) && target == name)
    };
    let mut under_way = faults.iter().filter(|fault| fault.ended_unix_ms.is_none());
    match under_way.any(|fault| of_this(&fault)) {
        true => Condition::Stopped,
        false => Condition::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use operator::plan::Task;

    fn entry(process: Option<Process>) -> Entry {
        let address = "127.0.0.1:1".parse().expect("an address");
        let task = Task::new("order", "order", address, address);
        Entry { task, process, started_unix_ms: 5, restarts: 2 }
    }

    fn fault(kind: &str, target: Option<&str>, ended_unix_ms: Option<i64>) -> Injection {
        Injection {
            id: 1,
            kind: kind.into(),
            target: target.map(str::to_owned),
            seconds: 10,
            began_unix_ms: 1,
            ended_unix_ms,
            error: None,
        }
    }

    #[test]
    fn what_a_fault_keeps_away_is_told_from_what_has_died() {
        let of = |faults: &[Injection]| away("order", faults);
        assert_eq!(of(&[]), Condition::Down);
        assert_eq!(of(&[fault("stop", Some("order"), None)]), Condition::Stopped);
        assert_eq!(of(&[fault("stop", Some("order"), Some(2))]), Condition::Down, "it is over");
        assert_eq!(of(&[fault("stop", Some("order-2"), None)]), Condition::Down);
        assert_eq!(of(&[fault("kill", Some("order"), None)]), Condition::Down);
        assert_eq!(away("nats-2", &[fault("nats-wipe", None, None)]), Condition::Stopped);
    }

    #[test]
    fn starting_is_until_it_was_ready_once_since_its_start() {
        let mut processes = Processes::default();
        let mut look = |entry: &Entry, ready: Result<(), String>| {
            processes.row(entry, None, ready, &[], Instant::now()).state
        };
        let mut entry = entry(Some(Process::myself()));
        let not = || Err("no database".to_owned());
        assert_eq!(look(&entry, not()), Condition::Starting);
        assert_eq!(look(&entry, Ok(())), Condition::Ready);
        assert_eq!(look(&entry, not()), Condition::NotReady);
        entry.started_unix_ms = 9;
        assert_eq!(look(&entry, not()), Condition::Starting, "it was started again");
        entry.process = None;
        assert_eq!(look(&entry, Ok(())), Condition::Down);
    }

    #[test]
    fn a_row_says_what_can_be_measured() {
        let mut processes = Processes::default();
        let entry = entry(Some(Process::myself()));
        let row = processes.row(&entry, None, Err("no".into()), &[], Instant::now());
        assert_eq!(row.pid, Some(std::process::id()));
        assert_eq!(row.reason.as_deref(), Some("no"));
        assert_eq!(row.restarts, Some(2));
        assert!(row.memory_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(row.up_ms.is_some_and(|up| up > 0));
    }
}
