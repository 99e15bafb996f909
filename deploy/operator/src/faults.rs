//! Faults of a shop that is in use. Each is bounded, and undone when it ends or when nobody waits for it any more.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::json;
use souk::cli::{InjectFault, LiveFault};
use stores::{Home, Member, Server};
use tokio::process::Command;
use tokio::time::{Instant, sleep, sleep_until};

use crate::control::{self, Injection};
use crate::http::{Client, full, is_success};
use crate::plan::CONSOLE;
use crate::process::{Process, Signal};
use crate::running;
use crate::shop::Shop;
use crate::speak::say;

/// A process drains for 20 s at most.
const DRAINED_MAX: Duration = Duration::from_secs(25);
/// The provider answers well when it is started again, so its errors are set again and again.
const REMIND: Duration = Duration::from_millis(500);

/// `cargo souk fault`: injects one, and returns when it is over.
///
/// # Errors
/// When the shop is not up, or refuses.
pub async fn run(home: &Home, options: &InjectFault) -> Result<()> {
    let (layout, _) = running::shop(home)?;
    let (kind, target) = (options.kind.name(), options.target.as_deref());
    let Injection { id, .. } = control::inject(&layout, kind, target, options.seconds).await?;
    let ended = loop {
        let mut injections = control::injections(&layout).await?.into_iter();
        match injections.find(|it| it.id == id) {
            Some(it) if it.ended_unix_ms.is_none() => sleep(REMIND).await,
            other => break other,
        }
    };
    let ended = ended.context("the supervisor does not remember it")?;
    ensure!(ended.error.is_none(), "{}", ended.error.unwrap_or_default());
    let took = ended.ended_unix_ms.unwrap_or_default() - ended.began_unix_ms;
    say!("{kind}{}: over after {:.1} s", ended.on(), took as f64 / 1e3);
    Ok(())
}

/// Processes that stand still until this is dropped.
struct Paused(Vec<Process>);

impl Paused {
    /// A process, and those that it has started: PostgreSQL works in one for each connection.
    fn new(process: Process) -> Result<Self> {
        let mut paused = Self(vec![process.clone()]);
        process.signal(Signal::STOP)?;
        // It starts no more of them now.
        for child in process.children() {
            child.signal(Signal::STOP)?;
            paused.0.push(child);
        }
        Ok(paused)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in &self.0 {
            let _ = process.signal(Signal::CONT); // it was ours to stop; it may have died since
        }
    }
}

impl Shop {
    /// Whether there is something of this name that a fault can happen to: a process but for the console, or a store of ours.
    pub fn has(&self, name: &str) -> bool {
        let state = self.state();
        let stores = state.stores.iter().filter(|it| it.process.is_some());
        let mut stores = stores.map(|it| it.name.as_str());
        let mut processes = state.processes.iter().map(|it| it.task.name.as_str());
        name != CONSOLE && (processes.any(|it| it == name) || stores.any(|it| it == name))
    }

    /// Injects a fault, and returns when it is undone.
    ///
    /// # Errors
    /// When there is nothing of this name, it is down already, or it does not come back.
    pub async fn inject(&self, kind: LiveFault, target: &str, lasts: Duration) -> Result<()> {
        match kind {
            LiveFault::Kill => self.victim(target).await?.signal(Signal::KILL),
            LiveFault::Pause => {
                let _paused = Paused::new(self.victim(target).await?)?;
                sleep(lasts).await;
                Ok(())
            }
            LiveFault::Stop => self.stop_for(target, lasts).await,
            LiveFault::Restart => self.stop_for(target, Duration::ZERO).await,
            LiveFault::RedisFlush => self.flush_redis().await,
            LiveFault::NatsWipe => self.wipe_nats().await,
            LiveFault::NatsRollback => self.roll_nats_back(lasts).await,
            LiveFault::ProviderErrors => self.with_a_bad_provider(lasts).await,
        }
    }

    /// A process or a store, if it runs.
    ///
    /// # Errors
    /// When it does not.
    pub async fn victim(&self, name: &str) -> Result<Process> {
        let process = match Member::of_name(name) {
            Some(member) => self.store_process(member).await,
            None => self.process(name),
        };
        let alive = process.filter(Process::alive);
        alive.with_context(|| format!("{name} is down already"))
    }

    async fn stop_for(&self, name: &str, lasts: Duration) -> Result<()> {
        if let Some(member) = Member::of_name(name) {
            // Of several all: they are started together.
            let stopped = self.stop_store(member.server).await;
            if stopped.is_ok() {
                sleep(lasts).await;
            }
            self.start_store(member.server).await?;
            return stopped;
        }
        let down = self.hold_down(name)?;
        self.gone(name, DRAINED_MAX).await?;
        sleep(lasts).await;
        drop(down);
        self.ready_after(name, None).await
    }

    /// NATS is stopped, loses what it had, and is started again.
    ///
    /// # Errors
    /// When it does not end or come back, or is somebody else's.
    pub async fn wipe_nats(&self) -> Result<()> {
        self.while_nats_is_down(async || {
            self.nats_folders()?.iter().try_for_each(|(data, _)| remove(data))
        })
        .await
    }

    /// NATS is stopped, a copy of what it has is made, and it is started again; and after some time it has that and no more.
    ///
    /// # Errors
    /// As [`Shop::wipe_nats`].
    pub async fn roll_nats_back(&self, later: Duration) -> Result<()> {
        self.while_nats_is_down(async || {
            for (data, copy) in self.nats_folders()? {
                remove(&copy)?;
                copied(&data, &copy).await?;
            }
            Ok(())
        })
        .await?;
        sleep(later).await;
        self.while_nats_is_down(async || {
            for (data, copy) in self.nats_folders()? {
                remove(&data)?;
                copied(&copy, &data).await?;
            }
            Ok(())
        })
        .await
    }

    /// Redis forgets everything.
    ///
    /// # Errors
    /// When it does not answer, or is somebody else's.
    pub async fn flush_redis(&self) -> Result<()> {
        let answer = self.redis(&["FLUSHALL"]).await?;
        ensure!(answer == "+OK\r\n", "Redis answered {answer:?}");
        Ok(())
    }

    /// One answer of the provider in nine is bad, and every fifth webhook comes twice.
    async fn with_a_bad_provider(&self, lasts: Duration) -> Result<()> {
        let end = Instant::now() + lasts;
        while Instant::now() < end {
            self.set_provider_errors().await;
            sleep_until(end.min(Instant::now() + REMIND)).await;
        }
        while !self.reset_provider().await {
            sleep(REMIND).await;
        }
        Ok(())
    }

    /// Has the provider answer badly until it is reset or started again.
    pub async fn set_provider_errors(&self) {
        let behaviour = json!({ "decline": 0.03, "hang": 0.01, "error_after_charge": 0.04,
            "drop_after_charge": 0.04, "duplicate_webhook": 0.2,
            "delay_ms": { "min": 0, "max": 60 }, "webhook_delay_ms": 20 });
        let _ = self.set_behaviour(&behaviour.to_string()).await; // whoever wants it says it again and again
    }

    /// Has the provider answer well; whether it has said that it will.
    pub async fn reset_provider(&self) -> bool {
        self.set_behaviour("{}").await.is_ok_and(is_success)
    }

    /// One that is down or stands still does not answer.
    async fn set_behaviour(&self, behaviour: &str) -> Result<u16> {
        let provider = Client::new(&self.psp_url());
        let request = provider.request(Method::PUT, "/v1/behaviour");
        let request = request.header("content-type", "application/json");
        let request = request.body(full(behaviour.to_owned()))?;
        Ok(provider.send(request, Duration::from_secs(1)).await?.status)
    }

    fn nats_servers(&self) -> Vec<Member> {
        let names = self.state().stores.into_iter().map(|it| it.name);
        let members = names.filter_map(|name| Member::of_name(&name));
        members.filter(|it| it.server == Server::Nats).collect()
    }

    /// Where each server has its streams, and where a copy of them goes.
    fn nats_folders(&self) -> Result<Vec<(PathBuf, PathBuf)>> {
        let (data, copies) = (self.stores_data()?, self.layout().run());
        let names = self.nats_servers().into_iter().map(Member::name);
        let folders = names
            .map(|name| (data.join(&name).join("jetstream"), copies.join(format!("{name}-copy"))));
        Ok(folders.collect())
    }

    /// Whatever came of the work, NATS runs afterwards. One at a time.
    async fn while_nats_is_down(&self, work: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let _alone = self.nats_alone().await;
        ensure!(self.has(Server::Nats.key()), "NATS is somebody else's");
        for member in self.nats_servers() {
            let paused = self.store_process(member).await.filter(Process::alive);
            paused.map_or(Ok(()), |paused| paused.signal(Signal::CONT))?; // a stopped process takes no other signal
        }
        let mut worked = self.stop_store(Server::Nats).await;
        if worked.is_ok() {
            worked = work().await;
        }
        self.start_store(Server::Nats).await?;
        worked
    }
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// With its owner.
async fn copied(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(()); // wiped before
    }
    let status = Command::new("cp").arg("-a").args([from, to]).kill_on_drop(true).status().await?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}
