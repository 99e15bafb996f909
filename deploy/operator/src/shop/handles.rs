//! What can be asked of a running shop, and done to it: for tests, and for whoever wants to see it
//! fail.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use stores::{Endpoints, Member, Server, Stores};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{MutexGuard, watch};
use tokio::time::timeout;

use super::provision::shown;
use super::{READY_MAX, Shop, lock};
use crate::board::Entry;
use crate::http::Client;
use crate::journal::Journal;
use crate::layout::Layout;
use crate::plan::PSP;
use crate::process::{Process, Signal};
use crate::ready;
use crate::state::State;
use crate::traces::Collector;

const REDIS_MAX: Duration = Duration::from_secs(3);

/// A process that is down for as long as this is there.
#[derive(Debug)]
pub struct HeldDown(Arc<watch::Sender<bool>>);

impl Drop for HeldDown {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

impl Shop {
    /// What is written in the state file.
    pub fn state(&self) -> State {
        let mut state = lock(&self.state).clone();
        state.processes = self.board.entries();
        state
    }

    /// The processes, running or not.
    pub fn processes(&self) -> Vec<Entry> {
        self.board.entries()
    }

    /// The process with this name (`order`, `order-2`, `psp`), while it runs.
    pub fn process(&self, name: &str) -> Option<Process> {
        self.board.entry(name)?.process
    }

    /// Sends a signal to a process. KILL is a crash, STOP a hang, CONT the end of it.
    ///
    /// # Errors
    /// When no such process runs.
    pub fn kill(&self, name: &str, signal: Signal) -> Result<()> {
        self.process(name).with_context(|| format!("{name} does not run"))?.signal(signal)
    }

    /// What the next lives of a process are told beside and instead of the shop's own settings; for
    /// none, what it was told at first.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn tell(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        let kept = self.kept.iter().find(|kept| kept.name == name);
        let controls = &kept.with_context(|| format!("no process {name}"))?.controls;
        let told = settings.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        *controls.settings.lock().unwrap_or_else(PoisonError::into_inner) = told.collect();
        Ok(())
    }

    /// Waits until a process runs no more.
    ///
    /// # Errors
    /// When it still does after `limit`.
    pub async fn gone(&self, name: &str, limit: Duration) -> Result<()> {
        let mut changes = self.board.changes();
        let gone =
            async { while self.process(name).is_some() && changes.changed().await.is_ok() {} };
        timeout(limit, gone).await.map_err(|_| anyhow!("{name} still runs"))
    }

    /// Ends a process, in order, and keeps it so until what is returned is dropped.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn hold_down(&self, name: &str) -> Result<HeldDown> {
        let kept = self.kept.iter().find(|kept| kept.name == name);
        let controls = &kept.with_context(|| format!("no process {name}"))?.controls;
        controls.down.send_replace(true);
        Ok(HeldDown(controls.down.clone()))
    }

    /// Starts a process that died, and that is not started again by itself, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// When there is no such process, or it does not come up.
    pub async fn revive(&self, name: &str) -> Result<()> {
        let kept = self.kept.iter().find(|kept| kept.name == name);
        kept.with_context(|| format!("no process {name}"))?.controls.start.notify_one();
        self.ready_after(name, None).await
    }

    /// Waits until a process runs under this name that is not `killed`, and is ready.
    ///
    /// # Errors
    /// When there is no such process, or it does not come up.
    pub async fn ready_after(&self, name: &str, killed: Option<Process>) -> Result<()> {
        let task = self.board.entry(name).with_context(|| format!("no process {name}"))?.task;
        let mut changes = self.board.changes();
        let there = || self.process(name).is_some_and(|process| Some(process) != killed);
        let started = async { while !there() && changes.changed().await.is_ok() {} };
        let started = timeout(READY_MAX, started).await;
        started.map_err(|_| anyhow!("{name} is not started"))?;
        ready::wait(&task, &self.board, &self.layout.log_of(name), READY_MAX).await
    }

    /// The shop's HTTP API: one URL for each gateway.
    pub fn urls(&self) -> Vec<String> {
        let gateways = self.board.entries().into_iter();
        let gateways = gateways.filter(|entry| entry.task.service == "gateway");
        gateways.map(|entry| format!("http://{}", entry.task.listen)).collect()
    }

    /// The payment provider's HTTP API: its ledger, and how it behaves.
    pub fn psp_url(&self) -> String {
        let provider = self.board.entry(PSP).map(|entry| entry.task.listen.to_string());
        format!("http://{}", provider.unwrap_or_default())
    }

    /// Where `GET /traces/{trace_id}` is answered; none when spans go to another collector.
    pub fn traces_url(&self) -> Option<String> {
        self.collector.as_ref().map(Collector::traces_url)
    }

    /// Where the stores are, with passwords.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The databases of a context, in the order of its shards.
    pub fn database_urls(&self, context: &str) -> &[String] {
        self.database_urls.get(context).map_or(&[], Vec::as_slice)
    }

    /// The process of a store, while it runs; of several, the first, or the one that is named.
    pub async fn store_process(&self, member: impl Into<Member>) -> Option<Process> {
        let member = member.into();
        let endpoints = self.stores.endpoints().await.ok()??;
        let pid = endpoints.pids.iter().find(|(of, _)| *of == member).map(|(_, pid)| *pid);
        pid.and_then(Process::of)
    }

    /// Ends one store, all of its processes, and leaves it so: an outage.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop_store(&self, server: Server) -> Result<()> {
        self.stores.stop_one(server).await
    }

    /// Starts a store after an outage, with what it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_store(&self, server: Server) -> Result<()> {
        self.stores.start_one(server).await?;
        match self.stores.endpoints().await? {
            Some(endpoints) => self.note(|state| state.stores = shown(&endpoints)),
            None => Ok(()),
        }
    }

    /// The metrics of a process, as it shows them on its admin port.
    ///
    /// # Errors
    /// When there is no such process, or it does not answer.
    pub async fn metrics(&self, name: &str) -> Result<String> {
        let entry = self.board.entry(name).with_context(|| format!("no process {name}"))?;
        let admin = Client::new(&format!("http://{}", entry.task.admin));
        Ok(String::from_utf8_lossy(&admin.get("/metrics").await?.body).into_owned())
    }

    /// What our Redis answers to commands, a line each, of the user who may do everything.
    ///
    /// # Errors
    /// When it is somebody else's, or does not answer within three seconds.
    pub async fn redis(&self, commands: &[&str]) -> Result<String> {
        let password = self.endpoints.redis_url.split_once("://:");
        let password = password.and_then(|(_, rest)| rest.split_once('@'));
        let (Some((password, _)), Some(socket)) = (password, &self.endpoints.redis_socket) else {
            bail!("Redis is not ours");
        };
        let asked = async {
            let mut stream = UnixStream::connect(socket).await?;
            let commands = commands.join("\r\n");
            stream
                .write_all(format!("AUTH {password}\r\n{commands}\r\nQUIT\r\n").as_bytes())
                .await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = timeout(REDIS_MAX, asked).await.context("Redis does not answer")??;
        let answers = answer.strip_prefix("+OK\r\n").and_then(|it| it.strip_suffix("+OK\r\n"));
        Ok(answers.with_context(|| format!("Redis answered {answer:?}"))?.to_owned())
    }

    /// The password of the staff account [`crate::secrets::STAFF_EMAIL`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn staff_password(&self) -> Result<String> {
        self.secrets.staff_password()
    }

    /// The folder with the certificate of a process.
    pub fn certificates_of(&self, name: &str) -> PathBuf {
        self.layout.certs_of(name)
    }

    /// The key that access tokens are checked with, and the one that they are signed with.
    pub fn token_keys(&self) -> (PathBuf, PathBuf) {
        (self.secrets.token_key(), self.secrets.token_signing_key())
    }

    /// The folder with the data of the stores that run here.
    ///
    /// # Errors
    /// When the system tells nothing about the user that they run as.
    pub fn stores_data(&self) -> Result<PathBuf> {
        Ok(Stores::data_folder_of(&self.stores_dir)?.0)
    }

    /// Where it has its things.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whoever stops NATS and starts it again does so alone.
    pub(crate) async fn nats_alone(&self) -> MutexGuard<'_, ()> {
        self.nats.lock().await
    }

    /// The log file of a process.
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.layout.log_of(name)
    }

    /// Everything the supervisor has said is here too.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}
