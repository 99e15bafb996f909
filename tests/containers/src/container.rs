//! One container: looked at from outside, and stopped.

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::compose::{NETWORK, Service};
use crate::engine::Engine;

/// The user of every container.
const USER: &str = "65532";

/// A container that was started.
pub(crate) struct Container<'a> {
    engine: &'a Engine<'a>,
    pub(crate) name: String,
}

/// How a container ended, and how long after it was asked to.
pub(crate) struct Stopped {
    pub(crate) took: Duration,
    pub(crate) code: String,
}

impl<'a> Container<'a> {
    /// One that the project runs.
    pub(crate) fn of(engine: &'a Engine<'a>, name: String) -> Self {
        Self { engine, name }
    }

    /// The image alone, with none of what the compose file says of it: what [`is_hardened`] has to find.
    ///
    /// [`is_hardened`]: Self::is_hardened
    pub(crate) fn lax(engine: &'a Engine<'a>, service: &Service) -> Result<Self> {
        let name = format!("lax-{}", service.name);
        let setting = "--env=PSP_LEDGER_DIR=/var/lib/psp";
        engine.docker(&["run", "--detach", "--name", &name, setting, service.image()?])?;
        Ok(Self { engine, name })
    }

    fn inspect(&self, format: &str) -> Result<String> {
        self.engine.docker(&["inspect", "--format", format, &self.name])
    }

    pub(crate) fn address(&self) -> Result<IpAddr> {
        let format = format!("{{{{(index .NetworkSettings.Networks \"{NETWORK}\").IPAddress}}}}");
        Ok(self.inspect(&format)?.parse()?)
    }

    /// What the kernel says of the process: who it is, what it may, and whether it could write.
    pub(crate) fn is_hardened(&self) -> Result<()> {
        let pid = self.inspect("{{.State.Pid}}")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let says = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let user = [USER; 4].join(" ");
        ensure!(
            says("Uid:") == user && says("Gid:") == user,
            "{} runs as {}",
            self.name,
            says("Uid:")
        );
        for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            let held = says(capabilities);
            ensure!(held.trim_matches('0').is_empty(), "{}: {capabilities} {held}", self.name);
        }
        ensure!(says("NoNewPrivs:") == "1", "{} may gain privileges", self.name);
        ensure!(says("Seccomp:") == "2", "{} may make any system call", self.name);
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/"));
        let options = root.and_then(|line| line.split(' ').nth(5)).context("no root")?;
        ensure!(options.split(',').any(|option| option == "ro"), "{}: / is {options}", self.name);
        Ok(())
    }

    /// Megabytes that its control group holds.
    pub(crate) fn memory(&self) -> Result<String> {
        let format = "{{.MemUsage}}";
        let usage =
            self.engine.docker(&["stats", "--no-stream", "--format", format, &self.name])?;
        Ok(usage)
    }

    /// As `docker stop` and `docker compose stop` do it: SIGTERM, and SIGKILL after the grace period.
    /// The end is the process's. The engine says so later, by seconds where the process had asked it
    /// for a name that is gone: it waits for the answer of its own name server.
    pub(crate) fn stop(&self) -> Result<Stopped> {
        let began = kernel::clock::now();
        self.engine.docker(&["stop", &self.name])?;
        let ended = OffsetDateTime::parse(&self.inspect("{{.State.FinishedAt}}")?, &Rfc3339)?;
        let took = (ended - began).try_into().context("it ended before it was stopped")?;
        Ok(Stopped { took, code: self.inspect("{{.State.ExitCode}}")? })
    }
}
