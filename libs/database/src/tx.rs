//! A transaction that wakes whoever waits for its commit, and hands over what it made.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crash::Point;
use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::Lent;

/// A transaction on one database. Dropped without [`Tx::commit`], it rolls back.
/// Only [`crate::Database::begin`] makes one, and only inside a unit of work.
pub struct Tx {
    lent: Lent,
    database: usize,
    wake: Option<Arc<Notify>>,
    after_commit: Option<Box<dyn FnOnce() + Send>>,
}

impl Tx {
    pub(crate) fn new(lent: Lent, database: usize) -> Self {
        Self { lent, database, wake: None, after_commit: None }
    }

    /// Which of the context's databases this is: an index into its URLs.
    pub fn database(&self) -> usize {
        self.database
    }

    /// Wakes `waiter` once the transaction has been committed.
    pub fn wake_on_commit(&mut self, waiter: &Arc<Notify>) {
        self.wake = Some(Arc::clone(waiter));
    }

    /// Does something once the transaction has been committed, and drops it if it never is. A
    /// process that dies in between does not do it.
    pub fn after_commit(&mut self, act: impl FnOnce() + Send + 'static) {
        self.after_commit = Some(Box::new(act));
    }

    /// Makes it durable. After an error the outcome is unknown.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        crash::point(Point::CommitBefore);
        sqlx::raw_sql("commit").execute(&mut *self.lent).await?;
        crash::point(Point::CommitAfter);
        self.lent.release();
        if let Some(waiter) = self.wake {
            waiter.notify_one();
        }
        if let Some(act) = self.after_commit {
            act();
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.lent
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.lent
    }
}
