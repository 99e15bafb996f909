//! Dead letters that somebody has redriven: the consumer takes them from the table, and not from the bus.

use std::sync::Arc;
use std::time::Duration;

use database::Freshness;
use futures_util::FutureExt as _;
use kernel::Shard;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Worker;
use crate::batch::Outcome;
use crate::model::{DeadLetter, Delivered, UNKNOWN_TYPE, known_kinds};
use crate::pulls::BATCH_EVENTS;
use crate::source::Source;
use crate::store;

/// How often dead letters are looked for that are to be tried again.
const DEAD_LETTERS: Duration = Duration::from_secs(1);

impl<S: Source> Worker<S> {
    /// Tries dead letters again that somebody has asked for.
    pub(super) async fn redrive_for_ever(&self, stop: &CancellationToken) {
        while timeout(DEAD_LETTERS, stop.cancelled()).await.is_err() {
            for home in self.database.one_shard_per_database() {
                if let Err(error) = self.redrive(home).await {
                    tracing::warn!(consumer = &*self.name, %error, "dead letters: will try again");
                }
            }
        }
    }

    async fn redrive(&self, home: Shard) -> Result<(), sqlx::Error> {
        let known = known_kinds();
        let wanted: Vec<_> = known.iter().copied().filter(|it| self.handler.wants(it)).collect();
        let name = Arc::clone(&self.name);
        let dead_letters = self.database.read(home, Freshness::Primary, move |db| {
            let limit = BATCH_EVENTS as i64;
            async move { store::redriven(db, &name, &wanted, (&known, UNKNOWN_TYPE), limit).await }
                .boxed()
        });
        let dead_letters = dead_letters.await?;
        if dead_letters.is_empty() {
            return Ok(());
        }
        let key = |it: &DeadLetter| (it.event_id, it.redriven_at);
        // A build that did not know the type could not know that it does not matter here.
        let wanted = |it: &DeadLetter| self.handler.wants(&it.kind);
        let (dead_letters, unwanted): (Vec<_>, Vec<_>) = dead_letters.into_iter().partition(wanted);
        let mut done: Vec<_> = unwanted.iter().map(key).collect();
        let tried: Vec<_> = dead_letters.iter().map(key).collect();
        let events = dead_letters.into_iter().map(Delivered::from).collect();
        let outcomes = self.processed(home, events).await;
        let dealt_with = tried.into_iter().zip(outcomes);
        done.extend(dealt_with.filter(|(_, done)| *done == Outcome::Done).map(|(it, _)| it));
        let name = Arc::clone(&self.name);
        let forget = self.database.write(home, move |db| {
            async move { store::forget_redriven(db, &name, &done).await }.boxed()
        });
        forget.await
    }
}
