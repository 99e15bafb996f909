//! Strikes the shop, and takes its hands off it at the end. What dies is started again by the shop's
//! own supervisor, as on any day.

mod leader;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use audit::Places;
use operator::plan;
use operator::{Shop, Signal};
use souk::cli::Fault;
use stores::Server;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::disk;
use crate::proxy::{self, Mode, Proxy};
use crate::schedule::{COPIES, How, Strike};

/// For what was struck last to come back.
const BACK_MAX: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// What came of the strikes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Struck {
    /// How many hit, by kind.
    pub(crate) hits: BTreeMap<Fault, u64>,
    /// Those that did not, with the reason: their target was down already.
    pub(crate) misses: Vec<String>,
}

/// What strikes.
#[derive(Debug)]
pub(crate) struct Nemesis {
    pub(crate) shop: Arc<Shop>,
    pub(crate) proxy: Arc<Proxy>,
}

impl Nemesis {
    /// Runs through the schedule, and returns when everything that it held goes on again.
    pub(crate) async fn run(self, strikes: Vec<Strike>) -> Struck {
        let (begin, this) = (Instant::now(), Arc::new(self));
        let struck = Arc::new(Mutex::new(Struck::default()));
        let mut under_way = JoinSet::new();
        for strike in strikes {
            sleep_until(begin + strike.at).await;
            let (this, struck) = (Arc::clone(&this), Arc::clone(&struck));
            under_way.spawn(async move {
                let outcome = this.apply(&strike).await;
                let mut struck = struck.lock().unwrap_or_else(PoisonError::into_inner);
                match outcome {
                    Ok(()) => *struck.hits.entry(strike.fault).or_default() += 1,
                    Err(error) => struck.misses.push(format!("{strike}: {error:#}")),
                }
            });
        }
        while under_way.join_next().await.is_some() {}
        let struck = struck.lock().unwrap_or_else(PoisonError::into_inner);
        struck.clone()
    }

    async fn apply(&self, strike: &Strike) -> Result<()> {
        let hop = |mode| self.hold(strike, mode);
        match (strike.fault, strike.how) {
            (Fault::Kill, _) => self.shop.victim(&strike.target).await?.signal(Signal::KILL),
            (Fault::Pause, _) => {
                let victim = self.shop.victim(&strike.target).await?;
                victim.signal(Signal::STOP)?;
                sleep(strike.lasts).await;
                victim.signal(Signal::CONT)
            }
            (Fault::PostgresImmediate, _) => {
                let postgres = self.shop.store_process(Server::Postgres).await;
                postgres.context("postgres is down")?.signal(Signal::QUIT)
            }
            (Fault::NatsWipe, _) => self.shop.wipe_nats().await,
            (Fault::NatsRollback, _) => self.shop.roll_nats_back(strike.lasts).await,
            (Fault::NatsLeader, _) => self.kill_nats_leader().await,
            (Fault::RedisFlush, _) => self.shop.flush_redis().await,
            (Fault::DiskFull, _) => {
                let filler = disk::fill(&self.shop.stores_data()?)?;
                sleep(strike.lasts).await;
                Ok(std::fs::remove_file(filler)?)
            }
            (Fault::HopDelay, How::Later(time)) => hop(Mode::Delay(time)).await,
            (Fault::HopCut, How::After(bytes)) => hop(Mode::CutAfter(bytes)).await,
            (Fault::HopReset, _) => hop(Mode::Reset).await,
            (Fault::HopBlackHole, _) => hop(Mode::BlackHole).await,
            (Fault::CartDeaf, _) => self.deafen(strike).await,
            (Fault::HopDelay | Fault::HopCut, _) => bail!("how much is not said"),
        }
    }

    async fn hold(&self, strike: &Strike, mode: Mode) -> Result<()> {
        self.proxy.set(&strike.target, mode)?;
        sleep(strike.lasts).await;
        self.proxy.set(&strike.target, Mode::Pass)
    }

    /// Every copy: what one does not hear another would.
    async fn deafen(&self, strike: &Strike) -> Result<()> {
        let copies = (0..COPIES).map(|number| plan::name(&strike.target, number));
        let hops: Vec<_> = copies.map(|copy| proxy::name(&copy, Server::Nats.key())).collect();
        hops.iter().try_for_each(|hop| self.proxy.set(hop, Mode::BlackHole))?;
        sleep(strike.lasts).await;
        hops.iter().try_for_each(|hop| self.proxy.set(hop, Mode::Pass))
    }
}

/// Waits until everything runs, answers, and says that it is ready.
///
/// # Errors
/// When something does not come back.
pub(crate) async fn all_back(shop: &Shop, places: &Places) -> Result<()> {
    let back = async {
        while audit::until_quiet(places, Duration::ZERO).await.is_err() {
            sleep(LOOK).await;
        }
        for entry in shop.processes() {
            shop.ready_after(&entry.task.name, None).await?;
        }
        anyhow::Ok(())
    };
    timeout(BACK_MAX, back).await.context("not everything is back in time")?
}
