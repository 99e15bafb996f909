//! The background task that looks at the shop each second: its state file, `/proc`, readiness, faults; and every other
//! second `/metrics` and the order databases. Nothing that is away stops it: it says since when, and why.

mod processes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use audit::Places;
use futures_util::future::join_all;
use operator::board::{Entry, now_unix_ms};
use operator::control;
use operator::http::{Client, empty};
use operator::layout::Layout;
use operator::plan::{CONSOLE, PSP};
use operator::state::State;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::auditor::Told;
use crate::running;
use crate::scrape::Sum;
use crate::series::{Point, Series};
use crate::snapshot::{Condition, Row, Snapshot, Unknown};
use crate::traffic::Counter;
use processes::Processes;

const EVERY: Duration = Duration::from_secs(1);
/// Of the looks: metrics and databases cost more.
const HEAVY_EVERY: u64 = 2;
const METRICS_MAX: Duration = Duration::from_millis(800);

/// The task.
#[derive(Debug)]
pub struct Sampler {
    layout: Layout,
    live: watch::Sender<Arc<Snapshot>>,
    told: watch::Receiver<Arc<Told>>,
    processes: Processes,
    clients: HashMap<String, Client>,
    counter: Counter,
    series: Series,
}

impl Sampler {
    /// For the shop of this folder.
    pub fn new(
        layout: Layout,
        live: watch::Sender<Arc<Snapshot>>,
        told: watch::Receiver<Arc<Told>>,
    ) -> Self {
        Self {
            layout,
            live,
            told,
            processes: Processes::default(),
            clients: HashMap::new(),
            counter: Counter::default(),
            series: Series::default(),
        }
    }

    /// Looks for as long as it is polled.
    pub async fn run(mut self) {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for beat in 0_u64.. {
            every.tick().await;
            let before = Arc::clone(&self.live.borrow());
            let fresh = self.look(beat, &before).await;
            self.live.send_replace(Arc::new(fresh));
        }
    }

    async fn look(&mut self, beat: u64, before: &Snapshot) -> Snapshot {
        let mut fresh = match running::state(&self.layout) {
            Ok(state) => self.shop(&state, beat, before).await,
            Err(error) => {
                let unknown = Some(Unknown::after(before.unknown.as_ref(), &error));
                Snapshot { unknown, ..Snapshot::default() }
            }
        };
        if beat.is_multiple_of(HEAVY_EVERY) {
            self.note(&fresh);
        }
        fresh.series = self.series.points();
        let calm = fresh.is_calm().then(|| before.calm_since.unwrap_or_else(Instant::now));
        Snapshot { calm_since: calm, ..fresh }
    }

    async fn shop(&mut self, state: &State, beat: u64, before: &Snapshot) -> Snapshot {
        let mut fresh = Snapshot {
            shop_url: Some(state.shop_url()),
            traces_url: state.traces_url.clone(),
            ..Snapshot::default()
        };
        match control::injections(&self.layout).await {
            Ok(faults) => fresh.faults = faults,
            Err(error) => {
                fresh.faults.clone_from(&before.faults); // those of before are true still
                fresh.faults_unknown = Some(Unknown::after(before.faults_unknown.as_ref(), &error));
            }
        }
        let now = Instant::now();
        fresh.processes = self.processes.look(state, &fresh.faults, now).await;
        fresh.stores = self.processes.stores(state, &fresh.faults, now);
        if beat.is_multiple_of(HEAVY_EVERY) {
            self.scrape(state, &mut fresh).await;
            self.count(state, before, &mut fresh).await;
        } else {
            fresh.events.clone_from(&before.events);
            fresh.caches.clone_from(&before.caches);
            fresh.order_databases.clone_from(&before.order_databases);
            fresh.traffic = before.traffic;
            fresh.traffic_unknown.clone_from(&before.traffic_unknown);
        }
        fresh
    }

    /// Those that do not answer say nothing.
    async fn scrape(&mut self, state: &State, fresh: &mut Snapshot) {
        let answers = |row: &&Row| matches!(row.state, Condition::Ready | Condition::NotReady);
        let answering: Vec<&str> =
            fresh.processes.iter().filter(answers).map(|row| row.name.as_str()).collect();
        let has_metrics = |entry: &&Entry| {
            let task = &entry.task;
            ![PSP, CONSOLE].contains(&&*task.service) && answering.contains(&&*task.name)
        };
        let asked = state.processes.iter().filter(has_metrics).map(|entry| {
            let url = format!("http://{}", entry.task.admin);
            let client = self.clients.entry(url.clone()).or_insert_with(|| Client::new(&url));
            let (client, service) = (client.clone(), entry.task.service.clone());
            async move { Some((service, metrics(&client).await.ok()?)) }
        });
        let asked: Vec<_> = asked.collect();
        let mut sum = Sum::default();
        for (service, text) in join_all(asked).await.into_iter().flatten() {
            sum.add(&service, &text);
        }
        (fresh.events, fresh.caches) = sum.finish();
    }

    async fn count(&mut self, state: &State, before: &Snapshot, fresh: &mut Snapshot) {
        let counted = async {
            if let Some(row) = fresh.stores.iter().find(|row| row.is_postgres() && row.is_away()) {
                anyhow::bail!("{} is {}", row.name, row.state);
            }
            fresh.order_databases =
                Places::of_running(&self.layout, state)?.of_context("order")?.to_vec();
            self.counter.look(&fresh.order_databases).await
        };
        match counted.await {
            Ok(traffic) => fresh.traffic = Some(traffic),
            Err(error) => {
                fresh.traffic_unknown =
                    Some(Unknown::after(before.traffic_unknown.as_ref(), &error));
            }
        }
    }

    fn note(&mut self, fresh: &Snapshot) {
        let traffic = fresh.traffic;
        self.series.push(Point {
            at_unix_ms: now_unix_ms(),
            placed_per_second: traffic.map(|traffic| traffic.placed_per_second),
            settled_per_second: traffic.map(|traffic| traffic.settled_per_second),
            under_way: traffic.map(|traffic| traffic.under_way()),
            verdict: self.told.borrow().judgement.standing,
        });
    }
}

async fn metrics(client: &Client) -> Result<String> {
    let request = client.request(http::Method::GET, "/metrics").body(empty())?;
    let answer = client.send(request, METRICS_MAX).await?;
    Ok(String::from_utf8_lossy(&answer.body).into_owned())
}
