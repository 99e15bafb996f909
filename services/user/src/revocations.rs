//! Tells every service which sign-ins were ended, by way of Redis. The record is ours (`revocations`), so whatever is lost
//! there is filled again.

use std::time::Duration;

use cache::redis::Redis;
use database::{Database, Freshness, ONLY_SHARD};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use identity::revocations::{self, EVERY, WINDOW};
use tokio::time::{MissedTickBehavior, interval};
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
        let (mut rounds, mut whole) = (interval(EVERY), false);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            let within = if whole { OVERLAP } else { WINDOW };
            let ended = database.read(ONLY_SHARD, Freshness::Primary, move |db| {
                store::ended_families(db, within).boxed()
            });
            whole = match ended.await {
                Ok(ended) => revocations::add(&redis, &ended, !whole).await.unwrap_or(false),
                Err(error) => {
                    tracing::warn!(%error, "revocations are not published");
                    false
                }
            };
        }
        Ok(())
    })
}
