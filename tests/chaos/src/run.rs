//! One run, from an empty shop to the verdict.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use audit::{Audit, Places, audit};
use futures_util::future::join_all;
use operator::http::Client;
use operator::signals::Signals;
use operator::{Options, Shop};
use souk::cli::{Chaos, Fault};
use stores::{Home, Psql, Server, Stores};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::buyers::Buyer;
use crate::calls::{self, Calls};
use crate::disk::{Disk, SHORT_LOG};
use crate::judge::{ENDED_MAX, judge};
use crate::nemesis::{self, Nemesis, Struck};
use crate::proxy::{self, Proxy};
use crate::report::Report;
use crate::schedule::{self, COPIES, Strike, strikes};
use crate::staff::Staff;
use crate::{detour, planted, seed};

/// Who buys, unless somebody else is asked for.
const CUSTOMERS: u16 = 24;
/// Shorter than the service's own, so that deadlines are among what happens.
const CHECKOUT_DEADLINE: Duration = Duration::from_secs(10);
/// A cluster whose leader died takes four to nine seconds to elect another; orders are to live to see it.
const CLUSTER_DEADLINE: Duration = Duration::from_secs(20);
/// The provider is started again with good manners, and is told again to have bad ones.
const REMIND: Duration = Duration::from_millis(500);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Decides what strikes when.
    pub seed: u64,
    /// How long it goes on.
    pub minutes: u32,
    /// The kinds of faults.
    pub kinds: Vec<Fault>,
    /// nats-servers: one, or a cluster.
    pub nats: u8,
    /// How many buy meanwhile.
    pub customers: u16,
    /// Where the shop has its things; what is there is removed first.
    pub folder: PathBuf,
    /// The folder of the processes' executables; without it, that of this program.
    pub programs: Option<PathBuf>,
}

impl Run {
    fn strikes(&self) -> Vec<Strike> {
        strikes(self.seed, Duration::from_secs(60) * self.minutes, &self.kinds, self.nats)
    }

    fn without(&self, kind: Fault) -> Self {
        let kinds = self.kinds.iter().copied().filter(|other| *other != kind).collect();
        Self { kinds, ..self.clone() }
    }

    /// The command that strikes the same again.
    pub(crate) fn again(&self) -> String {
        let Self { seed, minutes, kinds, nats, customers, .. } = self;
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let some = kinds.len() < Fault::of(*nats).len();
        let faults = if some { format!(" --faults {}", names.join(",")) } else { String::new() };
        let nats = if *nats > 1 { format!(" --nats {nats}") } else { String::new() };
        let more = *customers != CUSTOMERS;
        let customers = if more { format!(" --customers {customers}") } else { String::new() };
        format!("cargo souk chaos --seed {seed} --minutes {minutes}{customers}{nats}{faults}")
    }
}

/// The whole verb; whether all is well.
///
/// # Errors
/// When there is no verdict: the shop does not come up, or a record cannot be read.
pub fn verb(options: &Chaos) -> Result<bool> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    if let Some(names) = &options.planted {
        return runtime()?.block_on(planted::verb(options, names));
    }
    let home = Home::find()?;
    let run = Run {
        seed: options.seed.unwrap_or_else(|| rand::random_range(0..1_000_000)),
        minutes: options.minutes,
        kinds: options.kinds(),
        nats: options.nats,
        customers: options.customers,
        folder: home.path().join("chaos"),
        programs: None,
    };
    say(&format!("seed       {}", run.seed));
    if options.dry_run {
        run.strikes().iter().for_each(|strike| say(&strike.to_string()));
        return Ok(true);
    }
    let report = runtime()?.block_on(crate::run::run(&run))?;
    say(&report.to_string());
    Ok(report.failures().is_empty())
}

/// Runs it, and leaves `report.json` and `calls.json` in its folder; after a failure the shop's logs
/// and data, too.
///
/// # Errors
/// As [`verb`].
pub async fn run(run: &Run) -> Result<Report> {
    let mut signals = Signals::catch()?;
    let stores = run.folder.join("stores");
    let _alone = alone(&run.folder)?;
    clear(run)?;
    let disk =
        run.kinds.contains(&Fault::DiskFull).then(|| Disk::mount(&stores, run.nats)).transpose();
    let (run, disk) = match disk {
        Ok(disk) => (run.clone(), disk),
        Err(error) => {
            say(&format!("skipped    disk-full: {error:#}"));
            (run.without(Fault::DiskFull), None)
        }
    };
    let proxy = Arc::new(Proxy::default());
    let shop = Arc::new(open(&run, &proxy).await.context("starting the shop")?);
    if disk.is_some() {
        shorten_the_log(&shop).await?;
    }
    let finished = tokio::select! {
        finished = broken(&run, &shop, &proxy) => finished,
        name = signals.next() => Err(anyhow::anyhow!("stopped by {name}")),
    };
    // A strike that was broken off may still hold it; then it is killed with the last of them.
    let Some(shop) = Arc::into_inner(shop) else { return finished };
    let stopped = shop.stop().await;
    drop(disk);
    let report = finished?;
    stopped?;
    if report.failures().is_empty() {
        Stores::wipe(&stores)?;
        std::fs::remove_dir_all(run.folder.join("run"))?;
    }
    Ok(report)
}

/// Two runs in one folder would stop each other's servers and fill each other's disk.
fn alone(folder: &Path) -> Result<File> {
    std::fs::create_dir_all(folder.parent().unwrap_or(folder))?;
    let lock = File::create(folder.with_extension("lock"))?;
    lock.try_lock().with_context(|| format!("another run is at work in {}", folder.display()))?;
    Ok(lock)
}

/// Removes what an earlier run left.
fn clear(run: &Run) -> Result<()> {
    let stores = run.folder.join("stores");
    Stores::stop_at(&stores)?;
    Disk::clear(&stores)?;
    Stores::wipe(&stores)?;
    if run.folder.is_dir() {
        std::fs::remove_dir_all(&run.folder)?;
    }
    Ok(std::fs::create_dir_all(&run.folder)?)
}

async fn shorten_the_log(shop: &Shop) -> Result<()> {
    let tools = stores::provide(&Home::find()?, &[Server::Postgres], &say)?;
    let psql = Psql::of(&tools).context("no psql on this machine")?;
    let url = shop.endpoints().postgres_url.clone();
    spawn_blocking(move || psql.run(&url, SHORT_LOG)).await??;
    Ok(())
}

async fn open(run: &Run, proxy: &Arc<Proxy>) -> Result<Shop> {
    let home = Home::find()?;
    let tools = stores::provide(&home, &Server::ALL, &say)?;
    let mut options = Options::in_folder(&run.folder, tools)?;
    let two = souk::cli::SERVICES.map(|service| format!("{service}={COPIES}"));
    options.replicas = two.join(",").parse().map_err(anyhow::Error::msg)?;
    options.shards = 2;
    options.stores.nats_servers = run.nats;
    let deadline = if run.nats > 1 { CLUSTER_DEADLINE } else { CHECKOUT_DEADLINE };
    options.checkout_deadline = Some(deadline);
    options.programs = run.programs.clone().unwrap_or(options.programs);
    options.detour = Some(detour::through(proxy));
    Shop::start(options).await
}

async fn broken(run: &Run, shop: &Arc<Shop>, proxy: &Arc<Proxy>) -> Result<Report> {
    let calls = Arc::new(Calls::default());
    let gateways = gateways(shop, proxy)?;
    let goods = Arc::new(seed::goods(shop, run.minutes).await?);
    let count = usize::from(run.customers);
    let customers = seed::customers(shop, count, &gateways, &calls).await?;
    let staff = seed::staff(shop, count, &gateways, &calls).await?;
    let strikes = run.strikes();
    let planned = strikes.len();
    say(&format!("strikes    {planned} in {} min; {count} customers buy meanwhile", run.minutes));
    let nemesis = Nemesis { shop: Arc::clone(shop), proxy: Arc::clone(proxy) };
    let (close, closes) = watch::channel(false);
    let buying = customers.into_iter().map(|customer| {
        tokio::spawn(Buyer::new(customer, Arc::clone(&goods), run.seed).buy(closes.clone()))
    });
    let buying: Vec<_> = buying.collect();
    let receiving = tokio::spawn(Staff::new(staff, run.seed).work(closes.clone()));
    let struck = tokio::select! {
        struck = nemesis.run(strikes) => struck,
        never = misbehave(shop) => never,
    };
    close.send_replace(true);
    let began = Instant::now();
    say("faults     are over; waiting for the last orders");
    shop.reset_provider().await;
    let places = Places::of(shop);
    nemesis::all_back(shop, &places).await?;
    let buyers = join_all(buying).await;
    receiving.await?;
    let patience = ENDED_MAX.saturating_sub(began.elapsed());
    let rest = audit::until_quiet(&places, patience).await?.then(|| began.elapsed());
    let looking = buyers.into_iter().collect::<Result<Vec<_>, _>>()?;
    join_all(looking.into_iter().map(Buyer::look_at_all)).await;
    judged(run, planned, struck, &calls, &places, rest).await
}

/// The gateways as customers reach them. A fault that is on the schedule must have its hop, and a hop
/// its faults.
fn gateways(shop: &Shop, proxy: &Proxy) -> Result<Vec<Client>> {
    let hop = proxy::name(schedule::CUSTOMERS, "gateway");
    let through = |url: &String| {
        let address = url.trim_start_matches("http://").parse()?;
        let address = proxy.through(&hop, address)?;
        anyhow::Ok(Client::new(&format!("http://{address}")))
    };
    let gateways = shop.urls().iter().map(through).collect::<Result<_>>()?;
    let there: BTreeSet<String> = proxy.names().into_iter().collect();
    let wanted: BTreeSet<String> = schedule::hops().into_iter().collect();
    let differ: Vec<_> = there.symmetric_difference(&wanted).collect();
    ensure!(
        differ.is_empty(),
        "hops() in schedule.rs and the processes' settings differ: {differ:?}"
    );
    Ok(gateways)
}

async fn judged(
    run: &Run,
    planned: usize,
    struck: Struck,
    calls: &Calls,
    places: &Places,
    rest: Option<Duration>,
) -> Result<Report> {
    let calls = calls.all();
    let acknowledged: Vec<_> = calls::acknowledged(&calls).into_iter().collect();
    let Audit { facts, verdict } =
        audit(places, &acknowledged, Duration::from_secs(2)).await.context("auditing")?;
    let verdict = judge(verdict, &facts, &calls, rest);
    let report = Report::new(run, planned, struck, &facts, &calls, verdict, rest);
    std::fs::write(run.folder.join("calls.json"), serde_json::to_vec_pretty(&calls)?)?;
    std::fs::write(run.folder.join("report.json"), serde_json::to_vec_pretty(&report)?)?;
    Ok(report)
}

/// One answer of the provider in nine is bad, and every fifth webhook comes twice.
async fn misbehave(shop: &Shop) -> ! {
    let mut remind = interval(REMIND);
    remind.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        remind.tick().await;
        shop.set_provider_errors().await;
    }
}

pub(crate) fn say(text: &str) {
    operator::speak::line(format_args!("{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_of_one_run_at_a_time() {
        let home = stores::Home::find().expect("a home");
        let folder = home.path().join(format!("chaos-test-{}", std::process::id()));
        let first = alone(&folder).expect("nobody is there");
        let second = alone(&folder).expect_err("somebody is").to_string();
        assert!(second.contains("another run is at work in"), "{second}");
        first.unlock().expect("locked"); // a git that another test starts may have it open for a moment
        alone(&folder).expect("nobody is there any more");
        std::fs::remove_file(folder.with_extension("lock")).expect("it is there");
    }
}
