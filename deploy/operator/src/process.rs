//! A process of the machine, by its number and the moment it was born: a number that was used
//! again is another process, and must not get our signals.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, kill_process};
use serde::{Deserialize, Serialize};

use stores::birth;

pub use rustix::process::Signal;

const POLL: Duration = Duration::from_millis(10);

/// A process that ran at some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was born, as the system tells it.
    pub born: String,
}

impl Process {
    /// The process with this number, if it is alive.
    pub fn of(pid: u32) -> Option<Self> {
        birth(pid).map(|born| Self { pid, born })
    }

    /// This process.
    pub fn myself() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or(Self { pid, born: String::new() })
    }

    /// Whether this very process still runs. A zombie does not.
    pub fn alive(&self) -> bool {
        birth(self.pid).is_some_and(|born| born == self.born)
    }

    /// Sends a signal, unless the process is gone.
    ///
    /// # Errors
    /// When it is not ours to signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let number = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = number.filter(|_| self.alive()) else { return Ok(()) };
        match kill_process(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }

    /// The processes that it has started and that run. Only Linux tells; elsewhere there are none.
    pub fn children(&self) -> Vec<Self> {
        let parent = |pid: u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // After the name, which may hold anything: the state and the parent (proc(5)).
            stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok()
        };
        let all = all_pids().filter(|pid| parent(*pid) == Some(self.pid));
        all.filter_map(Self::of).collect()
    }

    /// Resident memory, in bytes; none when the process is gone.
    pub fn memory(&self) -> Option<u64> {
        self.alive().then(|| resident(self.pid))?
    }
}

/// Ends processes: TERM, and KILL for those that still run after `patience`. Tells how many
/// there were.
///
/// # Errors
/// When one is not ours to signal, or does not even end when killed.
pub fn end_all(processes: &[Process], patience: Duration) -> Result<usize> {
    let alive: Vec<&Process> = processes.iter().filter(|process| process.alive()).collect();
    for (signal, patience) in [(Signal::TERM, patience), (Signal::KILL, Duration::from_secs(5))] {
        // One that stands still takes the other signal when it goes on.
        let signals = [signal, Signal::CONT].into_iter();
        signals.into_iter().try_for_each(|it| alive.iter().try_for_each(|one| one.signal(it)))?;
        if wait_until(patience, || !alive.iter().any(|process| process.alive())) {
            return Ok(alive.len());
        }
    }
    anyhow::bail!("a process does not end, not even when killed")
}

/// Polls until `done`, at most for `patience`; tells whether it came true.
pub fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

#[cfg(target_os = "linux")]
fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(not(target_os = "linux"))]
fn resident(pid: u32) -> Option<u64> {
    Some(ps("rss=", pid)?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(not(target_os = "linux"))]
fn ps(columns: &str, pid: u32) -> Option<String> {
    let output = std::process::Command::new("ps")
        .args(["-o", columns, "-p", &pid.to_string()])
        .output()
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn all_pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The processes whose environment has `NAME=value`. Only Linux tells; elsewhere there are none.
pub fn with_variable(name: &str, value: &str) -> Vec<Process> {
    let wanted = format!("{name}={value}").into_bytes();
    let has = |pid: u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == wanted)
    };
    all_pids().filter_map(Process::of).filter(|process| has(process.pid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn sleeper(variable: &str) -> std::process::Child {
        let mut command = Command::new("sh");
        command.args(["-c", "read x"]).env("SOUK_TEST_MARK", variable).stdin(Stdio::piped());
        command.spawn().expect("sh runs")
    }

    #[test]
    fn a_number_that_was_used_again_gets_no_signal() {
        let mut child = sleeper("reused");
        let now = Process::of(child.id()).expect("it runs");
        let earlier = Process { pid: now.pid, born: "1 of-another-boot".into() };
        assert!(!earlier.alive());
        assert_eq!(end_all(&[earlier], Duration::from_secs(1)).expect("nothing to do"), 0);
        assert!(now.alive(), "another process has the number now, and it lives");
        assert_eq!(end_all(&[now], Duration::from_secs(5)).expect("ended"), 1);
        child.wait().expect("reaped");
    }

    #[test]
    fn what_ignores_a_polite_signal_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; read x"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh runs");
        let process = Process::of(child.id()).expect("it runs");
        end_all(&[process], Duration::from_millis(50)).expect("ended");
        assert!(!child.wait().expect("reaped").success());
    }

    #[test]
    fn memory_is_known_while_it_lives() {
        assert!(Process::myself().memory().is_some_and(|bytes| bytes > 100_000));
        let gone = Process { pid: std::process::id(), born: "1 before".into() };
        assert_eq!(gone.memory(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_found_by_its_environment() {
        let mark = format!("found-{}", std::process::id());
        let mut child = sleeper(&mark);
        assert!(wait_until(Duration::from_secs(5), || {
            with_variable("SOUK_TEST_MARK", &mark).iter().any(|found| found.pid == child.id())
        }));
        assert_eq!(with_variable("SOUK_TEST_MARK", "found").len(), 0, "not by a part of it");
        child.kill().expect("ours");
        child.wait().expect("reaped");
    }
}
