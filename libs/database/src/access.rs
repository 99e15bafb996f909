//! The ways to a database: a read, a single write, a transaction.
//!
//! Each takes a closure and owns everything around it: the connection, the time that it may take, the
//! commit, and the end of the connection's use.
//!
//! Cancellation safety: a caller's future may be dropped at any moment, by axum, by a deadline, by `select!`. While it
//! waits for a connection nothing has begun. From then on the work runs to completion or to its timeout, detached, with
//! the call's span, deadline and permit. So no connection is ever released in the middle of a conversation
//! (transact-rs/sqlx #4393). (If a caller keeps its future and never polls it, the work stops. No code here does.)

use std::pin::Pin;
use std::task::{Context, Poll};

use context::Current;
use futures_util::future::BoxFuture;
use kernel::Shard;
use sqlx::{Error, PgConnection};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::error::timed_out;
use crate::pool::{Pool, PooledConnection};
use crate::{Database, Freshness, Tx};

impl Database {
    /// Reads from one shard's database. The closure may run several statements, outside of a transaction.
    ///
    /// # Errors
    /// Those of the closure; and a transient one when there is no connection in time, or no answer.
    pub async fn read<T, E, F>(&self, shard: Shard, freshness: Freshness, read: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.alone("read", self.reader(shard, freshness), read).await
    }

    /// Runs a single statement that writes: it is its own transaction, one exchange instead of three.
    ///
    /// # Errors
    /// As [`Database::read`]. After one that is transient the outcome is unknown.
    pub async fn write<T, E, F>(&self, shard: Shard, write: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.alone("write", self.writer(shard), write).await
    }

    /// Runs `work` in a transaction on one shard's database: committed when it answers `Ok`, rolled back
    /// when it answers an error. Either has happened when this answers, so its locks are gone.
    ///
    /// # Errors
    /// Those of the closure, and those of [`Database::write`].
    pub async fn transaction<T, E, F>(&self, shard: Shard, work: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (call, index) = (Current::capture(), self.index_of(shard));
        let (connection, span) = connect(self.writer(shard), &call, "transaction").await?;
        let until = Instant::now() + self.operation_timeout();
        let transaction = async move {
            let mut tx = Tx::begin(connection, index, until).await?;
            match timeout_at(until, work(&mut tx)).await {
                Ok(Ok(done)) => {
                    tx.commit(until).await?;
                    Ok(done)
                }
                Ok(Err(error)) => {
                    tx.roll_back().await;
                    Err(error)
                }
                Err(_) => Err(timeout_error().into()),
            }
        };
        Job::new(transaction, call, self.jobs(), span).await
    }

    /// Runs `steps` to completion even if the caller is cancelled in between, as each single operation does.
    pub async fn run_detached<T: Send + 'static>(
        &self,
        steps: impl Future<Output = T> + Send + 'static,
    ) -> T {
        Job::new(steps, Current::capture(), self.jobs(), Span::current()).await
    }

    /// Outside of a transaction, on a connection of `pool`.
    async fn alone<T, E, F>(&self, operation: &'static str, pool: &Pool, work: F) -> Result<T, E>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let call = Current::capture();
        let (mut connection, span) = connect(pool, &call, operation).await?;
        let until = Instant::now() + self.operation_timeout();
        let alone = async move {
            match timeout_at(until, work(&mut connection)).await {
                Ok(Ok(done)) => {
                    connection.release();
                    Ok(done)
                }
                Ok(Err(error)) => {
                    connection.reset();
                    Err(error)
                }
                Err(_) => Err(timeout_error().into()),
            }
        };
        Job::new(alone, call, self.jobs(), span).await
    }
}

/// A connection, and the span of what is done with it.
async fn connect(
    pool: &Pool,
    call: &Current,
    operation: &'static str,
) -> Result<(PooledConnection, Span), Error> {
    let span = pool.span(operation);
    let connection = pool.acquire(call, operation).instrument(span.clone()).await;
    if connection.is_err() {
        telemetry::span::when_recorded(&span, |it| it.failed("no_connection"));
    }
    Ok((connection?, span))
}

/// The error of an operation that has timed out, also marked in its span. Its connection is dropped, and so closed.
fn timeout_error() -> Error {
    telemetry::span::when_recorded(&Span::current(), |it| it.failed("timeout"));
    timed_out()
}

/// Work that runs on, detached, when its future is dropped.
struct Job<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
}

impl<T: Send + 'static> Job<T> {
    fn new(
        work: impl Future<Output = T> + Send + 'static,
        call: Current,
        jobs: &TaskTracker,
        span: Span,
    ) -> Self {
        let work = call.scope(work.instrument(span));
        Self { work: Some(Box::pin(jobs.track_future(work))) }
    }
}

impl<T: Send + 'static> Future for Job<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that work that panicked is not polled again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Job<T> {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the connection with it.
        if let (Some(work), Ok(runtime)) = (self.work.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(work);
        }
    }
}
