//! Connections that are kept for the next one who needs one. A private detail of [`crate::Database`].
//!
//! A pool of our own, because sqlx's asks the server about a connection at every release: a round
//! trip, which for a single read is half of all that it costs (docs/adr/0012).

use std::collections::VecDeque;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use context::Current;
use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection as _, Error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::is_transient;
use crate::metrics::Meter;

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
/// While it is away.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A server that nobody has reached for so long is not waited for.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Connections to one database, for reading or for writing. Clones are one.
#[derive(Clone)]
pub(crate) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    session: PgConnectOptions,
    /// Kept open however quiet it is.
    least: usize,
    within: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<VecDeque<Held>>,
    /// Grows when the server is found gone; connections that idled meanwhile are not trusted.
    era: AtomicU64,
    outage: Mutex<Outage>,
    /// Nobody gets in: the database has not been seen yet.
    barred: AtomicBool,
    meter: Meter,
}

/// What is known of a server that lets nobody in.
#[derive(Default)]
struct Outage {
    /// None: whoever asked last got in.
    since: Option<Instant>,
    /// Whether somebody looks for it already.
    looked_for: bool,
}

struct Held {
    connection: PgConnection,
    born: Instant,
    idle_since: Instant,
    era: u64,
}

/// A connection in use. Dropped, it is closed: whatever it was asked last may still be under way.
pub(crate) struct Lent {
    /// None once it was given back.
    held: Option<Held>,
    /// Somebody has used it before.
    used: bool,
    since: Instant,
    case: &'static str,
    home: Arc<Inner>,
    /// Given back after the connection, so that whoever waits finds one.
    permit: Option<OwnedSemaphorePermit>,
}

impl Pool {
    /// Opens nothing yet. At most `most` connections; whoever gets none within `within` is refused.
    pub(crate) fn new(
        session: PgConnectOptions,
        most: usize,
        within: Duration,
        meter: Meter,
    ) -> Self {
        // Opening one takes a while; a burst that met an empty pool would be refused.
        let least = most.div_ceil(3);
        let permits = Arc::new(Semaphore::new(most));
        let (idle, era, outage) = (Mutex::default(), AtomicU64::new(0), Mutex::default());
        let barred = AtomicBool::new(false);
        let inner = Inner { session, least, within, permits, idle, era, outage, barred, meter };
        Self { inner: Arc::new(inner) }
    }

    /// Opens the least connections. What does not open in time is opened when it is needed.
    pub(crate) async fn warm(&self) {
        let call = Current::background("warm");
        let opened = join_all((0..self.inner.least).map(|_| self.acquire(&call))).await;
        opened.into_iter().flatten().for_each(Lent::release);
    }

    /// Lets nobody in until [`Pool::admit`]. Before anybody was let in.
    pub(crate) fn bar(&self) {
        self.inner.barred.store(true, Ordering::Release);
    }

    /// Lets everybody in.
    pub(crate) fn admit(&self) {
        self.inner.barred.store(false, Ordering::Release);
    }

    /// Whether it lets nobody in.
    pub(crate) fn is_barred(&self) -> bool {
        self.inner.barred.load(Ordering::Acquire)
    }

    /// How its sessions are opened.
    pub(crate) fn session(&self) -> &PgConnectOptions {
        &self.inner.session
    }

    /// Whether nobody has been let in for a while.
    pub(crate) fn is_lost(&self) -> bool {
        self.inner.is_lost()
    }

    /// A connection for this call.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] when all are in use for longer than one waits here or the call has time,
    /// [`Error::PoolClosed`], or why the server lets nobody in.
    pub(crate) async fn acquire(&self, call: &Current) -> Result<Lent, Error> {
        let (since, inner) = (Instant::now(), &self.inner);
        let within = since + inner.within;
        let deadline = call.deadline().map_or(within, |deadline| within.min(deadline));
        let permit = timeout_at(deadline, Arc::clone(&inner.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        let home = Arc::clone(inner);
        let (held, used, permit) = match inner.take() {
            Some(held) => (held, true, permit),
            None if inner.is_lost() => return Err(lost()),
            None => {
                let (held, permit) = home.open(permit, deadline).await?;
                (held, false, permit)
            }
        };
        inner.meter.waited(since.elapsed());
        Ok(Lent::new(held, used, call.name(), Arc::clone(inner), permit))
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

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_lost(&self) -> bool {
        let barred = self.barred.load(Ordering::Acquire);
        barred || self.outage().since.is_some_and(|since| since.elapsed() > LOST_AFTER)
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
    ) -> Result<(Held, OwnedSemaphorePermit), Error> {
        let (hand_over, opened) = oneshot::channel();
        tokio::spawn(async move {
            let opened = self.connect(deadline).await.map(|held| (held, permit));
            if let Err(Ok((held, _permit))) = hand_over.send(opened) {
                self.put(held); // nobody waits for it any more
            }
        });
        let opened = timeout_at(deadline, opened).await.map_err(|_| Error::PoolTimedOut)?;
        opened.map_err(|_| Error::WorkerCrashed)?
    }

    /// Tries again until the deadline; a try that has begun goes on.
    async fn connect(self: &Arc<Self>, deadline: Instant) -> Result<Held, Error> {
        loop {
            match self.try_to_connect().await {
                Err(error)
                    if is_transient(&error) && Instant::now() < deadline && !self.is_lost() =>
                {
                    sleep(CONNECT_AGAIN).await;
                }
                done => return done,
            }
        }
    }

    async fn try_to_connect(self: &Arc<Self>) -> Result<Held, Error> {
        let era = self.era.load(Ordering::Relaxed);
        let trying = timeout(OPEN_MAX, PgConnection::connect_with(&self.session)).await;
        match trying.unwrap_or(Err(Error::PoolTimedOut)) {
            Ok(connection) => {
                self.outage().since = None;
                self.meter.opened();
                let now = Instant::now();
                Ok(Held { connection, born: now, idle_since: now, era })
            }
            Err(error) => {
                if is_transient(&error) {
                    self.not_reached();
                }
                Err(error)
            }
        }
    }

    /// From now on somebody looks whether the server is back, so that nobody else has to.
    fn not_reached(self: &Arc<Self>) {
        self.meter.not_opened();
        let mut outage = self.outage();
        outage.since.get_or_insert_with(Instant::now);
        if !std::mem::replace(&mut outage.looked_for, true) {
            tokio::spawn(look_for(Arc::downgrade(self)));
        }
    }

    /// Rolls back whatever was under way. One that does not answer costs itself alone; one that is broken
    /// is the sign of a server that was started again, and lost all.
    async fn mend(&self, mut held: Held) {
        let rollback = sqlx::raw_sql("rollback").execute(&mut held.connection);
        match timeout(MEND_MAX, rollback).await {
            Ok(Ok(_)) => return self.put(held),
            Ok(Err(_)) => self.lost(held.era),
            Err(_) => {}
        }
        self.meter.discarded();
    }

    /// Whoever idled with it may be lost as well: a server that is started again loses all.
    fn lost(&self, era: u64) {
        let _ = self.era.compare_exchange(era, era + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Until the server lets somebody in, or nobody is interested any more.
async fn look_for(pool: Weak<Inner>) {
    loop {
        sleep(LOOK_AGAIN).await;
        let Some(pool) = pool.upgrade().filter(|pool| !pool.permits.is_closed()) else { return };
        let place = Arc::clone(&pool.permits).try_acquire_owned();
        if let (Ok(held), Ok(_place)) = (pool.try_to_connect().await, place) {
            pool.put(held);
        }
        let mut outage = pool.outage();
        if outage.since.is_none() {
            outage.looked_for = false;
            return;
        }
    }
}

fn lost() -> Error {
    let message = "the database has not been reachable for a while";
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, message))
}

impl Lent {
    fn new(
        held: Held,
        used: bool,
        case: &'static str,
        home: Arc<Inner>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        home.meter.in_use(1);
        let since = Instant::now();
        Self { held: Some(held), used, since, case, home, permit: Some(permit) }
    }

    /// Whether it had idled, and so may have been lost meanwhile.
    pub(crate) fn was_used(&self) -> bool {
        self.used
    }

    /// Gives it back. Only for a conversation that came to its end, with no transaction open.
    pub(crate) fn release(mut self) {
        if let Some(held) = self.held.take() {
            self.home.put(held);
        }
    }

    /// Gives it back once whatever was under way on it is rolled back.
    pub(crate) fn mend(mut self) {
        let (Some(held), Some(permit)) = (self.held.take(), self.permit.take()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let home = Arc::clone(&self.home);
        runtime.spawn(async move {
            home.mend(held).await;
            drop(permit);
        });
    }

    /// Another connection instead of one that turned out to be lost.
    pub(crate) async fn replace(mut self, until: Instant) -> Result<Self, Error> {
        if let Some(held) = &self.held {
            self.home.lost(held.era);
        }
        let permit = self.permit.take().ok_or(Error::PoolClosed)?;
        let (home, case) = (Arc::clone(&self.home), self.case);
        drop(self);
        let (held, used, permit) = match home.take() {
            Some(held) => (held, true, permit),
            None => {
                let (held, permit) = Arc::clone(&home).open(permit, until).await?;
                (held, false, permit)
            }
        };
        Ok(Self::new(held, used, case, home, permit))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.meter.in_use(-1);
        self.home.meter.held(self.case, self.since.elapsed());
        if self.held.is_some() {
            self.home.meter.discarded();
        }
    }
}

impl Deref for Lent {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        #[expect(clippy::expect_used, reason = "only what ends us takes it")]
        &self.held.as_ref().expect("in use").connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        #[expect(clippy::expect_used, reason = "only what ends us takes it")]
        &mut self.held.as_mut().expect("in use").connection
    }
}
