//! Child processes that outlive nobody by accident: own process group, a pid file that cannot be
//! mistaken for another process, and stopping with a limit.

use crate::error::Doing;
use crate::user::ServerUser;
use crate::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A log file larger than this is set aside when its server starts.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// How often a wait looks again.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// A command with a clean environment: the caller's `PG*` variables and secrets are not passed on.
pub(crate) fn command(program: &Path, libraries: &[PathBuf], user: Option<&ServerUser>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C");
    // The working folder of the caller may be closed to the server's user.
    command.current_dir("/").stdin(Stdio::null());
    let inherited = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let folders = libraries.iter().cloned().chain(std::env::split_paths(&inherited));
    if let Ok(joined) =
        std::env::join_paths(folders).map(|joined| (!joined.is_empty()).then_some(joined))
    {
        command.envs(joined.map(|joined| ("LD_LIBRARY_PATH", joined)));
    }
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

/// Starts a server in a process group of its own, so that a terminal's Ctrl-C does not reach it.
pub(crate) fn spawn(mut command: Command, log: &Log) -> Result<Child> {
    let output = log.open()?;
    let errors = output.try_clone().doing("open", &log.path)?;
    let program = PathBuf::from(command.get_program());
    command.stdout(output).stderr(errors).process_group(0).spawn().doing("start", &program)
}

/// A process, by its number and the moment it was born: a number that was used again is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) pid: u32,
    born: String,
}

impl Running {
    /// The live process with this number, if there is one.
    pub(crate) fn of(pid: u32) -> Option<Running> {
        birth(pid).map(|born| Running { pid, born })
    }

    /// What a pid file says; none when there is none, or nothing legible in it.
    pub(crate) fn read(file: &Path) -> Option<Running> {
        let text = fs::read_to_string(file).ok()?;
        let (pid, born) = text.trim_end().split_once(' ')?;
        Some(Running { pid: pid.parse().ok()?, born: born.to_owned() })
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, format!("{} {}\n", self.pid, self.born)).doing("write", file)
    }

    /// Whether this very process still runs. A zombie does not.
    pub(crate) fn alive(&self) -> bool {
        Running::of(self.pid).is_some_and(|now| now == *self)
    }

    /// Sends each signal in turn and waits for its time; tells whether the process ended.
    pub(crate) fn end(&self, steps: &[(&str, Duration)]) -> Result<()> {
        for (signal, patience) in steps {
            if !self.alive() {
                return Ok(());
            }
            // `kill` is a builtin of every shell; the program is missing from small systems.
            let script = format!("kill -{signal} {}", self.pid);
            Command::new("sh")
                .args(["-c", &script])
                .stderr(Stdio::null())
                .status()
                .doing("run", Path::new("sh"))?;
            if wait_until(*patience, || !self.alive()) {
                return Ok(());
            }
        }
        Err(Error::Failed(format!("process {} does not end", self.pid)))
    }
}

/// Polls until `done`, at most for `patience`; tells whether it came true.
pub(crate) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

/// When a live process was born, as the system tells it; none when there is none, or only a zombie.
/// With the number it names the process for good: ticks since boot, and the boot's id because a
/// machine that boots from an image repeats its numbers.
#[cfg(target_os = "linux")]
pub fn birth(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything, even spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    (state != "Z" && state != "X").then(|| format!("{started} {}", boot.trim()))
}

/// When a live process was born, as the system tells it; none when there is none, or only a zombie.
#[cfg(not(target_os = "linux"))]
pub fn birth(pid: u32) -> Option<String> {
    let pid = pid.to_string();
    let output = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (state, started) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// The arguments of a live process, joined; empty when it is gone or not ours to look at.
pub(crate) fn arguments(pid: u32) -> String {
    if cfg!(target_os = "linux") {
        let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return String::from_utf8_lossy(&raw).replace('\0', " ");
    }
    let output = Command::new("ps").args(["-o", "command=", "-p", &pid.to_string()]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// A server's log file.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    /// Where this run's lines begin.
    start: u64,
}

impl Log {
    /// The log at `path`, from its present end on.
    pub(crate) fn at(path: PathBuf) -> Log {
        let mut start = fs::metadata(&path).map_or(0, |meta| meta.len());
        if start > LOG_BYTES_MAX && fs::rename(&path, path.with_extension("log.old")).is_ok() {
            start = 0;
        }
        Log { path, start }
    }

    /// Opened to append.
    pub(crate) fn open(&self) -> Result<File> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path);
        file.doing("open", &self.path)
    }

    /// What was written since, at most its last 20 lines.
    pub(crate) fn tail(&self) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.path)?;
            let from = self.start.max(file.metadata()?.len().saturating_sub(8192));
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// `<what>; the end of <file>:` and the tail.
    pub(crate) fn blame(&self, what: &str) -> Error {
        Error::Failed(format!("{what}; the end of {}:\n{}", self.path.display(), self.tail()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_used_again_is_another_process() {
        let me = Running::of(std::process::id()).expect("this process runs");
        assert!(me.alive());
        let earlier = Running { pid: me.pid, born: "1 of-another-boot".into() };
        assert!(!earlier.alive());
        // And ending it touches nobody: it returns at once, and this test goes on.
        earlier.end(&[("KILL", Duration::from_secs(1))]).expect("nothing to end");
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        assert!(wait_until(Duration::from_secs(5), || Running::of(pid).is_none()));
        child.wait().expect("it can still be waited for");
    }

    #[test]
    fn what_ignores_a_polite_signal_is_killed() {
        let mut child = Command::new("sh")
            .args(["-c", "trap '' TERM; read x"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("sh");
        let running = Running::of(child.id()).expect("alive");
        let steps = [("TERM", Duration::from_millis(50)), ("KILL", Duration::from_secs(5))];
        running.end(&steps).expect("ended");
        assert!(!child.wait().expect("waited").success());
    }
}
