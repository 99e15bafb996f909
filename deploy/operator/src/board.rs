//! The status of each process: written by its keeper, read by all others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::plan::Task;
use crate::process::Process;

/// The status of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    #[serde(flatten)]
    pub task: Task,
    /// None while it is down.
    pub process: Option<Process>,
    /// When it was started last.
    pub started_unix_ms: i64,
    /// How often it was started again.
    pub restarts: u32,
}

/// The processes of one shop. Clones are one.
#[derive(Clone, Debug)]
pub struct Board {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    changes: watch::Sender<u64>,
}

impl Board {
    /// With these processes, none of which runs yet.
    pub fn new(tasks: &[Task]) -> Self {
        let entry = |task: &Task| {
            let entry =
                Entry { task: task.clone(), process: None, started_unix_ms: 0, restarts: 0 };
            (task.name.clone(), entry)
        };
        let entries = tasks.iter().map(entry).collect();
        Self { entries: Arc::new(Mutex::new(entries)), changes: watch::Sender::new(0) }
    }

    /// Notes that a process runs.
    pub fn started(&self, name: &str, process: Option<Process>) {
        self.change(name, |entry| {
            entry.restarts += u32::from(entry.started_unix_ms != 0);
            entry.process = process;
            entry.started_unix_ms = now_unix_ms();
        });
    }

    /// Notes that it does not.
    pub fn ended(&self, name: &str) {
        self.change(name, |entry| entry.process = None);
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.lock().get_mut(name) {
            change(entry);
        }
        self.changes.send_modify(|version| *version += 1);
    }

    /// One process.
    pub fn entry(&self, name: &str) -> Option<Entry> {
        self.lock().get(name).cloned()
    }

    /// All of them.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    /// Told after each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub fn now_unix_ms() -> i64 {
    i64::try_from(kernel::clock::now().unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}
