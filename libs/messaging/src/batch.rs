//! One batch of events becomes one transaction: inbox, effect and outgoing events together.
//! That single fsync per batch is where the throughput comes from.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use database::{Database, Tx, is_misdeployed, is_transient};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::Shard;
use thiserror::Error;

use crate::{Delivered, store};

/// After how many failures of its own an event becomes a dead letter.
const ATTEMPTS_MAX: i32 = 5;

/// What a context does with events. It must be right under any order and any repetition that the
/// inbox cannot see (two different events that say the same).
pub trait Handler: Send + Sync + 'static {
    /// Whether this type matters here; others are acknowledged unread.
    fn wants(&self, kind: &str) -> bool;

    /// Applies fresh events, in their order, within `tx`: loads and locks all rows at once in id
    /// order, folds the pure rules event by event, writes one statement per table.
    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>>;

    /// Called after the commit. For wake-ups only: it may never happen.
    fn committed(&self, _events: &[Delivered]) {}
}

/// Why a batch was not applied.
#[derive(Debug, Error)]
pub enum HandlerError {
    /// The infrastructure failed: tried again for ever, and counts for nothing.
    #[error("will be tried again: {0}")]
    Transient(anyhow::Error),
    /// The deployment is wrong, for this event at least: tried again for ever, and counts for nothing either.
    #[error("the deployment is wrong: {0}")]
    Misdeployed(sqlx::Error),
    /// The same event would fail again.
    #[error("{0}")]
    Poison(String),
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            Self::Transient(error.into())
        } else if is_misdeployed(&error) {
            Self::Misdeployed(error)
        } else {
            Self::Poison(error.to_string())
        }
    }
}

impl From<prost::DecodeError> for HandlerError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Poison(error.to_string())
    }
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Applied, applied before, or dead-lettered: the message is done.
    Done,
    /// To be delivered again, later.
    Redeliver,
}

/// The handler with the name under which the inbox knows it.
pub(crate) struct Processor<'a> {
    pub consumer: &'a Arc<str>,
    pub database: &'a Database,
    pub handler: &'a Arc<dyn Handler>,
}

impl Processor<'_> {
    /// Applies a part of a batch whose events all live in the database of `home`. One that fails is split
    /// until the failing one stands alone, so that one bad event never holds up the others.
    pub fn process<'a>(
        &'a self,
        home: Shard,
        batch: &'a Arc<[Delivered]>,
        part: Range<usize>,
    ) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            let events = &batch[part.clone()];
            if events.is_empty() {
                return Vec::new();
            }
            let attempt = self.apply(home, Arc::clone(batch), part.clone());
            let attempt = AssertUnwindSafe(attempt).catch_unwind().await;
            let panicked = |_| Err(HandlerError::Poison("the handler panicked".to_owned()));
            let consumer = &**self.consumer;
            match attempt.unwrap_or_else(panicked) {
                Ok(()) => vec![Outcome::Done; events.len()],
                Err(HandlerError::Transient(error)) => {
                    tracing::warn!(consumer, error = format!("{error:#}"), "later");
                    vec![Outcome::Redeliver; events.len()]
                }
                Err(_) if events.len() > 1 => {
                    let middle = part.start + part.len() / 2;
                    let mut outcomes = self.process(home, batch, part.start..middle).await;
                    outcomes.extend(self.process(home, batch, middle..part.end).await);
                    outcomes
                }
                Err(HandlerError::Misdeployed(error)) => {
                    let (kind, error) = (&events[0].kind, error.to_string());
                    tracing::error!(consumer, kind, error, "the deployment is wrong");
                    vec![Outcome::Redeliver]
                }
                Err(HandlerError::Poison(error)) => {
                    vec![self.failed(home, &events[0], &error).await]
                }
            }
        })
    }

    async fn apply(
        &self,
        home: Shard,
        batch: Arc<[Delivered]>,
        part: Range<usize>,
    ) -> Result<(), HandlerError> {
        let (consumer, handler) = (Arc::clone(self.consumer), Arc::clone(self.handler));
        let applied = self.database.transaction(home, move |tx| {
            let apply = async move {
                let fresh = claim_unseen(tx, &consumer, &batch[part]).await?;
                if !fresh.is_empty() {
                    handler.handle(tx, &fresh).await?;
                }
                Ok::<_, HandlerError>(fresh)
            };
            apply.boxed()
        });
        let applied = applied.await?;
        if !applied.is_empty() {
            self.handler.committed(&applied);
        }
        Ok(())
    }

    async fn failed(&self, home: Shard, event: &Delivered, error: &str) -> Outcome {
        let (consumer, failed, reason) =
            (Arc::clone(self.consumer), event.clone(), error.to_owned());
        let count = self.database.write(home, move |db| {
            async move { store::count_failure(db, &consumer, &failed, &reason).await }.boxed()
        });
        let counted = count.await;
        let (consumer, id) = (&**self.consumer, event.event_id);
        match counted {
            Ok(tries) if tries < ATTEMPTS_MAX => {
                tracing::warn!(consumer, %id, kind = event.kind, tries, error, "event failed");
                Outcome::Redeliver
            }
            Ok(tries) => match self.dead_letter(home, event.clone(), tries, error).await {
                Ok(()) => {
                    tracing::error!(consumer, %id, kind = event.kind, tries, error, "event dead-lettered");
                    crate::metrics::dead_lettered(consumer);
                    Outcome::Done
                }
                Err(_) => Outcome::Redeliver,
            },
            Err(_) => Outcome::Redeliver, // the database is away, and everything waits
        }
    }

    /// Gives up on an event.
    pub async fn dead_letter(
        &self,
        home: Shard,
        event: Delivered,
        tries: i32,
        error: &str,
    ) -> Result<(), sqlx::Error> {
        let (consumer, error) = (Arc::clone(self.consumer), error.to_owned());
        let dead_letter = self.database.transaction(home, move |tx| {
            async move { store::dead_letter(tx, &consumer, &event, tries, &error).await }.boxed()
        });
        dead_letter.await
    }
}

/// Claims the events that the consumer has not seen yet: those, in their order.
async fn claim_unseen(
    tx: &mut Tx,
    consumer: &str,
    events: &[Delivered],
) -> Result<Vec<Delivered>, sqlx::Error> {
    let mut sorted: Vec<&Delivered> = events.iter().collect();
    sorted.sort_unstable_by_key(|event| event.event_id);
    sorted.dedup_by_key(|event| event.event_id);
    let mut claimed = store::claim(tx, consumer, &sorted).await?;
    claimed.sort_unstable();
    let mut seen = vec![false; claimed.len()];
    let is_fresh = |event: &&Delivered| match claimed.binary_search(&event.event_id) {
        Ok(at) => !std::mem::replace(&mut seen[at], true),
        Err(_) => false,
    };
    Ok(events.iter().filter(is_fresh).cloned().collect())
}
