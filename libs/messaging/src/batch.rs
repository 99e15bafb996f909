//! One batch of events becomes one transaction: inbox, effect and outgoing events together.
//! That single fsync per batch is where the throughput comes from.

use std::panic::AssertUnwindSafe;

use database::{Database, Tx, is_transient};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use thiserror::Error;

use crate::{Delivered, store};

/// After so many failures of its own an event is parked.
const TRIES: i32 = 5;

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
    /// The same event would fail again.
    #[error("{0}")]
    Poison(String),
}

impl From<sqlx::Error> for HandlerError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            Self::Transient(error.into())
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
    /// Applied, applied before, or parked: the message is done.
    Done,
    /// To be delivered again, later.
    Again,
}

/// The handler with the name under which the inbox knows it.
pub(crate) struct Processor<'a> {
    pub consumer: &'a str,
    pub database: &'a Database,
    pub handler: &'a dyn Handler,
}

impl Processor<'_> {
    /// Applies events that all live in one database. A batch that fails is split until the
    /// culprit stands alone, so that one bad event never holds up the others.
    pub fn process<'a>(
        &'a self,
        database: usize,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Vec<Outcome>> {
        Box::pin(async move {
            if events.is_empty() {
                return Vec::new();
            }
            let attempt = AssertUnwindSafe(self.apply(database, events)).catch_unwind().await;
            let error = match attempt {
                Ok(Ok(())) => return vec![Outcome::Done; events.len()],
                Ok(Err(HandlerError::Transient(error))) => {
                    tracing::warn!(consumer = self.consumer, error = format!("{error:#}"), "later");
                    return vec![Outcome::Again; events.len()];
                }
                Ok(Err(HandlerError::Poison(error))) => error,
                Err(_) => "the handler panicked".to_owned(),
            };
            if let [culprit] = events {
                return vec![self.failed(database, culprit, &error).await];
            }
            let (left, right) = events.split_at(events.len() / 2);
            let mut outcomes = self.process(database, left).await;
            outcomes.extend(self.process(database, right).await);
            outcomes
        })
    }

    async fn apply(&self, database: usize, events: &[Delivered]) -> Result<(), HandlerError> {
        let mut tx = self.database.begin_at(database).await?;
        let mut sorted: Vec<&Delivered> = events.iter().collect();
        sorted.sort_unstable_by_key(|event| event.event_id);
        sorted.dedup_by_key(|event| event.event_id);
        let mut fresh = store::claim(&mut tx, self.consumer, &sorted).await?;
        if fresh.is_empty() {
            return Ok(());
        }
        fresh.sort_unstable();
        let mut seen = vec![false; fresh.len()];
        let events: Vec<Delivered> = events
            .iter()
            .filter(|event| match fresh.binary_search(&event.event_id) {
                Ok(at) => !std::mem::replace(&mut seen[at], true),
                Err(_) => false,
            })
            .cloned()
            .collect();
        self.handler.handle(&mut tx, &events).await?;
        tx.commit().await?;
        self.handler.committed(&events);
        Ok(())
    }

    async fn failed(&self, database: usize, event: &Delivered, error: &str) -> Outcome {
        let pool = &self.database.pools()[database];
        let counted = store::count_failure(pool, self.consumer, event, error).await;
        let (consumer, id) = (self.consumer, event.event_id);
        match counted {
            Ok(tries) if tries < TRIES => {
                tracing::warn!(consumer, %id, kind = event.kind, tries, error, "event failed");
                Outcome::Again
            }
            Ok(tries) => match self.park(database, event, tries, error).await {
                Ok(()) => {
                    tracing::error!(consumer, %id, kind = event.kind, tries, error, "event parked");
                    crate::metrics::parked(consumer);
                    Outcome::Done
                }
                Err(_) => Outcome::Again,
            },
            Err(_) => Outcome::Again, // the database is away, and everything waits
        }
    }

    async fn park(
        &self,
        database: usize,
        event: &Delivered,
        tries: i32,
        error: &str,
    ) -> Result<(), sqlx::Error> {
        let mut tx = self.database.begin_at(database).await?;
        store::park(&mut tx, self.consumer, event, tries, error).await?;
        tx.commit().await
    }
}
