//! Publishing: a row in the transaction that changes state.

use std::sync::Arc;

use database::{Database, Tx};
use tokio::sync::Notify;

use crate::model::BYTES_MAX;
use crate::{Outgoing, store};

/// Where a context leaves its events. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    /// One for each database: wakes its relay in this process after a commit.
    wake: Arc<[Arc<Notify>]>,
}

impl Outbox {
    /// An outbox in every database of the context.
    pub fn new(database: &Database) -> Self {
        Self { wake: database.one_shard_per_database().map(|_| Arc::default()).collect() }
    }

    /// Writes the events in one statement. They exist if and only if `tx` commits. The rows
    /// that they speak of must be locked or version-checked before, so that the events of one
    /// aggregate get their positions in the order in which they happened.
    ///
    /// # Errors
    /// When the database refuses it, or an event is larger than 1 MiB.
    pub async fn publish(&self, tx: &mut Tx, events: &[Outgoing]) -> Result<(), sqlx::Error> {
        if events.is_empty() {
            return Ok(());
        }
        if let Some(large) = events.iter().find(|event| event.payload.len() > BYTES_MAX) {
            let (kind, bytes) = (large.kind, large.payload.len());
            let refusal = format!("{kind} of {bytes} bytes, at most {BYTES_MAX}");
            return Err(sqlx::Error::Encode(refusal.into()));
        }
        store::append(tx, events).await?;
        tx.wake_on_commit(&self.wake[tx.database()]);
        Ok(())
    }

    pub(crate) fn wake(&self, database: usize) -> &Arc<Notify> {
        &self.wake[database]
    }
}
