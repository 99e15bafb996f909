//! What an operator can do about an outbox: look at it, and let it be sent again.

use database::{Database, Freshness};
use futures_util::FutureExt as _;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store;
use crate::upkeep::OUTBOX_DAYS;

/// How one outbox stands.
#[derive(Clone, Debug)]
pub struct OutboxStatus {
    /// Which of the context's databases.
    pub database: usize,
    /// Events that are not published yet.
    pub waiting: i64,
    /// For how many seconds the oldest of them has waited.
    pub oldest_seconds: f64,
    /// The last message that the stream acknowledged: its sequence and the event's id.
    pub acknowledged: Option<(i64, Uuid)>,
}

/// Why nothing was sent again.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The outbox does not go back so far.
    #[error(
        "events since {since} are asked for, but the outbox keeps {OUTBOX_DAYS} days, since {kept}"
    )]
    TooOld {
        /// What was asked for.
        since: OffsetDateTime,
        /// How far back it would work.
        kept: OffsetDateTime,
    },
    /// A database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// How the outboxes of a context stand.
///
/// # Errors
/// When a database does not answer.
pub async fn outboxes(database: &Database) -> Result<Vec<OutboxStatus>, sqlx::Error> {
    let mut all = Vec::new();
    for (index, home) in database.one_shard_per_database().enumerate() {
        let read = database.read(home, Freshness::Primary, |db| {
            let read = async move {
                Ok::<_, sqlx::Error>((store::depth(db).await?, store::checkpoint(db).await?))
            };
            read.boxed()
        });
        let ((waiting, oldest_seconds), checkpoint) = read.await?;
        let acknowledged = checkpoint.last;
        all.push(OutboxStatus { database: index, waiting, oldest_seconds, acknowledged });
    }
    Ok(all)
}

/// Lets the relay send again what was written since then; how many events. Who has seen them has
/// them in its inbox and does nothing; a new consumer, or one whose inbox was lost, catches up.
///
/// # Errors
/// When the outbox does not go back so far (then nothing is sent), or a database does not answer.
pub async fn replay(database: &Database, since: OffsetDateTime) -> Result<u64, ReplayError> {
    let kept = kernel::clock::now() - time::Duration::days(OUTBOX_DAYS.into());
    if since < kept {
        return Err(ReplayError::TooOld { since, kept });
    }
    let mut again = 0;
    for home in database.one_shard_per_database() {
        let send = database.transaction(home, move |tx| store::send_again_since(tx, since).boxed());
        again += send.await?;
    }
    Ok(again)
}
