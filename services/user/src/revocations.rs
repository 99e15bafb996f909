//! Publishes which sign-ins were ended, by way of Redis. The record is ours (`revocations`), so whatever is lost there is
//! resynchronised.

use std::time::Duration;

use cache::redis::Redis;
use database::{Database, Freshness, ONLY_SHARD};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use identity::revocations::{self, EVERY, RESYNC, WINDOW};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::store;

/// What is published again each time: a transaction that ended a family becomes visible later than it says.
const OVERLAP: Duration = Duration::from_secs(15);

/// Publishes until asked to stop. Copies do no harm to each other.
pub(crate) fn publish(
    database: Database,
    redis: Option<Redis>,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let Some(redis) = redis else {
            stop.cancelled().await;
            return Ok(());
        };
        let mut rounds = interval(EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut published, mut complete) = (None, None);
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            (published, complete) = round(&database, &redis, published, complete).await;
        }
        Ok(())
    })
}

/// When the record was read whose news, and all of whose last [`WINDOW`], Redis has.
type Published = (Option<Instant>, Option<Instant>);

async fn round(
    database: &Database,
    redis: &Redis,
    published: Option<Instant>,
    complete: Option<Instant>,
) -> Published {
    let began = Instant::now();
    let all = complete.is_none_or(|at| at.elapsed() >= RESYNC);
    let since = published.filter(|_| !all).map_or(WINDOW, |at| at.elapsed() + OVERLAP);
    let ended = database.read(ONLY_SHARD, Freshness::Primary, move |db| {
        store::ended_families(db, since.min(WINDOW)).boxed()
    });
    // A database that is away is logged by whoever is asked for something; Redis is by itself.
    let Ok(ended) = ended.await else { return (published, complete) };
    match revocations::add(redis, &ended, all).await {
        Ok(true) if all => (Some(began), Some(began)),
        Ok(true) => (Some(began), complete),
        Ok(false) | Err(_) => (published, None),
    }
}
