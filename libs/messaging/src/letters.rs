//! Dead letters: what a consumer has given up on, for people to read and to send again.
//!
//! A letter is its inbox row's outcome. Redriving it takes both back in one transaction: the inbox
//! row goes, and the letter is marked. The consumer takes marked letters from the table, not from
//! the bus, so that an event older than the stream can still be handled; a letter is deleted when
//! it has had its effect, and is a dead letter again when it fails again.

use database::{Database, Freshness};
use futures_util::FutureExt as _;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::event::known_kinds;
use crate::store;

/// No list is longer than this; redriving is not limited.
pub const LIST_MAX: i64 = 500;

/// An event that a consumer has given up on.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Who could not handle it, for example `order-from-product`.
    pub consumer: String,
    /// The event.
    pub event_id: Uuid,
    /// What it happened to.
    pub aggregate_id: Uuid,
    /// `souk.order.v1.OrderPlaced`; empty for a message that was no event of ours.
    pub kind: String,
    /// Of the message.
    pub subject: String,
    /// When it was written, by the clock of the database that wrote it.
    pub occurred_at: OffsetDateTime,
    /// Leads to its trace.
    pub traceparent: Option<String>,
    /// Protobuf, if it is an event.
    pub payload: Vec<u8>,
    /// How often it was tried.
    pub tries: i32,
    /// Why it failed the last time.
    pub error: String,
    /// When it was given up on.
    pub parked_at: OffsetDateTime,
    /// When it was told to be tried again; it has not succeeded yet.
    pub redriven_at: Option<OffsetDateTime>,
}

/// The letters of a context, the latest first: of one event, or of all.
///
/// # Errors
/// When a database does not answer.
pub async fn list(database: &Database, event: Option<Uuid>) -> Result<Vec<Letter>, sqlx::Error> {
    let mut letters = Vec::new();
    for home in database.homes() {
        let read = database
            .read(home, Freshness::Primary, move |db| store::letters(db, event, LIST_MAX).boxed());
        letters.extend(read.await?);
    }
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.parked_at));
    letters.truncate(LIST_MAX as usize);
    Ok(letters)
}

/// Lets a letter, or all of them, be tried again; how many. What is no event that this build knows cannot
/// be handled, and stays where it is.
///
/// # Errors
/// When a database does not answer; the letters of the others are redriven.
pub async fn redrive(database: &Database, event: Option<Uuid>) -> Result<u64, sqlx::Error> {
    let mut redriven = 0;
    for home in database.homes() {
        let redrive = database.transaction(home, move |tx| {
            async move { store::redrive(tx, event, &known_kinds()).await }.boxed()
        });
        redriven += redrive.await?;
    }
    Ok(redriven)
}
