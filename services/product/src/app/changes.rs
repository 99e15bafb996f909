//! Change feed: what this copy keeps in memory, and what gateways keep, is shown as long as the database says that it has not changed.
//!
//! The database is asked five times a second, with one statement, for what has become visible since it was asked before.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cache::Level;
use database::{Database, Freshness, ONLY_SHARD};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use telemetry::catalogue::CACHE_FOLLOWING;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Offers;
use super::offers::LIFE;
use crate::store::changes::{Change, Poll, poll};

/// Gateways poll less often: whichever copy one asks has asked the database since that gateway's poll before.
const EVERY: Duration = Duration::from_millis(200);
/// After a longer silence all is read again. Changes are kept for much longer.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How many answers of the database are remembered, for gateways that have missed some.
const STEPS: usize = 50;

/// Follows what changes. Cheap to clone; all clones know the same.
#[derive(Clone)]
pub(crate) struct ChangeFeed {
    database: Database,
    offers: Offers,
    polled: Arc<Mutex<Polled>>,
}

/// What the database answered.
#[derive(Default)]
struct Polled {
    /// None: nothing yet, or something went wrong since.
    last: Option<Last>,
    /// The level at which the steps begin, and below which they say nothing.
    floor: i64,
    /// The highest that was answered.
    highest: i64,
    /// Oldest first, each with the level at which it ends.
    steps: VecDeque<(i64, Change)>,
}

struct Last {
    asked_at: Instant,
    poll: Poll,
}

/// What has changed since a level.
pub(crate) struct Since {
    pub level: i64,
    pub change: Change,
}

impl ChangeFeed {
    pub(crate) fn new(database: &Database, offers: &Offers) -> Self {
        Self { database: database.clone(), offers: offers.clone(), polled: Arc::default() }
    }

    /// Polls until `stop`. A slow answer is waited for: another question would take another connection.
    pub(crate) fn run(self, stop: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut due = interval(EVERY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let following = CACHE_FOLLOWING.with_label_values(&["product.offers"]);
            while stop.run_until_cancelled(due.tick()).await.is_some() {
                let asked_at = Instant::now();
                let Some(answer) = stop.run_until_cancelled(self.poll()).await else { break };
                match answer {
                    Ok(poll) => {
                        self.take_in(asked_at, poll);
                        if following.get() == 0 {
                            tracing::info!("the database says what changes");
                        }
                        following.set(1);
                    }
                    Err(error) => {
                        self.begin_anew();
                        if following.get() == 1 {
                            tracing::warn!(%error, "the database does not say what changes: products are kept for half a second");
                        }
                        following.set(0);
                    }
                }
            }
            Ok(())
        })
    }

    async fn poll(&self) -> Result<Poll, sqlx::Error> {
        let before = self.polled().last.as_ref().map(|last| last.poll.snapshot.clone());
        let read = self.database.read(ONLY_SHARD, Freshness::Primary, move |db| {
            async move { poll(db, before.as_deref()).await }.boxed()
        });
        read.await
    }

    /// After an error it may be another server, or one that has crashed and has forgotten which transactions there were.
    fn begin_anew(&self) {
        self.polled().last = None;
    }

    /// First what is named is forgotten; then it is known here, and others are answered from it.
    fn take_in(&self, asked_at: Instant, poll: Poll) {
        let mut polled = self.polled();
        let goes_on = polled.last.as_ref().is_some_and(|last| {
            last.poll.started_at == poll.started_at
                && last.poll.level <= poll.level
                && last.asked_at.elapsed() < SILENCE_MAX
        });
        let change = if goes_on { poll.change.clone() } else { Change::anything() };
        let level = Level(poll.level.try_into().unwrap_or_default());
        self.offers.take_in(asked_at, level, &change);
        if goes_on {
            polled.steps.push_back((poll.level, change));
        } else {
            // No level that was answered before goes on, were it as high.
            polled.floor = poll.level.max(polled.highest + 1);
            polled.steps.clear();
        }
        if polled.steps.len() > STEPS {
            polled.floor = polled.steps.pop_front().map_or(polled.floor, |(to, _)| to);
        }
        polled.highest = polled.highest.max(poll.level);
        polled.last = Some(Last { asked_at, poll });
    }

    /// No change up to this one is missing in what is read or shown from now on. 0: nothing is known.
    pub(crate) fn level(&self) -> i64 {
        self.polled().last.as_ref().map_or(0, |last| last.poll.level)
    }

    /// What has changed since `level`. None: the database has not answered within the last half second.
    pub(crate) fn since(&self, level: i64) -> Option<Since> {
        let polled = self.polled();
        let last = polled.last.as_ref().filter(|last| last.asked_at.elapsed() < LIFE)?;
        let mut change = Change::nothing();
        if level < polled.floor {
            change = Change::anything();
        }
        for (_, step) in polled.steps.iter().filter(|(to, _)| *to > level) {
            change.add(step);
        }
        Some(Since { level: last.poll.level, change })
    }

    fn polled(&self) -> MutexGuard<'_, Polled> {
        self.polled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
