//! A transaction that wakes whoever waits for its commit. Its isolation level is PostgreSQL's default, read committed:
//! what must not race is locked, compared by version, or forbidden by a constraint.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crash::Point;
use sqlx::{Error, PgConnection};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::error::{is_transient, timed_out};
use crate::pool::PooledConnection;

/// A transaction on one database, as [`crate::Database::transaction`] lends it.
pub struct Tx {
    connection: PooledConnection,
    database: usize,
    wake: Option<Arc<Notify>>,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
}

impl Tx {
    /// A connection that broke while it was idle is no error: nothing had begun on it, so another replaces it.
    pub(crate) async fn begin(
        mut connection: PooledConnection,
        database: usize,
        until: Instant,
    ) -> Result<Self, Error> {
        loop {
            let begin = sqlx::raw_sql("begin").execute(&mut *connection);
            match timeout_at(until, begin).await.map_err(|_| timed_out())? {
                Ok(_) => {
                    return Ok(Self { connection, database, wake: None, after_commit: Vec::new() });
                }
                Err(error) if connection.was_used() && is_transient(&error) => {
                    connection = connection.replace(until).await?;
                }
                Err(error) => return Err(error),
            }
        }
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
        self.after_commit.push(Box::new(act));
    }

    /// Makes it durable. After an error the outcome is unknown.
    pub(crate) async fn commit(mut self, until: Instant) -> Result<(), Error> {
        crash::point(Point::CommitBefore);
        let commit = sqlx::raw_sql("commit").execute(&mut *self.connection);
        timeout_at(until, commit).await.unwrap_or_else(|_| Err(timed_out()))?;
        crash::point(Point::CommitAfter);
        self.connection.release();
        if let Some(waiter) = self.wake {
            waiter.notify_one();
        }
        self.after_commit.into_iter().for_each(|act| act());
        Ok(())
    }

    /// Rolls back. When this returns, the locks are released.
    pub(crate) async fn roll_back(self) {
        self.connection.reset_now().await;
    }
}

impl Deref for Tx {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
