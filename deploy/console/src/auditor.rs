//! The background task that audits the shop again and again, and keeps the verdict.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use audit::{Facts, Places, Records, State, judge, until_quiet};
use operator::layout::Layout;
use operator::plan::PSP;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::running;
use crate::snapshot::{Snapshot, Unknown};
use crate::verdict::{Judge, Judgement, Look, Standing};

const PAUSE_MIN: Duration = Duration::from_secs(2);
/// Looking takes a tenth of the time at most: it reads whole tables.
const PAUSE_PER_LOOK: u32 = 10;
const LOOK_MAX: Duration = Duration::from_secs(30);
/// So long before a look all has to be well for the shop to count as quiet. The auditor's own question sees no event that
/// is published and not taken in. The lag of consumers shows it; what is known of it is 7 s old at most, and an event that was
/// refused comes again after 2 s.
const CALM_MIN: Duration = Duration::from_secs(12);
/// A verdict that is older says nothing any more, unless looks take long.
const STALE_MIN: Duration = Duration::from_secs(10);

/// The state of the promises, as the page shows it.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was concluded.
    pub judgement: Judgement,
    /// When the last look that succeeded ended.
    pub looked_at: Option<Instant>,
    /// How long it took.
    pub took: Duration,
    /// An older verdict is to be shown as old.
    pub stale_after: Duration,
    /// Orders by how they ended.
    pub orders: Option<Orders>,
    /// Why there is no verdict.
    pub unknown: Option<Unknown>,
}

/// Orders that the last look saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// All of them.
    pub all: usize,
    /// Sold.
    pub confirmed: usize,
    /// Ended without a sale.
    pub cancelled: usize,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            judgement: Judgement::default(),
            looked_at: None,
            took: Duration::ZERO,
            stale_after: STALE_MIN,
            orders: None,
            unknown: None,
        }
    }
}

/// What came of a look.
enum Looked {
    Whole(Look, Orders),
    /// The provider's ledger could not be read, and something is under way.
    AtWork(String),
}

/// The task.
#[derive(Debug)]
pub struct Auditor {
    layout: Layout,
    live: watch::Receiver<Arc<Snapshot>>,
    told: watch::Sender<Arc<Told>>,
    judge: Judge,
    epoch: Instant,
    /// Open since the look before: signing in to each database costs more than what is read of a small shop.
    records: Option<Records>,
}

impl Auditor {
    /// For the shop of this folder.
    pub fn new(
        layout: Layout,
        live: watch::Receiver<Arc<Snapshot>>,
        told: watch::Sender<Arc<Told>>,
    ) -> Self {
        Self { layout, live, told, judge: Judge::default(), epoch: Instant::now(), records: None }
    }

    /// Looks for as long as it is polled.
    pub async fn run(mut self) {
        loop {
            let before = Arc::clone(&self.told.borrow());
            let began = Instant::now();
            let looked = timeout(LOOK_MAX, self.look()).await;
            let told = match looked.context("the audit takes more than 30 s").flatten() {
                Ok(Looked::Whole(look, orders)) => self.tell(look, orders),
                Ok(Looked::AtWork(reason)) => self.at_work(&before, &reason),
                Err(error) => self.failed(&before, &error),
            };
            let pause = pause(began.elapsed());
            self.told.send_replace(Arc::new(told));
            sleep(pause).await;
        }
    }

    /// Reads every record; no lock is taken. After an error, or when it is cut off, the connections are closed.
    async fn look(&mut self) -> Result<Looked> {
        let state = running::state(&self.layout)?;
        let places = Places::of_running(&self.layout, &state)?;
        let mut live = self.live.clone();
        let unreadable = async {
            let snapshot = live.wait_for(|live| live.unreadable().is_some()).await;
            snapshot.ok().and_then(|live| live.unreadable().cloned())
        };
        let mut records = self.records.take();
        tokio::select! {
            looked = self.look_at(&places, &mut records) => {
                self.records = records.filter(|_| looked.is_ok());
                looked
            }
            Some(row) = unreadable => {
                let reason = format!("{} is {}: its records cannot be read", row.name, row.state);
                anyhow::ensure!(row.service == PSP, reason);
                // The databases can be read. A shop in which something is under way is at work, whatever the ledger says.
                let quiet = until_quiet(&places, Duration::ZERO).await?;
                anyhow::ensure!(!quiet, reason);
                Ok(Looked::AtWork(reason))
            }
        }
    }

    async fn look_at(&self, places: &Places, records: &mut Option<Records>) -> Result<Looked> {
        let began = Instant::now();
        let calm_before = self.is_calm(began);
        let records = match records {
            Some(records) => records,
            None => records.insert(Records::open(places).await?),
        };
        let quiet_before = records.are_quiet().await?;
        let facts = records.gather().await?;
        let quiet_after = quiet_before && records.are_quiet().await?;
        let look = Look {
            verdict: judge(&facts, &[]),
            quiet: calm_before && quiet_after && self.is_calm(began),
            began: began - self.epoch,
            ended: self.epoch.elapsed(),
        };
        Ok(Looked::Whole(look, orders(&facts)))
    }

    fn is_calm(&self, began: Instant) -> bool {
        let since = self.live.borrow().calm_since;
        since.is_some_and(|since| began.saturating_duration_since(since) >= CALM_MIN)
    }

    fn tell(&mut self, look: Look, orders: Orders) -> Told {
        let took = look.ended - look.began;
        Told {
            judgement: self.judge.look(look),
            looked_at: Some(Instant::now()),
            took,
            stale_after: STALE_MIN.max(pause(took) * 2),
            orders: Some(orders),
            unknown: None,
        }
    }

    /// Something is under way, and not all of the records can be read.
    fn at_work(&mut self, before: &Told, reason: &str) -> Told {
        self.judge.failed();
        let judgement = Judgement { standing: Standing::AtWork, ..Judgement::default() };
        let unknown = Unknown::after(before.unknown.as_ref(), &anyhow::anyhow!(reason.to_owned()));
        let looked_at = Some(Instant::now());
        Told { judgement, looked_at, unknown: Some(unknown), ..before.clone() }
    }

    fn failed(&mut self, before: &Told, error: &anyhow::Error) -> Told {
        if before.unknown.is_none() {
            tracing::warn!(error = format!("{error:#}"), "no verdict");
        }
        self.judge.failed();
        Told {
            judgement: Judgement::default(),
            unknown: Some(Unknown::after(before.unknown.as_ref(), error)),
            ..before.clone()
        }
    }
}

fn pause(took: Duration) -> Duration {
    PAUSE_MIN.max(took * PAUSE_PER_LOOK)
}

fn orders(facts: &Facts) -> Orders {
    let count = |state| facts.orders.values().filter(|order| order.state == state).count();
    Orders {
        all: facts.orders.len(),
        confirmed: count(State::Confirmed),
        cancelled: count(State::Cancelled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_takes_a_tenth_of_the_time_at_most() {
        for (took_ms, pause_ms) in [(0, 2_000), (150, 2_000), (200, 2_000), (900, 9_000)] {
            let paused = pause(Duration::from_millis(took_ms));
            assert_eq!(paused, Duration::from_millis(pause_ms), "{took_ms}");
        }
    }

    #[test]
    fn a_look_that_fails_keeps_the_time_of_the_last_one_and_says_since_when() {
        let (told, _) = watch::channel(Arc::default());
        let (_, live) = watch::channel(Arc::default());
        let layout = Layout::at(std::path::Path::new("/nowhere"));
        let mut auditor = Auditor::new(layout, live, told);
        let look = Look {
            verdict: judge(&Facts::default(), &[]),
            quiet: true,
            began: Duration::ZERO,
            ended: Duration::from_secs(2),
        };
        let good = auditor.tell(look, Orders::default());
        assert_eq!(good.stale_after, Duration::from_secs(40), "twenty times 2 s");
        let first = auditor.failed(&good, &anyhow::anyhow!("no database"));
        assert_eq!(first.looked_at, good.looked_at);
        assert_eq!(first.judgement.standing, Standing::Unknown);
        let second = auditor.failed(&first, &anyhow::anyhow!("still none"));
        let (first, second) = (first.unknown.expect("why"), second.unknown.expect("why"));
        assert_eq!(first.since_unix_ms, second.since_unix_ms);
        assert_eq!(second.reason, "still none");
    }

    #[test]
    fn a_shop_at_work_whose_provider_is_away_is_at_work_and_says_why() {
        let (told, _) = watch::channel(Arc::default());
        let (_, live) = watch::channel(Arc::default());
        let layout = Layout::at(std::path::Path::new("/nowhere"));
        let mut auditor = Auditor::new(layout, live, told);
        let told = auditor.at_work(&Told::default(), "psp is paused");
        assert_eq!(told.judgement.standing, Standing::AtWork);
        assert!(told.looked_at.is_some() && told.judgement.findings.is_empty());
        assert_eq!(told.unknown.expect("why").reason, "psp is paused");
    }
}
