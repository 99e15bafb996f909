//! A shop that runs: its stores, the payment provider, and the six services, each a child process.
//!
//! `cargo souk up` runs one for the workspace; tests run one each, in folders of their own.

mod options;
mod provision;
mod handles;

pub use handles::HeldDown;
pub use options::{Detour, Lead, Options, profile_of_this, programs_beside_this};

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join_all};
use stores::Endpoints;
use tokio::task::JoinHandle;

use crate::board::{Board, now_unix_ms};
use crate::certificates::Certificates;
use crate::journal::Journal;
use crate::keeper::{self, Controls, Program};
use crate::layout::Layout;
use crate::plan::{CONSOLE, GATEWAY, PSP, Places, Plan, Task};
use crate::ports::Ports;
use crate::process::{Process, Signal};
use crate::secrets::Secrets;
use crate::state::{Phase, State};
use crate::traces::{Collector, Limits};
use crate::watch::{self, SharedStores};
use crate::{orphans, ready};

use provision::{Databases, shown, start_stores};

/// The program that is the gateway and the services in it.
const MONOLITH: &str = "monolith";
const READY_MAX: Duration = Duration::from_secs(60);

/// A running shop. Dropped without [`Shop::stop`] it is killed, stores included.
#[derive(Debug)]
pub struct Shop {
    layout: Layout,
    secrets: Secrets,
    board: Board,
    journal: Journal,
    stores: SharedStores,
    stores_dir: PathBuf,
    endpoints: Endpoints,
    database_urls: Databases,
    kept: Vec<Kept>,
    collector: Option<Collector>,
    state: Arc<Mutex<State>>,
    background: Vec<JoinHandle<()>>,
    nats: tokio::sync::Mutex<()>,
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
        let mut ports = Ports::default();
        let mut plan = Plan::new(&options.replicas, options.port, &mut ports)?;
        if options.console {
            plan.add_console(&mut ports)?;
        }
        if !options.inside.is_empty() {
            plan.put_inside(&options.inside)?;
        }
        for task in &plan.tasks {
            let program = program(&options, task);
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
        let mut shop = Self {
            kept: Vec::new(),
            layout,
            secrets,
            board,
            journal,
            stores,
            stores_dir: options.stores_dir.clone(),
            endpoints,
            database_urls,
            collector,
            state,
            background: Vec::new(),
            nats: tokio::sync::Mutex::default(),
            _certificates: certificates,
            _owner: owner,
        };
        let places = shop.places(&options);
        shop.note(|state| {
            state.stores = shown(&shop.endpoints);
            state.traces_url = shop.traces_url();
            state.stores_ms = stores_ms;
            state.collector = places.collector.clone();
        })?;
        shop.watch(options.restart);
        shop.start_processes(&options, &plan, &places)?;
        shop.become_ready(&plan).await
    }

    async fn become_ready(self, plan: &Plan) -> Result<Self> {
        let began = Instant::now();
        if let Err(error) = self.ready(plan).await {
            let _ = self.stop().await; // the first error is the one to tell
            return Err(error);
        }
        self.note(|state| {
            state.processes_ms = elapsed_ms(began);
            state.phase = Phase::Ready;
        })?;
        Ok(self)
    }

    /// What the processes are told of where things are.
    fn places(&self, options: &Options) -> Places {
        let own = self.collector.as_ref().map(Collector::otlp_url);
        Places {
            layout: self.layout.clone(),
            secrets: self.secrets.clone(),
            database_urls: self.database_urls.clone(),
            bus_urls: self.endpoints.bus_urls.clone(),
            nats_replicas: Some(options.stores.nats_servers).filter(|servers| *servers > 1),
            redis_urls: self.endpoints.redis_urls.clone(),
            collector: options.collector.clone().or(own),
            checkout_deadline: options.checkout_deadline,
        }
    }

    fn start_processes(&mut self, options: &Options, plan: &Plan, places: &Places) -> Result<()> {
        for task in &plan.tasks {
            let mut environment = environment(options, plan, places, task)?;
            for inside in plan.inside.iter().filter(|_| task.service == GATEWAY) {
                let its = self::environment(options, plan, places, inside)?;
                environment.extend(behind(&inside.service, its));
            }
            let program = Program {
                path: program(options, task),
                environment,
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
        Ok(())
    }

    async fn ready(&self, plan: &Plan) -> Result<()> {
        // The shop needs no console.
        let tasks = plan.tasks.iter().filter(|task| task.service != CONSOLE);
        let waits = tasks.map(|task| async move {
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

    /// Drains and ends everything: gateways first, so that no new request comes in, then the
    /// services, the payment provider, the stores. Bounded: what does not end is killed.
    ///
    /// # Errors
    /// When a store does not end.
    pub async fn stop(mut self) -> Result<()> {
        let _ = self.note(|state| state.phase = Phase::Stopping); // the rest matters more
        let _ = self.stores.start_resting().await; // a drain needs them; without them it ends by its timeouts
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

/// The executable of a process.
fn program(options: &Options, task: &Task) -> PathBuf {
    let runs_others = task.service == GATEWAY && !options.inside.is_empty();
    options.programs.join(if runs_others { MONOLITH } else { task.service.as_str() })
}

/// The settings of a service in another's process: as a process of its own would find them, each behind the service's name.
fn behind(
    service: &str,
    own: Vec<(String, String)>,
) -> impl Iterator<Item = (String, String)> + use<> {
    let prefix = service.to_uppercase();
    let inherited = keeper::inherited().filter_map(|(name, value)| {
        let value = value.into_string().ok()?;
        Some((name.to_owned(), value))
    });
    inherited.chain(own).map(move |(name, value)| (format!("{prefix}_{name}"), value))
}

/// The settings of a process, or of a service in the gateway's.
fn environment(
    options: &Options,
    plan: &Plan,
    places: &Places,
    task: &Task,
) -> Result<Vec<(String, String)>> {
    let extra = options.environment.iter().filter(|(name, ..)| *name == task.service);
    let extra = extra.map(|(_, name, value)| (name.clone(), value.clone()));
    let led = |(name, value): (String, String)| {
        let Some(detour) = &options.detour else { return Ok((name, value)) };
        let value = (detour.0)(task, &name, value)?;
        Ok((name, value))
    };
    extra.chain(plan.environment(task, places)).map(led).collect()
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

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
