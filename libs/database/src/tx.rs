//! A transaction that wakes whoever waits for its commit.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::Notify;

/// A transaction on one database. Dropped without [`Tx::commit`], it rolls back.
/// Only [`crate::Database::begin`] makes one, and only inside a unit of work.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    database: usize,
    wake: Option<Arc<Notify>>,
}

impl Tx {
    pub(crate) fn new(inner: Transaction<'static, Postgres>, database: usize) -> Self {
        Self { inner, database, wake: None }
    }

    /// Which of the context's databases this is: an index into its URLs.
    pub fn database(&self) -> usize {
        self.database
    }

    /// Wakes `waiter` once the transaction has been committed.
    pub fn wake_on_commit(&mut self, waiter: &Arc<Notify>) {
        self.wake = Some(Arc::clone(waiter));
    }

    /// Makes it durable. After an error the outcome is unknown.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await?;
        if let Some(waiter) = self.wake {
            waiter.notify_one();
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
