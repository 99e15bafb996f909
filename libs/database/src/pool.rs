//! A connection pool, to one database. A private detail of [`crate::Database`].
//!
//! A pool of our own, because sqlx's asks the server about a connection at every release: a round
//! trip, which for a single read is half of all that it costs (docs/adr/0012).

mod pooled;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use context::Current;
use futures_util::future::join_all;
use sqlx::Connection as _;
use sqlx::Error;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::Span;

use crate::is_transient;
use crate::metrics::{Meter, Purpose};

pub(crate) use pooled::PooledConnection;

/// Maximum age of a connection: a session gathers plans and caches.
const LIFE_MAX: Duration = Duration::from_secs(1_800);
/// An idle connection beyond the minimum is closed after this time.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// Timeout of the rollback on a connection that was released in the middle of an operation.
const RESET_TIMEOUT: Duration = Duration::from_secs(2);
/// Timeout of one attempt to open a connection, however long its caller waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of opening the first connections, however patient callers are. A process that is not connected in time tries again from
/// the beginning (`service::wait_for`), and then has no connection at all.
const WARM_MAX: Duration = Duration::from_secs(2);
/// Pause between attempts to connect, while the server is starting.
const CONNECT_AGAIN: Duration = Duration::from_millis(25);
/// Interval of the probe, while the server is unreachable.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// The circuit breaker opens when no connection could be made for this time.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(1);

/// Connections to one database, for reading or for writing. Clones are one.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    session: PgConnectOptions,
    /// Minimum number of connections, open even when idle.
    least: usize,
    acquire_timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<VecDeque<Connection>>,
    /// Grows when a connection is found broken; idle connections of an older generation are not used again.
    generation: AtomicU64,
    outage: Mutex<Outage>,
    /// Refuses all calls: the database has not answered since the start.
    disabled: AtomicBool,
    meter: Meter,
}

/// A circuit breaker: once the server has been unreachable for a second, calls are refused at once, and one task probes
/// whether it is back.
#[derive(Default)]
struct Outage {
    /// Since when no connection could be opened; `None` when the last attempt succeeded.
    since: Option<Instant>,
    /// Whether a task probes it already.
    probed: bool,
}

struct Connection {
    raw: PgConnection,
    born: Instant,
    idle_since: Instant,
    generation: u64,
}

impl Pool {
    /// Opens nothing yet. At most `most` connections; a call that gets none within `acquire_timeout` is refused.
    pub(crate) fn new(
        session: PgConnectOptions,
        most: usize,
        acquire_timeout: Duration,
        meter: Meter,
    ) -> Self {
        // Opening one takes a while; a burst that met an empty pool would be refused.
        let least = most.div_ceil(3);
        let permits = Arc::new(Semaphore::new(most));
        let (idle, generation, outage) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        let disabled = AtomicBool::new(false);
        let inner = Inner {
            session,
            least,
            acquire_timeout,
            permits,
            idle,
            generation,
            outage,
            disabled,
            meter,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Opens the least connections. What does not open in time is added to the pool when it has opened.
    pub(crate) async fn warm(&self) {
        let call = Current::background("warm");
        let open = (0..self.inner.least).map(|_| timeout(WARM_MAX, self.acquire(&call, "warm")));
        let opened = join_all(open).await;
        opened.into_iter().flatten().flatten().for_each(PooledConnection::release);
    }

    /// Refuses all calls until [`Pool::enable`]. Only before the first call.
    pub(crate) fn disable(&self) {
        self.inner.disabled.store(true, Ordering::Release);
    }

    /// Accepts calls from now on.
    pub(crate) fn enable(&self) {
        self.inner.disabled.store(false, Ordering::Release);
    }

    /// Whether it refuses all calls.
    pub(crate) fn is_disabled(&self) -> bool {
        self.inner.disabled.load(Ordering::Acquire)
    }

    /// How its sessions are opened.
    pub(crate) fn session(&self) -> &PgConnectOptions {
        &self.inner.session
    }

    /// Whether no connection could be opened for a while.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.inner.is_unreachable()
    }

    /// The span of an operation, waiting for its connection included. The caller's own unless that is recorded.
    pub(crate) fn span(&self, operation: &'static str) -> Span {
        let caller = Span::current();
        if !telemetry::context::is_recorded(&caller) {
            return caller;
        }
        let span = tracing::info_span!("database", otel.kind = "client");
        telemetry::span::when_recorded(&span, |it| {
            let session = &self.inner.session;
            let namespace = session.get_database().unwrap_or_default();
            it.name(format!("{operation} {namespace}")).set("db.system.name", "postgresql");
            it.set("db.namespace", namespace.to_owned()).set("db.operation.name", operation);
            it.set("server.address", session.get_host().to_owned());
            it.set("server.port", i64::from(session.get_port()));
        });
        span
    }

    /// A connection for this call, which does one `operation` ("read", "write" or "transaction") with it.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] when all are in use for longer than one waits here or the call has time,
    /// [`Error::PoolClosed`], or why the server lets nobody in.
    pub(crate) async fn acquire(
        &self,
        call: &Current,
        operation: &'static str,
    ) -> Result<PooledConnection, Error> {
        let (since, inner) = (Instant::now(), &self.inner);
        let acquire_timeout = since + inner.acquire_timeout;
        let deadline =
            call.deadline().map_or(acquire_timeout, |deadline| acquire_timeout.min(deadline));
        let permit = timeout_at(deadline, Arc::clone(&inner.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        let home = Arc::clone(inner);
        let (connection, used, permit) = match inner.take() {
            Some(connection) => (connection, true, permit),
            None if inner.is_unreachable() => return Err(unreachable_for_a_while()),
            None => {
                let (connection, permit) = home.open(permit, deadline).await?;
                (connection, false, permit)
            }
        };
        inner.meter.waited(since.elapsed());
        let purpose = Purpose { case: call.name(), operation };
        Ok(PooledConnection::new(connection, used, purpose, Arc::clone(inner), permit))
    }

    /// Lets nobody have a connection any more and closes those that are idle.
    pub(crate) async fn close(&self) {
        self.inner.permits.close();
        let idle = std::mem::take(&mut *self.inner.idle());
        let closing = idle.into_iter().map(|connection| connection.raw.close());
        drop(join_all(closing).await); // the server sees the end in any case
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_unreachable(&self) -> bool {
        let disabled = self.disabled.load(Ordering::Acquire);
        disabled || self.outage().since.is_some_and(|since| since.elapsed() > UNREACHABLE_AFTER)
    }

    /// Last in, first out: connections that only a burst needed stay idle and reach `IDLE_MAX`.
    fn take(&self) -> Option<Connection> {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut idle = self.idle();
        std::iter::from_fn(|| idle.pop_back())
            .find(|connection| connection.generation == generation)
    }

    fn put(&self, mut connection: Connection) {
        let now = Instant::now();
        connection.idle_since = now;
        if self.permits.is_closed() || now - connection.born > LIFE_MAX {
            return; // dropped, and so closed
        }
        let mut idle = self.idle();
        idle.push_back(connection);
        let old = |connection: &Connection| now - connection.idle_since > IDLE_MAX;
        if idle.len() > self.least && idle.front().is_some_and(old) {
            idle.pop_front();
        }
    }

    /// A new connection. If the caller times out, opening continues in the background, and the connection goes to the
    /// pool. Otherwise impatient callers would cancel every attempt, and after a restart of the server no connection
    /// would ever be completed.
    async fn open(
        self: Arc<Self>,
        permit: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Result<(Connection, OwnedSemaphorePermit), Error> {
        let (hand_over, opened) = oneshot::channel();
        tokio::spawn(async move {
            let opened = self.connect(deadline).await.map(|connection| (connection, permit));
            if let Err(Ok((connection, _permit))) = hand_over.send(opened) {
                self.put(connection); // nobody waits for it any more
            }
        });
        let opened = timeout_at(deadline, opened).await.map_err(|_| Error::PoolTimedOut)?;
        opened.map_err(|_| Error::WorkerCrashed)?
    }

    /// Tries to connect until the deadline; an attempt that has begun is not interrupted.
    async fn connect(self: &Arc<Self>, deadline: Instant) -> Result<Connection, Error> {
        loop {
            match self.try_to_connect().await {
                Err(error)
                    if is_transient(&error)
                        && Instant::now() < deadline
                        && !self.is_unreachable() =>
                {
                    sleep(CONNECT_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    async fn try_to_connect(self: &Arc<Self>) -> Result<Connection, Error> {
        let generation = self.generation.load(Ordering::Relaxed);
        let trying = timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&self.session)).await;
        match trying.unwrap_or(Err(Error::PoolTimedOut)) {
            Ok(raw) => {
                self.outage().since = None;
                self.meter.opened();
                let now = Instant::now();
                Ok(Connection { raw, born: now, idle_since: now, generation })
            }
            Err(error) => {
                if is_transient(&error) {
                    self.not_reached();
                }
                Err(error)
            }
        }
    }

    /// From now on one task probes the server, so that no call has to.
    fn not_reached(self: &Arc<Self>) {
        self.meter.not_opened();
        let mut outage = self.outage();
        outage.since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut outage.probed, true) {
            tokio::spawn(probe_until_reachable(Arc::downgrade(self)));
        }
    }

    /// Rolls back the transaction in progress. A connection that does not answer is closed alone; a broken one means
    /// that the server was restarted, so the idle ones are invalid as well.
    async fn reset(&self, mut connection: Connection) {
        let rollback = sqlx::raw_sql("rollback").execute(&mut connection.raw);
        match timeout(RESET_TIMEOUT, rollback).await {
            Ok(Ok(_)) => return self.put(connection),
            Ok(Err(_)) => self.invalidate_idle(connection.generation),
            Err(_) => {}
        }
        self.meter.discarded();
    }

    /// Begins a new generation, once: a server that restarts has closed all connections.
    fn invalidate_idle(&self, generation: u64) {
        let _ = self.generation.compare_exchange(
            generation,
            generation + 1,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

/// Probes until a connection opens (the circuit breaker closes) or the pool is dropped.
async fn probe_until_reachable(pool: Weak<Inner>) {
    loop {
        sleep(PROBE_EVERY).await;
        let Some(pool) = pool.upgrade().filter(|pool| !pool.permits.is_closed()) else { return };
        let place = Arc::clone(&pool.permits).try_acquire_owned();
        if let (Ok(connection), Ok(_place)) = (pool.try_to_connect().await, place) {
            pool.put(connection);
        }
        let mut outage = pool.outage();
        if outage.since.is_none() {
            outage.probed = false;
            return;
        }
    }
}

fn unreachable_for_a_while() -> Error {
    let message = "the database has not been reachable for a while";
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, message))
}
