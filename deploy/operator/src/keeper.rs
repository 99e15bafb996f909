//! Supervises one process: starts it, restarts it with back-off when it dies, and stops it on request.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::board::Board;
use crate::journal::Journal;
use crate::plan::Task;
use crate::process::{Process, Signal};

/// Every process of a shop carries this variable with the shop's folder, so that those that a
/// killed supervisor left behind are found again.
pub const MARK: &str = "SOUK_SHOP";

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A process that ran for this time was healthy: after its next death the back-off begins anew.
const WELL: Duration = Duration::from_secs(10);
/// Timeout of a stop; a process of the shop ends by itself 20 s after SIGTERM.
const STOP_MAX: Duration = Duration::from_secs(22);
const LOG_BYTES_MAX: u64 = 16 << 20;

/// The environment variables that a process inherits. Others could be settings by accident.
const INHERITED: [&str; 16] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "SOUK_LOG",
    "SOUK_ENVIRONMENT",
    "SOUK_TRACE_RATIO",
    "TOKIO_WORKER_THREADS",
    "SOUK_PRODUCT_CACHE_BYTES",
    "SOUK_PRODUCT_REFRESH_INTERVAL",
    "SOUK_PRODUCT_CACHE_LIFE",
    "SOUK_PRODUCT_PAGES_BYTES",
    "SOUK_PRODUCT_PAGES_LIFE",
    "SOUK_PRODUCT_AUDIT_INTERVAL",
];

/// How to start one process.
#[derive(Clone, Debug)]
pub struct Program {
    /// Who it will be.
    pub task: Task,
    /// The executable.
    pub path: PathBuf,
    /// Its settings.
    pub environment: Vec<(String, String)>,
    /// Gets what it writes.
    pub log: PathBuf,
    /// The value of [`MARK`].
    pub mark: String,
}

impl Program {
    /// Starts it in a process group of its own, so that a terminal's Ctrl-C does not reach it.
    fn spawn(&self, controls: &Controls) -> Result<Child> {
        let output = log_file(&self.log)?;
        let errors = output.try_clone()?;
        let mut command = Command::new(&self.path);
        command.env_clear().envs(inherited());
        command.envs(self.environment.iter().cloned()).env(MARK, &self.mark);
        command.envs(controls.settings.lock().unwrap_or_else(PoisonError::into_inner).clone());
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command.process_group(0).kill_on_drop(true);
        command.spawn().with_context(|| format!("cannot run {}", self.path.display()))
    }
}

fn log_file(path: &Path) -> Result<File> {
    if fs::metadata(path).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.with_context(|| format!("cannot open {}", path.display()))
}

/// How one process is spoken to. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Controls {
    /// Ends it for good.
    pub stop: CancellationToken,
    /// Starts it, when it is down and nothing else would.
    pub start: Arc<Notify>,
    /// While this is true it is ended, in order, and stays so.
    pub down: Arc<watch::Sender<bool>>,
    /// What its next lives are told beside and instead of its own settings.
    pub settings: Arc<Mutex<Vec<(String, String)>>>,
}

/// The settings that a process has from this one.
pub(crate) fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    INHERITED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// Keeps the process until it is stopped. With `restart` it is started again whenever it dies,
/// after 200 ms at first and up to 5 s later; without, when somebody asks for it.
pub async fn keep(
    program: Program,
    controls: Controls,
    board: Board,
    journal: Journal,
    restart: bool,
) {
    let name = program.task.name.clone();
    let mut backoff = BACKOFF_MIN;
    while !controls.stop.is_cancelled() {
        let began = Instant::now();
        let end = run(&program, &controls, &board).await;
        board.ended(&name);
        if controls.stop.is_cancelled() {
            return;
        }
        backoff = if began.elapsed() >= WELL { BACKOFF_MIN } else { backoff };
        if *controls.down.borrow() {
            journal.note(&format!("{name} is down, as was asked"));
            controls.stop.run_until_cancelled(until(&controls.down, false)).await;
            continue;
        }
        journal.note(&epitaph(&name, &end, restart.then_some(backoff)));
        let again = async {
            tokio::select! {
                () = sleep(backoff), if restart => {}
                () = controls.start.notified() => {}
            }
        };
        controls.stop.run_until_cancelled(again).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

async fn until(down: &watch::Sender<bool>, wanted: bool) {
    let _ = down.subscribe().wait_for(|down| *down == wanted).await; // its sender is here
}

fn epitaph(name: &str, end: &Result<ExitStatus>, again: Option<Duration>) -> String {
    let what = match end {
        Ok(status) => format!("{name} ended ({status})"),
        Err(error) => format!("{name}: {error:#}"),
    };
    match again {
        Some(wait) => format!("{what}; starting it again in {} ms", wait.as_millis()),
        None => what,
    }
}

/// One life of the process.
async fn run(program: &Program, controls: &Controls, board: &Board) -> Result<ExitStatus> {
    let mut child = program.spawn(controls)?;
    let process = child.id().and_then(Process::of);
    board.started(&program.task.name, process.clone());
    tokio::select! {
        status = child.wait() => Ok(status?),
        () = controls.stop.cancelled() => Ok(end(&mut child, process.as_ref()).await?),
        () = until(&controls.down, true) => Ok(end(&mut child, process.as_ref()).await?),
    }
}

/// Asks it to end, and kills it when it does not.
async fn end(child: &mut Child, process: Option<&Process>) -> std::io::Result<ExitStatus> {
    // The number cannot be another process's: nobody else waits for this child.
    let _ = process.map(|process| process.signal(Signal::TERM));
    match timeout(STOP_MAX, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            child.start_kill()?;
            child.wait().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Layout;

    struct Bench {
        board: Board,
        controls: Controls,
        keeping: tokio::task::JoinHandle<()>,
        folder: tempfile::TempDir,
    }

    fn task() -> Task {
        let address = "127.0.0.1:1".parse().expect("an address");
        Task::new("order", "order", address, address)
    }

    /// A real process that waits until it is told to end.
    fn bench(script: &str, restart: bool) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let layout = Layout::create(folder.path()).expect("folders");
        let path = folder.path().join("order");
        write_program(&path, script);
        let program = Program {
            task: task(),
            path,
            environment: vec![("SETTING".into(), "value".into())],
            log: layout.log_of("order"),
            mark: "test".into(),
        };
        let (board, controls) = (Board::new(&[task()]), Controls::default());
        let journal = Journal::open(&layout, false).expect("a file");
        let keeping =
            tokio::spawn(keep(program, controls.clone(), board.clone(), journal, restart));
        Bench { board, controls, keeping, folder }
    }

    /// By another process: a file that this one has open for writing, even for a moment, may be
    /// inherited by a child of another test, and then it cannot be executed.
    fn write_program(path: &Path, script: &str) {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 700 \"$0\""]);
        assert!(shell.arg(path).arg(script).status().expect("sh runs").success());
    }

    impl Bench {
        async fn until(&self, what: &str, mut done: impl FnMut(Option<Process>, u32) -> bool) {
            let mut changes = self.board.changes();
            let look = async {
                loop {
                    let entry = self.board.entry("order").expect("known");
                    if done(entry.process, entry.restarts) {
                        return;
                    }
                    changes.changed().await.expect("the board is there");
                }
            };
            timeout(Duration::from_secs(10), look).await.expect(what);
        }

        async fn runs(&self) -> Process {
            self.until("it runs", |process, _| process.is_some()).await;
            self.board.entry("order").and_then(|entry| entry.process).expect("it runs")
        }

        fn log(&self) -> String {
            let log = self.folder.path().join("logs/order.log");
            fs::read_to_string(log).unwrap_or_default()
        }

        async fn says(&self, words: &str) {
            let said = async {
                while !self.log().contains(words) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(10), said).await.expect(words);
        }
    }

    #[tokio::test]
    async fn what_is_killed_is_back_within_a_second_and_ends_when_asked() {
        let bench = bench("exec sleep 1000", true);
        let first = bench.runs().await;
        let killed = Instant::now();
        first.signal(Signal::KILL).expect("ours");
        bench.until("it is back", |process, restarts| process.is_some() && restarts == 1).await;
        assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
        let second = bench.runs().await;
        assert_ne!(first, second);
        bench.controls.stop.cancel();
        timeout(Duration::from_secs(5), bench.keeping).await.expect("in time").expect("no panic");
        assert!(!second.alive());
    }

    #[tokio::test]
    async fn without_restart_it_stays_down_until_somebody_wants_it() {
        let bench = bench("exec sleep 1000", false);
        bench.runs().await.signal(Signal::KILL).expect("ours");
        bench.until("it is down", |process, _| process.is_none()).await;
        bench.controls.start.notify_one();
        bench.until("it is back", |process, restarts| process.is_some() && restarts == 1).await;
    }

    #[tokio::test]
    async fn what_is_to_be_down_is_ended_and_is_back_when_it_may_be() {
        let bench = bench("exec sleep 1000", true);
        let first = bench.runs().await;
        bench.controls.down.send_replace(true);
        bench.until("it is down", |process, _| process.is_none()).await;
        assert!(!first.alive());
        bench.controls.down.send_replace(false);
        bench.until("it is back", |process, restarts| process.is_some() && restarts == 1).await;
    }

    #[tokio::test]
    async fn what_is_down_can_be_stopped_for_good() {
        let bench = bench("exec sleep 1000", true);
        bench.runs().await;
        bench.controls.down.send_replace(true);
        bench.until("it is down", |process, _| process.is_none()).await;
        bench.controls.stop.cancel();
        timeout(Duration::from_secs(5), bench.keeping).await.expect("in time").expect("no panic");
    }

    #[tokio::test]
    async fn it_gets_its_settings_and_not_ours_and_its_words_are_kept() {
        let bench = bench("env; echo complaint >&2; exec sleep 1000", true);
        bench.says("complaint").await;
        let log = bench.log();
        assert!(log.contains("SETTING=value") && log.contains("SOUK_SHOP=test"), "{log}");
        assert!(!log.contains("CARGO_MANIFEST_DIR"), "{log}");
    }

    #[tokio::test]
    async fn its_next_life_is_told_something_else() {
        let bench = bench("env; exec sleep 1000", false);
        let first = bench.runs().await;
        bench.says("SETTING=value").await;
        first.signal(Signal::KILL).expect("ours");
        bench.until("it is down", |process, _| process.is_none()).await;
        let told = ("SETTING".to_owned(), "another".to_owned());
        bench.controls.settings.lock().expect("no panic").push(told);
        bench.controls.start.notify_one();
        bench.says("SETTING=another").await;
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_told_and_started_again() {
        let bench = bench("exit 3", true);
        bench.until("two lives", |_, restarts| restarts >= 1).await;
        let journal = bench.folder.path().join("logs/supervisor.log");
        let journal = fs::read_to_string(journal).expect("written");
        assert!(journal.contains("order ended (exit status: 3); starting it again in 200 ms"));
    }
}
