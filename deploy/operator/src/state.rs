//! The state file: what runs, for the other verbs, and for the next `up` after a `kill -9`.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::board::Entry;
use crate::layout::{Layout, replace};
use crate::plan::{CONSOLE, CONSOLE_HOST};
use crate::process::Process;
use crate::secrets::Secrets;

/// How far the shop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Coming up.
    Starting,
    /// Every process has said that it is ready.
    Ready,
    /// Going down.
    Stopping,
}

/// One of the stores, as it can be shown: its URL has no password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// `postgres`, `redis` or `nats`.
    pub name: String,
    /// Without the password.
    pub url: String,
    /// None when somebody else runs it.
    pub process: Option<Process>,
}

/// Everything that is written down. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Who runs the shop.
    pub supervisor: Process,
    /// Since when.
    pub started_unix_ms: i64,
    /// How far it is.
    pub phase: Phase,
    /// `release` or `dev`.
    pub profile: String,
    /// Databases of carts, and of orders.
    pub shards: u16,
    /// The stores, NATS with each of its servers.
    pub stores: Vec<Store>,
    /// How long the stores took to start, databases included.
    pub stores_ms: u64,
    /// How long the processes took to be ready after that.
    pub processes_ms: u64,
    /// Where `GET /traces/{trace_id}` is answered; none when spans go to another collector.
    pub traces_url: Option<String>,
    /// Where spans go.
    pub collector: Option<String>,
    /// The payment provider and the shop's own.
    pub processes: Vec<Entry>,
}

impl State {
    /// What the file says; none when the shop is not up.
    ///
    /// # Errors
    /// When it cannot be read, or is not such a file.
    pub fn read(layout: &Layout) -> Result<Option<Self>> {
        let path = layout.state_file();
        match fs::read(&path) {
            Ok(text) => {
                let state = serde_json::from_slice(&text);
                state.map(Some).with_context(|| format!("{} is damaged", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Replaces the file in one step.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, layout: &Layout) -> Result<()> {
        replace(&layout.state_file(), &serde_json::to_vec_pretty(self)?)
    }

    /// Removes the file: the shop is not up any more.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(layout: &Layout) -> Result<()> {
        match fs::remove_file(layout.state_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Whether somebody runs this shop, or the file was left behind.
    pub fn is_up(&self) -> bool {
        self.supervisor.alive()
    }

    /// The processes of a service.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &Entry> {
        self.processes.iter().filter(move |entry| entry.task.service == service)
    }

    /// Where the shop's HTTP API is: the first gateway.
    pub fn shop_url(&self) -> String {
        let gateway = self.of("gateway").find(|entry| entry.task.name == "gateway");
        let address = gateway.map(|entry| entry.task.listen.to_string());
        format!("http://{}", address.unwrap_or_default())
    }

    /// The address of the operator's page, with what opens it; none where it does not run.
    pub fn console_url(&self, layout: &Layout) -> Option<String> {
        let port = self.of(CONSOLE).next()?.task.listen.port();
        let token = Secrets::at(layout).console_token().ok()?;
        Some(format!("http://{CONSOLE_HOST}:{port}/#token={token}"))
    }

    /// Everything that was started, but for the stores.
    pub fn running(&self) -> Vec<Process> {
        self.processes.iter().filter_map(|entry| entry.process.clone()).collect()
    }
}

/// A store's URL as it can be shown.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return String::new() };
    match rest.rsplit_once('@') {
        Some((login, place)) => {
            let user = login.split(':').next().unwrap_or_default();
            let at = if user.is_empty() { "" } else { "@" };
            format!("{scheme}://{user}{at}{place}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Task;

    fn state() -> State {
        let address = "127.0.0.1:8080".parse().expect("an address");
        let task = Task::new("gateway", "gateway", address, address);
        let process = Some(Process { pid: 7, born: "1 boot".into() });
        State {
            supervisor: Process::myself(),
            started_unix_ms: 1,
            phase: Phase::Ready,
            profile: "release".into(),
            shards: 1,
            stores: vec![Store { name: "redis".into(), url: "redis://h:1".into(), process: None }],
            stores_ms: 2,
            processes_ms: 3,
            traces_url: Some("http://127.0.0.1:9".into()),
            collector: None,
            processes: vec![Entry { task, process, started_unix_ms: 4, restarts: 5 }],
        }
    }

    #[test]
    fn what_is_written_is_read_and_goes_when_the_shop_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(folder.path()).expect("folders");
        assert_eq!(State::read(&layout).expect("no file is fine"), None);
        state().write(&layout).expect("written");
        let read = State::read(&layout).expect("legible").expect("there");
        assert_eq!(read, state());
        assert!(read.is_up());
        assert_eq!(read.shop_url(), "http://127.0.0.1:8080");
        State::remove(&layout).expect("removed");
        State::remove(&layout).expect("again is fine");
        assert_eq!(State::read(&layout).expect("no file is fine"), None);
    }

    #[test]
    fn a_dead_supervisor_is_told_from_another_process_with_its_number() {
        let mut state = state();
        state.supervisor.born = "1 of-another-boot".into();
        assert!(!state.is_up());
    }

    #[test]
    fn only_its_owner_can_read_it_and_nothing_half_written_stays() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(folder.path()).expect("folders");
        state().write(&layout).expect("written");
        let meta = fs::metadata(layout.state_file()).expect("there");
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        let files = fs::read_dir(layout.run()).expect("there").flatten();
        assert_eq!(files.filter(|file| file.path().is_file()).count(), 1);
    }

    #[test]
    fn damage_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(folder.path()).expect("folders");
        fs::write(layout.state_file(), "{\"phase\":").expect("written");
        let error = State::read(&layout).expect_err("damaged").to_string();
        assert!(error.contains("state.json is damaged"), "{error}");
    }

    #[test]
    fn shown_urls_have_no_password() {
        for (url, shown) in [
            ("postgres://me:secret@h:5432/shop", "postgres://me@h:5432/shop"),
            ("redis://:se@cret@h:1", "redis://h:1"),
            ("nats://h:4222", "nats://h:4222"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
