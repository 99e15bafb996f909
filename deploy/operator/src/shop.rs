//! A shop that runs: its stores, the payment provider, and the six services, each a child process.
//!
//! `cargo souk up` runs one for the workspace; tests run one each, in folders of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures_util::future::{join_all, try_join_all};
use souk::cli::Replicas;
use stores::{Endpoints, Psql, Server, Stores, Tools};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::board::{Board, Entry, now_unix_ms};
use crate::certificates::Certificates;
use crate::journal::Journal;
use crate::keeper::{self, Controls, Program};
use crate::layout::Layout;
use crate::plan::{PSP, Places, Plan};
use crate::ports::Ports;
use crate::process::{Process, Signal};
use crate::secrets::Secrets;
use crate::state::{Phase, State, Store, without_password};
use crate::traces::{Collector, Limits};
use crate::watch::{self, SharedStores};
use crate::{databases, external, orphans, ready};

const READY_MAX: Duration = Duration::from_secs(60);

/// What kind of shop.
#[derive(Clone, Debug)]
pub struct Options {
    /// Certificates, secrets, logs and state go here.
    pub run: PathBuf,
    /// The stores' data goes here.
    pub stores_dir: PathBuf,
    /// The stores' programs.
    pub tools: Tools,
    /// Stores that somebody else runs.
    pub stores: stores::Options,
    /// The folder of the processes' executables.
    pub programs: PathBuf,
    /// `release` or `dev`; only to be told.
    pub profile: String,
    /// Of the first gateway; further ones get the ports after it. Without it, free ones.
    pub port: Option<u16>,
    /// Copies of each service.
    pub replicas: Replicas,
    /// Databases of the carts, and of the orders.
    pub shards: u16,
    /// Whether processes and stores that die are started again.
    pub restart: bool,
    /// How long a checkout may take; the order service's own default without it.
    pub checkout_deadline: Option<Duration>,
    /// Where spans go. Without it the shop has a collector of its own.
    pub collector: Option<String>,
    /// Settings for single services, beside and before those that the shop makes:
    /// `("payment", "SOUK_LOG", "debug")`.
    pub environment: Vec<(String, String, String)>,
    /// Whether what happens is told on standard error.
    pub aloud: bool,
}

impl Options {
    /// A shop in a folder of its own, on free ports, with the executables that were built beside
    /// this one.
    ///
    /// # Errors
    /// When this program does not know where it is.
    pub fn in_folder(folder: &Path, tools: Tools) -> Result<Self> {
        Ok(Self {
            run: folder.join("run"),
            stores_dir: folder.join("stores"),
            tools,
            stores: stores::Options::default(),
            programs: programs_beside_this()?,
            profile: profile_of_this().to_owned(),
            port: None,
            replicas: Replicas::default(),
            shards: 1,
            restart: true,
            checkout_deadline: None,
            collector: None,
            environment: Vec::new(),
            aloud: false,
        })
    }
}

/// The folder of this executable; of a test's, the folder above its `deps`.
///
/// # Errors
/// When this program does not know where it is.
pub fn programs_beside_this() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program does not know where it is")?;
    let folder = program.parent().context("this program is in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
    folder.map(Path::to_owned).context("this program is in no folder")
}

/// The profile that this executable was built with.
pub fn profile_of_this() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

/// A running shop. Dropped without [`Shop::stop`] it is killed, stores included.
#[derive(Debug)]
pub struct Shop {
    layout: Layout,
    secrets: Secrets,
    board: Board,
    journal: Journal,
    stores: SharedStores,
    endpoints: Endpoints,
    database_urls: Databases,
    kept: Vec<Kept>,
    collector: Option<Collector>,
    state: Arc<Mutex<State>>,
    background: Vec<JoinHandle<()>>,
    _certificates: Certificates,
    _owner: std::fs::File,
}

#[derive(Debug)]
struct Kept {
    name: String,
    service: String,
    controls: Controls,
    task: JoinHandle<()>,
}

impl Shop {
    /// Ends what an earlier, killed supervisor of the folder left behind, starts everything, and
    /// returns when every process has said that it is ready.
    ///
    /// # Errors
    /// When another process runs the shop of this folder, a port is taken, or something does not
    /// come up; then nothing is left running.
    pub async fn start(options: Options) -> Result<Self> {
        let layout = Layout::create(&options.run)?;
        let owner = layout.own()?;
        let journal = Journal::open(&layout, options.aloud)?;
        let left = orphans::end(&layout)?;
        if left > 0 {
            journal.note(&format!("ended {left} processes that an earlier run had left behind"));
        }
        let plan = Plan::new(&options.replicas, options.port, &mut Ports::default())?;
        for task in &plan.tasks {
            let program = options.programs.join(&task.service);
            ensure!(program.is_file(), "{} is not built", program.display());
        }
        let board = Board::new(&plan.tasks);
        let state = Arc::new(Mutex::new(first_state(&options, &board)));
        publish(&state, &board, &layout)?;
        let started = Self::bring_up(options, layout.clone(), owner, journal, plan, board, state);
        started.await.inspect_err(|_| {
            // The first error is the one to tell.
            let _ = State::remove(&layout);
        })
    }

    async fn bring_up(
        options: Options,
        layout: Layout,
        owner: std::fs::File,
        journal: Journal,
        plan: Plan,
        board: Board,
        state: Arc<Mutex<State>>,
    ) -> Result<Self> {
        let began = Instant::now();
        let secrets = Secrets::open_or_create(&layout)?;
        let certificates = Certificates::issue(&layout)?;
        let collector = match options.collector {
            Some(_) => None,
            None => Some(Collector::start(Limits::default()).await?),
        };
        let (stores, endpoints, database_urls) = start_stores(&options, &secrets).await?;
        let stores = SharedStores::new(stores);
        let stores_ms = elapsed_ms(began);
        let places = Places {
            layout: layout.clone(),
            secrets: secrets.clone(),
            database_urls: database_urls.clone(),
            nats_url: endpoints.nats_url.clone(),
            redis_url: endpoints.redis_url.clone(),
            collector: options.collector.clone().or(collector.as_ref().map(Collector::otlp_url)),
            checkout_deadline: options.checkout_deadline,
        };
        let mut shop = Self {
            kept: Vec::new(),
            layout,
            secrets,
            board,
            journal,
            stores,
            endpoints,
            database_urls,
            collector,
            state,
            background: Vec::new(),
            _certificates: certificates,
            _owner: owner,
        };
        shop.note(|state| {
            state.stores = shown(&shop.endpoints);
            state.traces_url = shop.traces_url();
            state.stores_ms = stores_ms;
            state.collector = places.collector.clone();
        })?;
        shop.watch(options.restart);
        shop.start_processes(&options, &plan, &places);
        let began = Instant::now();
        if let Err(error) = shop.ready(&plan).await {
            let _ = shop.stop().await; // the first error is the one to tell
            return Err(error);
        }
        shop.note(|state| {
            state.processes_ms = elapsed_ms(began);
            state.phase = Phase::Ready;
        })?;
        Ok(shop)
    }

    fn start_processes(&mut self, options: &Options, plan: &Plan, places: &Places) {
        for task in &plan.tasks {
            let extra = options.environment.iter().filter(|(name, ..)| *name == task.service);
            let extra = extra.map(|(_, name, value)| (name.clone(), value.clone()));
            let program = Program {
                path: options.programs.join(&task.service),
                environment: extra.chain(plan.environment(task, places)).collect(),
                log: self.layout.log_of(&task.name),
                mark: self.layout.run().display().to_string(),
                task: task.clone(),
            };
            let controls = Controls::default();
            let (board, journal) = (self.board.clone(), self.journal.clone());
            let keeping = keeper::keep(program, controls.clone(), board, journal, options.restart);
            self.kept.push(Kept {
                name: task.name.clone(),
                service: task.service.clone(),
                controls,
                task: tokio::spawn(keeping),
            });
        }
    }

    async fn ready(&self, plan: &Plan) -> Result<()> {
        let waits = plan.tasks.iter().map(|task| async move {
            ready::wait(task, &self.board, &self.layout.log_of(&task.name), READY_MAX).await
        });
        try_join_all(waits).await.map(|_| ())
    }

    /// Keeps the state file up to date, and the stores up.
    fn watch(&mut self, restart: bool) {
        let (state, board, layout) = (self.state.clone(), self.board.clone(), self.layout.clone());
        let journal = self.journal.clone();
        self.background.push(tokio::spawn(async move {
            let mut changes = board.changes();
            while changes.changed().await.is_ok() {
                if let Err(error) = publish(&state, &board, &layout) {
                    journal.note(&format!("{error:#}"));
                }
            }
        }));
        if restart {
            let (stores, journal) = (self.stores.clone(), self.journal.clone());
            let (state, board, layout) =
                (self.state.clone(), self.board.clone(), self.layout.clone());
            let noted = move |endpoints: &Endpoints| {
                lock(&state).stores = shown(endpoints);
                let _ = publish(&state, &board, &layout); // the next change is published too
            };
            self.background.push(tokio::spawn(watch::stores(stores, journal, noted)));
        }
    }

    fn note(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        {
            let mut state = lock(&self.state);
            change(&mut state);
        }
        publish(&self.state, &self.board, &self.layout)
    }

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

    /// Starts a process that died, and that is not started again by itself, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// When there is no such process, or it does not come up.
    pub async fn revive(&self, name: &str) -> Result<()> {
        let kept = self.kept.iter().find(|kept| kept.name == name);
        kept.with_context(|| format!("no process {name}"))?.controls.start.notify_one();
        let task = self.board.entry(name).with_context(|| format!("no process {name}"))?.task;
        let mut changes = self.board.changes();
        let running =
            async { while self.process(name).is_none() && changes.changed().await.is_ok() {} };
        let running = tokio::time::timeout(READY_MAX, running).await;
        running.map_err(|_| anyhow!("{name} is not started"))?;
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

    /// Ends one store and leaves it so: an outage.
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
        self.stores.start_one(server).await
    }

    /// The password of the staff account [`crate::secrets::STAFF_EMAIL`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn staff_password(&self) -> Result<String> {
        self.secrets.staff_password()
    }

    /// The log file of a process.
    pub fn log_of(&self, name: &str) -> PathBuf {
        self.layout.log_of(name)
    }

    /// Everything the supervisor has said is here too.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Drains and ends everything: gateways first, so that no new request comes in, then the
    /// services, the payment provider, the stores. Bounded: what does not end is killed.
    ///
    /// # Errors
    /// When a store does not end.
    pub async fn stop(mut self) -> Result<()> {
        let _ = self.note(|state| state.phase = Phase::Stopping); // the rest matters more
        self.end(|service| service == "gateway").await;
        self.end(|service| service != "gateway" && service != PSP).await;
        self.end(|service| service == PSP).await;
        self.background.drain(..).for_each(|task| task.abort());
        self.stores.stop().await?;
        State::remove(&self.layout)
    }

    async fn end(&mut self, which: impl Fn(&str) -> bool) {
        let (ending, rest) = self.kept.drain(..).partition(|kept| which(&kept.service));
        self.kept = rest;
        let ending: Vec<Kept> = ending;
        ending.iter().for_each(|kept| kept.controls.stop.cancel());
        join_all(ending.into_iter().map(|kept| kept.task)).await;
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // Each keeper's child is killed with it.
        self.kept.iter().for_each(|kept| kept.task.abort());
        self.background.iter().for_each(JoinHandle::abort);
        for entry in self.board.entries() {
            let _ = entry.process.map(|process| process.signal(Signal::KILL)); // it may be gone
        }
        if self.stores.stop_now() {
            let _ = State::remove(&self.layout); // there is nobody left to tell
        }
    }
}

type Databases = BTreeMap<String, Vec<String>>;

async fn start_stores(
    options: &Options,
    secrets: &Secrets,
) -> Result<(Stores, Endpoints, Databases)> {
    let (options, secrets) = (options.clone(), secrets.clone());
    let starting = spawn_blocking(move || {
        let stores = Stores::start(&options.stores_dir, &options.tools, &options.stores)?;
        let layout = Layout::at(&options.run);
        let provide = || {
            external::remember(&layout, &options.stores)?;
            let endpoints = stores.endpoints()?;
            let psql = Psql::of(&options.tools).context("no psql on this machine")?;
            let url = &endpoints.postgres_url;
            let databases = databases::provide(&psql, url, &secrets, options.shards)?;
            anyhow::Ok((endpoints, databases))
        };
        match provide() {
            Ok((endpoints, databases)) => Ok((stores, endpoints, databases)),
            Err(error) => {
                let _ = stores.stop(); // the first error is the one to tell
                Err(error)
            }
        }
    });
    starting.await?
}

fn first_state(options: &Options, board: &Board) -> State {
    State {
        supervisor: Process::myself(),
        started_unix_ms: now_unix_ms(),
        phase: Phase::Starting,
        profile: options.profile.clone(),
        shards: options.shards,
        stores: Vec::new(),
        stores_ms: 0,
        processes_ms: 0,
        traces_url: None,
        collector: options.collector.clone(),
        processes: board.entries(),
    }
}

fn publish(state: &Mutex<State>, board: &Board, layout: &Layout) -> Result<()> {
    let mut state = lock(state);
    state.processes = board.entries();
    state.write(layout) // under the lock, so that no older state overtakes a newer one
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stores as they can be shown.
fn shown(endpoints: &Endpoints) -> Vec<Store> {
    let urls = [&endpoints.postgres_url, &endpoints.redis_url, &endpoints.nats_url];
    let store = |(server, url): (Server, &String)| {
        let pid = endpoints.pids.iter().find(|(of, _)| *of == server).map(|(_, pid)| *pid);
        Store {
            name: server.key().to_owned(),
            url: without_password(url),
            process: pid.and_then(Process::of),
        }
    };
    Server::ALL.into_iter().zip(urls).map(store).collect()
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
