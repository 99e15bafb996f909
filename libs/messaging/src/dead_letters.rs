//! Dead letters (a dead-letter queue, DLQ, as a table): what a consumer has given up on, for people to read and to send again.
//!
//! A dead letter is its inbox row's outcome. Redriving it takes both back in one transaction: the inbox
//! row goes, and the dead letter is marked. The consumer takes marked ones from the table, not from
//! the bus, so that an event older than the stream can still be handled; one is deleted when
//! it has had its effect, and is a dead letter again when it fails again.

use database::{Database, Freshness};
use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::model::{DeadLetter, known_kinds};
use crate::store;

/// No list is longer than this; redriving is not limited.
pub const LIST_MAX: i64 = 500;

/// The dead letters of a context, the latest first: of one event, or of all.
///
/// # Errors
/// When a database does not answer.
pub async fn list(
    database: &Database,
    event: Option<Uuid>,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let mut all = Vec::new();
    for home in database.one_shard_per_database() {
        let read = database.read(home, Freshness::Primary, move |db| {
            store::dead_letters(db, event, LIST_MAX).boxed()
        });
        all.extend(read.await?);
    }
    all.sort_by_key(|it| std::cmp::Reverse(it.parked_at));
    all.truncate(LIST_MAX as usize);
    Ok(all)
}

/// Lets a dead letter, or all of them, be tried again; how many. What is no event that this build knows cannot
/// be handled, and stays where it is.
///
/// # Errors
/// When a database does not answer; those of the others are redriven.
pub async fn redrive(database: &Database, event: Option<Uuid>) -> Result<u64, sqlx::Error> {
    let mut redriven = 0;
    for home in database.one_shard_per_database() {
        let redrive = database.transaction(home, move |tx| {
            async move { store::redrive(tx, event, &known_kinds()).await }.boxed()
        });
        redriven += redrive.await?;
    }
    Ok(redriven)
}
