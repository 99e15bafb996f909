//! The relay: sends what the outbox holds, in any number of copies of which one works.
//!
//! One copy is active, by a lease (leader election); rows are not claimed with `skip locked`. It reads unpublished rows and
//! not rows after the last id that it has seen, because commits can become visible out of order: a low-water mark is only
//! a hint, and a sweep without it finds the rest. It sends many at a time and marks only those that the stream acknowledged. Every few
//! seconds and after a reconnect it looks at its last acknowledged message: a stream that does
//! not hold it was wiped or rolled back, and is filled again from the outbox. In a cluster it looks
//! before it trusts an acknowledgement: the leader can change there without a reconnect.

mod checkpoint;
mod publish;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use database::{Database, Freshness};
use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, StreamExt as _};
use kernel::{EventId, Shard};
use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::sink::{NatsSink, Sink};
use crate::{Bus, Outbox, store};
use checkpoint::StreamSync;
use publish::BATCH;

const LEASE: Duration = Duration::from_secs(5);
/// How many full batches go out at most before anything else has its turn.
const BATCHES_PER_TURN: usize = 32;
/// The fallback when no wake-up arrived, from this process or by one of another copy.
const POLL: Duration = Duration::from_millis(250);
/// How often the stream is compared with the checkpoint, and everything is swept without the low-water mark.
const CHECK: Duration = Duration::from_secs(5);
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Sends the events of one context from all its databases.
pub struct Relay {
    context: &'static str,
    bus: Bus,
    database: Database,
    outbox: Outbox,
}

impl Relay {
    /// A relay for the outbox of `context`.
    pub fn new(context: &'static str, bus: &Bus, database: &Database, outbox: &Outbox) -> Self {
        Self { context, bus: bus.clone(), database: database.clone(), outbox: outbox.clone() }
    }

    /// Relays until asked to stop, then sends what is left (bounded) and gives up its leases.
    ///
    /// # Errors
    /// When its user may not publish the context's events, wake others or ask the provisioner.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let of = |prefix, rest| format!("{prefix}.{}.{rest}", self.context);
            let subjects =
                [of("souk", "v1.probe"), of("souk-poke", "probe"), of("souk-provision", "probe")];
            let check = self.bus.check_rights(&subjects, &stop);
            let databases = self.database.one_shard_per_database().enumerate();
            let relays = databases.map(|(index, home)| {
                let sink = NatsSink::new(&self.bus, self.context, index);
                let woken = Arc::clone(self.outbox.wake(index));
                let database = self.database.clone();
                let interval = self.bus.batch_interval();
                let relay = DatabaseRelay::new(self.context, sink, database, home, woken, interval);
                relay.run(stop.clone())
            });
            tokio::try_join!(join_all(relays).map(Ok), check).map(drop)
        })
    }
}

/// The relay of one database.
struct DatabaseRelay<S> {
    context: &'static str,
    sink: S,
    woken: Arc<Notify>,
    /// A shard of its database.
    home: Shard,
    database: Database,
    holder: Uuid,
    held_until: Instant,
    starting: bool,
    low_water: i64,
    batch_interval: Duration,
    /// Not before then it begins to send again.
    next_batch_at: Instant,
    sync: StreamSync,
}

impl<S: Sink> DatabaseRelay<S> {
    fn new(
        context: &'static str,
        sink: S,
        database: Database,
        home: Shard,
        woken: Arc<Notify>,
        batch_interval: Duration,
    ) -> Self {
        Self {
            context,
            sink,
            woken,
            home,
            database,
            holder: EventId::mint().uuid(),
            held_until: Instant::now(),
            starting: true,
            low_water: 0,
            batch_interval,
            next_batch_at: Instant::now(),
            sync: StreamSync::Unknown,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        // Without them, polling is left.
        let others = note(self.sink.wake_ups().await);
        let mut wake_ups = others.unwrap_or_else(|| futures_util::stream::pending().boxed());
        let mut poll = interval(POLL);
        let mut check = interval(CHECK);
        let woken = Arc::clone(&self.woken);
        loop {
            let holds = note(self.hold_lease().await).unwrap_or(false);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = check.tick() => drop(note(self.check_and_sweep(holds).await)),
                Some(()) = wake_ups.next() => {
                    while wake_ups.next().now_or_never().flatten().is_some() {} // one look answers all
                    if holds {
                        note(self.publish_backlog(self.low_water).await);
                    }
                }
                () = woken.notified() => self.woken(holds).await,
                _ = poll.tick() => self.woken(holds).await,
            }
        }
        if self.held_until > Instant::now() {
            let rest = timeout(ACK_TIMEOUT, self.publish_backlog(self.low_water)).await;
            note(rest.unwrap_or(Ok(())));
            let holder = self.holder;
            note(self.write(move |db| store::drop_lease(db, holder).boxed()).await);
        }
    }

    /// Another copy holds the lease: it is told that there is work. (A copy that polls does so
    /// too: cheap, and it makes up for a wake-up that was lost.)
    async fn woken(&mut self, holds: bool) {
        if holds {
            note(self.publish_backlog(self.low_water).await);
        } else {
            note(self.sink.wake_others().await);
        }
    }

    /// Renews the lease when half of it is used. The database's clock decides who holds it; the local clock only decides
    /// when to renew. Two relays at once are harmless: only duplicates are sent. So a relay that starts takes over the
    /// lease at once, in case its holder was killed.
    async fn hold_lease(&mut self) -> Result<bool, sqlx::Error> {
        let now = Instant::now();
        if self.held_until > now + LEASE / 2 {
            return Ok(true);
        }
        let (holder, take_over) = (self.holder, self.starting);
        let hold = self
            .write(move |db| store::hold_lease(db, holder, LEASE.as_secs_f64(), take_over).boxed());
        let held = hold.await?;
        self.starting = false;
        if held {
            self.held_until = now + LEASE;
        }
        Ok(held)
    }

    /// Sends until nothing is left above the low-water mark. A long outbox goes in turns: whoever is to stop, or to
    /// look at the stream, does not wait for its end.
    async fn publish_backlog(&mut self, low_water: i64) -> anyhow::Result<()> {
        sleep_until(self.next_batch_at).await;
        self.next_batch_at = Instant::now() + self.batch_interval;
        for _ in 0..BATCHES_PER_TURN {
            if self.publish_batch(low_water).await? < BATCH as usize || !self.hold_lease().await? {
                return Ok(());
            }
        }
        self.woken.notify_one();
        Ok(())
    }

    async fn check_and_sweep(&mut self, holds: bool) -> anyhow::Result<()> {
        if !holds {
            return Ok(());
        }
        self.verify_or_resync().await?;
        self.publish_backlog(0).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        self.database.read(self.home, Freshness::Primary, read).await
    }

    async fn write<T, F>(&self, write: F) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        self.database.write(self.home, write).await
    }

    /// Whoever holds the lease by now does it, or does it again.
    fn step_down<T>(&mut self) -> anyhow::Result<T> {
        self.held_until = Instant::now();
        anyhow::bail!("another copy has taken over the lease")
    }
}

/// Logs a failure: the next round tries again.
fn note<T, E: Into<anyhow::Error>>(outcome: Result<T, E>) -> Option<T> {
    outcome
        .map_err(|error| {
            let error = format!("{:#}", error.into());
            tracing::warn!(error, "relay: will try again");
        })
        .ok()
}
