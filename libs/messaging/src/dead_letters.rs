//! Dead letters (a dead-letter queue, DLQ, as a table): what a consumer has given up on, for people to read and to send again.
//!
//! A dead letter is its inbox row's outcome. Redriving it takes both back in one transaction: the inbox
//! row goes, and the dead letter is marked. The consumer takes marked ones from the table, not from
//! the bus, so that an event older than the stream can still be handled; one is deleted when
//! it has had its effect, and is a dead letter again when it fails again.

use database::{Database, Freshness};
use futures_util::FutureExt as _;
use time::OffsetDateTime;
use tracing::Span;
use uuid::Uuid;

use crate::event::{Delivered, known_kinds};
use crate::store;

/// No list is longer than this; redriving is not limited.
pub const LIST_MAX: i64 = 500;

/// An event that a consumer has given up on.
#[derive(Clone, Debug)]
pub struct DeadLetter {
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

impl From<DeadLetter> for Delivered {
    fn from(it: DeadLetter) -> Self {
        Self {
            event_id: it.event_id,
            kind: it.kind,
            aggregate_id: it.aggregate_id,
            occurred_at: it.occurred_at,
            span: Span::none(),
            subject: it.subject,
            traceparent: it.traceparent,
            payload: it.payload.into(),
        }
    }
}

/// The dead letters of a context, the latest first: of one event, or of all.
///
/// # Errors
/// When a database does not answer.
pub async fn list(
    database: &Database,
    event: Option<Uuid>,
) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let mut all = Vec::new();
    for home in database.homes() {
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
    for home in database.homes() {
        let redrive = database.transaction(home, move |tx| {
            async move { store::redrive(tx, event, &known_kinds()).await }.boxed()
        });
        redriven += redrive.await?;
    }
    Ok(redriven)
}
