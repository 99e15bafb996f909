//! The engine: `dockerd`, with everything of its own.

use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::namespace::Place;

/// In the `/run` of the namespace, where paths are short enough for sockets.
const SOCKET: &str = "unix:///run/souk.sock";
const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// A running engine; ended when dropped.
pub(crate) struct Engine<'a> {
    place: &'a Place,
    daemon: Child,
}

impl<'a> Engine<'a> {
    /// Starts it; the error says why there is none.
    pub(crate) fn start(place: &'a Place) -> Result<Self> {
        let log = place.folder.join("dockerd.log");
        let output = File::create(&log)?;
        let mut command = place.command("usr/sbin/dockerd");
        command.arg("--data-root").arg(place.folder.join("engine"));
        command.args(["--exec-root", "/run/souk", "--pidfile", "/run/souk.pid", "--host", SOCKET]);
        command.args(["--cgroup-parent", &format!("/{}", place.cgroup), "--log-level", "warn"]);
        command.stdout(output.try_clone()?).stderr(output).stdin(Stdio::null());
        let mut engine = Self { daemon: command.spawn().context("dockerd")?, place };
        let limit = Instant::now() + START_MAX;
        while engine.docker(&["version"]).is_err() {
            let ended = engine.daemon.try_wait()?.is_some();
            if ended || Instant::now() >= limit {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("dockerd does not start: {}", said.lines().last().unwrap_or_default());
            }
            std::thread::sleep(POLL);
        }
        Ok(engine)
    }

    /// Runs the client; what it printed.
    pub(crate) fn docker(&self, arguments: &[impl AsRef<str>]) -> Result<String> {
        let arguments = arguments.iter().map(AsRef::as_ref);
        let mut command = self.place.command("usr/bin/docker");
        let output = command.args(["--host", SOCKET]).args(arguments.clone()).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let first: Vec<&str> = arguments.take(3).collect();
        ensure!(output.status.success(), "docker {}: {}", first.join(" "), said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Both streams of a container's log, the last lines.
    pub(crate) fn log(&self, container: &str) -> String {
        let mut command = self.place.command("usr/bin/docker");
        command.args(["--host", SOCKET, "logs", "--tail", "20", container]);
        match command.output() {
            Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Engine<'_> {
    fn drop(&mut self) {
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM)); // it may be gone
        let limit = Instant::now() + STOP_MAX;
        while matches!(self.daemon.try_wait(), Ok(None)) && Instant::now() < limit {
            std::thread::sleep(POLL);
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
