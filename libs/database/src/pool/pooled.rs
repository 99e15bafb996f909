//! A connection in use. It is released to its pool, reset first, or closed, depending on how its use ends.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::Error;
use sqlx::postgres::PgConnection;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Connection, Inner};
use crate::metrics::Purpose;

/// A connection in use. Dropped, it is closed: whatever it was asked last may still be in flight.
pub(crate) struct PooledConnection {
    /// `None` once it was released.
    connection: Option<Connection>,
    /// Somebody has used it before.
    used: bool,
    since: Instant,
    purpose: Purpose,
    home: Arc<Inner>,
    /// Released after the connection, so that the next call in the queue finds it.
    permit: Option<OwnedSemaphorePermit>,
}

impl PooledConnection {
    pub(super) fn new(
        connection: Connection,
        used: bool,
        purpose: Purpose,
        home: Arc<Inner>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        home.meter.in_use(1);
        let since = Instant::now();
        Self { connection: Some(connection), used, since, purpose, home, permit: Some(permit) }
    }

    /// Whether it had idled, and so may have been lost meanwhile.
    pub(crate) fn was_used(&self) -> bool {
        self.used
    }

    /// Releases it to the pool. Only when the last operation has ended and no transaction is open.
    pub(crate) fn release(mut self) {
        if let Some(connection) = self.connection.take() {
            self.home.put(connection);
        }
    }

    /// Releases it in the background, after a rollback.
    pub(crate) fn reset(mut self) {
        let (Some(connection), Some(permit)) = (self.connection.take(), self.permit.take()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let home = Arc::clone(&self.home);
        runtime.spawn(async move {
            home.reset(connection).await;
            drop(permit);
        });
    }

    /// The same, in the foreground: when this returns, the locks of the transaction are released.
    pub(crate) async fn reset_now(mut self) {
        if let (Some(connection), Some(_permit)) = (self.connection.take(), self.permit.take()) {
            self.home.reset(connection).await;
        }
    }

    /// Another connection instead of one that turned out to be lost.
    pub(crate) async fn replace(mut self, until: Instant) -> Result<Self, Error> {
        if let Some(connection) = &self.connection {
            self.home.invalidate_idle(connection.generation);
        }
        let permit = self.permit.take().ok_or(Error::PoolClosed)?;
        let (home, purpose) = (Arc::clone(&self.home), self.purpose);
        drop(self);
        let (connection, used, permit) = match home.take() {
            Some(connection) => (connection, true, permit),
            None => {
                let (connection, permit) = Arc::clone(&home).open(permit, until).await?;
                (connection, false, permit)
            }
        };
        Ok(Self::new(connection, used, purpose, home, permit))
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        self.home.meter.in_use(-1);
        self.home.meter.held(self.purpose, self.since.elapsed());
        if self.connection.is_some() {
            self.home.meter.discarded();
        }
    }
}

impl Deref for PooledConnection {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        #[expect(clippy::expect_used, reason = "only what ends us takes it")]
        &self.connection.as_ref().expect("in use").raw
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        #[expect(clippy::expect_used, reason = "only what ends us takes it")]
        &mut self.connection.as_mut().expect("in use").raw
    }
}
