//! Connections that are kept for the next one who needs one.
//!
//! A pool of our own, because sqlx's asks the server about a connection at every release: a round
//! trip, which for a single read is half of all that it costs (docs/performance.md). Here whoever
//! has come to the end of what they wanted says so, with [`Lent::release`], and the connection is
//! free at once. One that is dropped before that, by a cancelled future or an error, may be anywhere
//! in a conversation or a transaction (transact-rs/sqlx #4393): it is rolled back before anybody
//! else gets it, or closed.

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{self, BoxStream};
use futures_util::{TryFutureExt as _, TryStreamExt as _};
use sqlx::postgres::{
    PgConnectOptions, PgConnection, PgQueryResult, PgRow, PgStatement, PgTypeInfo,
};
use sqlx::{Connection as _, Describe, Either, Error, Execute, Executor, Postgres, SqlStr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::is_transient;

/// A session gathers plans and caches: none lives for ever.
const LIFE_MAX: Duration = Duration::from_secs(1_800);
/// What a burst has opened and nobody has used for so long is closed again.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// For the rollback of a connection that came back in the middle of something.
const MEND_MAX: Duration = Duration::from_secs(2);
/// For one try to open a connection, however long its caller waits.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// While the server is just starting.
const CONNECT_AGAIN: Duration = Duration::from_millis(25);

/// Connections to one database. Clones are one. A statement can be run on it directly; its rows are
/// all there before the connection is given back, so ask for a bounded number.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    session: PgConnectOptions,
    /// Kept open however quiet it is.
    least: usize,
    within: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<VecDeque<Held>>,
    /// Grows when a connection is found lost; those that idled meanwhile are not trusted.
    era: AtomicU64,
}

struct Held {
    connection: PgConnection,
    born: Instant,
    idle_since: Instant,
    era: u64,
}

/// A connection in use.
pub struct Lent {
    /// None once it was given back.
    held: Option<Held>,
    /// Somebody has used it before.
    used: bool,
    home: Arc<Inner>,
    /// Given back after the connection, so that whoever waits finds one.
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// Opens nothing yet. At most `most` connections; whoever gets none within `within` is refused.
    pub(crate) fn new(session: PgConnectOptions, most: usize, within: Duration) -> Self {
        // Opening one takes a while; a burst that met an empty pool would be refused.
        let least = most.div_ceil(3);
        let permits = Arc::new(Semaphore::new(most));
        let (idle, era) = (Mutex::default(), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { session, least, within, permits, idle, era }) }
    }

    /// Opens the least connections. What does not open in time is opened when it is needed.
    pub(crate) async fn warm(&self) {
        let opened = join_all((0..self.inner.least).map(|_| self.acquire())).await;
        opened.into_iter().flatten().for_each(Lent::release);
    }

    /// How its sessions are opened.
    pub(crate) fn session(&self) -> &PgConnectOptions {
        &self.inner.session
    }

    /// A connection for several statements.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] when all are in use for too long, [`Error::PoolClosed`], or why the
    /// server lets nobody in.
    pub async fn acquire(&self) -> Result<Lent, Error> {
        let deadline = Instant::now() + self.inner.within;
        let permit = timeout_at(deadline, Arc::clone(&self.inner.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        let home = Arc::clone(&self.inner);
        match self.inner.take() {
            Some(held) => Ok(Lent { held: Some(held), used: true, home, permit: Some(permit) }),
            None => home.open(permit, deadline).await,
        }
    }

    /// A connection on which a transaction has begun.
    ///
    /// # Errors
    /// As [`Pool::acquire`]. A connection that was lost while nobody used it is no error: nothing
    /// had begun on it, and another takes its place.
    pub(crate) async fn begin(&self) -> Result<Lent, Error> {
        loop {
            let mut lent = self.acquire().await?;
            match sqlx::raw_sql("begin").execute(&mut *lent).await {
                Ok(_) => return Ok(lent),
                Err(error) if lent.used && is_transient(&error) => lent.lose(),
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets nobody have a connection any more and closes those that are idle.
    pub(crate) async fn close(&self) {
        self.inner.permits.close();
        let idle = std::mem::take(&mut *self.inner.idle());
        let closing = idle.into_iter().map(|held| held.connection.close());
        drop(join_all(closing).await); // the server sees the end in any case
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, VecDeque<Held>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, so that those which a burst has opened grow old.
    fn take(&self) -> Option<Held> {
        let era = self.era.load(Ordering::Relaxed);
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop_back()).find(|held| held.era == era)
    }

    fn put(&self, mut held: Held) {
        let now = Instant::now();
        held.idle_since = now;
        if self.permits.is_closed() || now - held.born > LIFE_MAX {
            return; // dropped, and so closed
        }
        let mut idle = self.idle();
        idle.push_back(held);
        let old = |held: &Held| now - held.idle_since > IDLE_MAX;
        if idle.len() > self.least && idle.front().is_some_and(old) {
            idle.pop_front();
        }
    }

    /// A new connection. It goes on opening for the next one if it takes longer than this one waits: a server
    /// that has just lost everybody, on a machine that is busy with it, would else be asked over and over by
    /// callers who leave before it can answer, and let nobody in for as long as they keep coming.
    async fn open(
        self: Arc<Self>,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<Lent, Error> {
        let opening = tokio::spawn(async move {
            let held = self.connect(deadline).await?;
            Ok(Lent { held: Some(held), used: false, home: self, permit: Some(permit) })
        });
        let opened = timeout_at(deadline, opening).await.map_err(|_| Error::PoolTimedOut)?;
        opened.map_err(|_| Error::WorkerCrashed)?
    }

    /// Tries again until the deadline; a try that has begun goes on.
    async fn connect(&self, deadline: Instant) -> Result<Held, Error> {
        loop {
            let era = self.era.load(Ordering::Relaxed);
            let trying = timeout(OPEN_MAX, PgConnection::connect_with(&self.session)).await;
            match trying.unwrap_or(Err(Error::PoolTimedOut)) {
                Ok(connection) => {
                    let now = Instant::now();
                    return Ok(Held { connection, born: now, idle_since: now, era });
                }
                Err(error) if !is_transient(&error) || Instant::now() >= deadline => {
                    return Err(error);
                }
                Err(_) => sleep(CONNECT_AGAIN).await,
            }
        }
    }

    /// Rolls back whatever was under way.
    async fn mend(&self, mut held: Held) {
        let rollback = sqlx::raw_sql("rollback").execute(&mut held.connection);
        match timeout(MEND_MAX, rollback).await {
            Ok(Ok(_)) => self.put(held),
            _ => self.lost(held.era),
        }
    }

    /// Whoever idled with it may be lost as well: a server that is started again loses all.
    fn lost(&self, era: u64) {
        let _ = self.era.compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Lent {
    /// Gives it back. Only for a conversation that came to its end, with no transaction open.
    pub fn release(mut self) {
        if let Some(held) = self.held.take() {
            self.home.put(held);
        }
    }

    fn lose(mut self) {
        if let Some(held) = self.held.take() {
            self.home.lost(held.era);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(held), Some(permit)) = (self.held.take(), self.permit.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let home = Arc::clone(&self.home);
        runtime.spawn(async move {
            home.mend(held).await;
            drop(permit);
        });
    }
}

impl Deref for Lent {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        #[expect(clippy::expect_used, reason = "only release and drop take it, and they end us")]
        &self.held.as_ref().expect("in use").connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        #[expect(clippy::expect_used, reason = "only release and drop take it, and they end us")]
        &mut self.held.as_mut().expect("in use").connection
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.inner.permits.available_permits();
        f.debug_struct("Pool").field("free", &free).finish_non_exhaustive()
    }
}

impl<'p> Executor<'p> for &'_ Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        let all = async move {
            let mut lent = pool.acquire().await?;
            let all: Vec<_> = lent.fetch_many(query).try_collect().await?;
            lent.release();
            Ok(stream::iter(all.into_iter().map(Ok)))
        };
        Box::pin(all.try_flatten_stream())
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        E: 'q + Execute<'q, Postgres>,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let row = lent.fetch_optional(query).await?;
            lent.release();
            Ok(row)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let statement = lent.prepare_with(sql, parameters).await?;
            lent.release();
            Ok(statement)
        })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'p: 'e,
    {
        let pool = self.clone();
        Box::pin(async move {
            let mut lent = pool.acquire().await?;
            let described = lent.describe(sql).await?;
            lent.release();
            Ok(described)
        })
    }
}
