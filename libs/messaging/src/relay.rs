//! The relay: sends what the outbox holds, in any number of copies of which one works.
//!
//! One copy is active, by a lease (leader election); rows are not claimed with `skip locked`. It reads unpublished rows and
//! not rows after the last id that it has seen, because commits can become visible out of order: a low-water mark is only
//! a hint, and a sweep without it finds the rest. It sends many at a time and marks only those that the stream acknowledged. Every few
//! seconds and after a reconnect it looks at its last acknowledged message: a stream that does
//! not hold it was wiped or rolled back, and is filled again from the outbox. In a cluster it looks
//! before it trusts an acknowledgement: the leader can change there without a reconnect.

mod checkpoint;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crash::Point;
use database::{Database, Freshness};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use kernel::{EventId, Shard};
use sqlx::PgConnection;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::event::{Stored, headers};
use crate::store::{self, Acknowledged};
use crate::{Bus, MIN_BATCH_INTERVAL, Outbox, metrics, spans};
use checkpoint::StreamSync;

const LEASE: Duration = Duration::from_secs(5);
const BATCH: i64 = 512;
/// So many full batches at most go out before anything else has its turn.
const TURN: usize = 32;
/// The fallback when no wake-up arrived, from this process or by one of another copy.
const POLL: Duration = Duration::from_millis(250);
/// How often the stream is compared with the checkpoint, and everything is swept without the low-water mark.
const CHECK: Duration = Duration::from_secs(5);
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How far below the newest position a fetch looks; only the sweep looks further.
const LOW_WATER_DEPTH: i64 = 10_000;

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
            let databases = self.database.homes().enumerate();
            let relays = databases.map(|at| DatabaseRelay::new(&self, at).run(stop.clone()));
            tokio::try_join!(join_all(relays).map(Ok), check).map(drop)
        })
    }
}

/// The relay of one database.
struct DatabaseRelay {
    context: &'static str,
    bus: Bus,
    woken: Arc<Notify>,
    index: usize,
    /// A shard of its database.
    home: Shard,
    database: Database,
    holder: Uuid,
    held_until: Instant,
    starting: bool,
    low_water: i64,
    /// Not before then it begins to send again.
    rested: Instant,
    sync: StreamSync,
}

impl DatabaseRelay {
    fn new(relay: &Relay, (index, home): (usize, Shard)) -> Self {
        Self {
            context: relay.context,
            bus: relay.bus.clone(),
            woken: Arc::clone(relay.outbox.wake(index)),
            index,
            home,
            database: relay.database.clone(),
            holder: EventId::mint().uuid(),
            held_until: Instant::now(),
            starting: true,
            low_water: 0,
            rested: Instant::now(),
            sync: StreamSync::Unknown,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut wake_ups = self.wake_ups().await;
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
                        note(self.drain(self.low_water).await);
                    }
                }
                () = woken.notified() => self.woken(holds).await,
                _ = poll.tick() => self.woken(holds).await,
            }
        }
        if self.held_until > Instant::now() {
            note(timeout(ACK_TIMEOUT, self.drain(self.low_water)).await.unwrap_or(Ok(())));
            let holder = self.holder;
            note(self.write(move |db| store::drop_lease(db, holder).boxed()).await);
        }
    }

    /// Another copy holds the lease: it is told that there is work. (A copy that polls does so
    /// too: cheap, and it makes up for a wake-up that was lost.)
    async fn woken(&mut self, holds: bool) {
        if holds {
            note(self.drain(self.low_water).await);
        } else if self.bus.is_connected() {
            let woken_up = self.bus.client().publish(self.wake_up_subject(), "".into()).await;
            note(woken_up);
        }
    }

    async fn wake_ups(&self) -> BoxStream<'static, ()> {
        let subscription = self.bus.client().subscribe(self.wake_up_subject()).await;
        match note(subscription) {
            Some(subscription) => subscription.map(drop).boxed(),
            None => futures_util::stream::pending().boxed(), // polling is left
        }
    }

    fn wake_up_subject(&self) -> String {
        format!("souk-poke.{}.{}", self.context, self.index)
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
    async fn drain(&mut self, low_water: i64) -> anyhow::Result<()> {
        sleep_until(self.rested).await;
        self.rested = Instant::now() + MIN_BATCH_INTERVAL;
        for _ in 0..TURN {
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
        self.drain(0).await
    }

    /// One batch: fetch, publish pipelined, mark. Answers how many were fetched.
    ///
    /// After a restart the server may have lost messages that it has acknowledged. New messages then get the same
    /// sequence numbers. As soon as the stream reaches its old length, the length does not show the loss any more. So on
    /// a new connection the stream is compared before anything is sent, and acknowledgements count only when they
    /// come over the connection on which it was compared.
    ///
    /// In a cluster a new leader may have forgotten behind a connection that held: most of the servers
    /// lost power, and what they had not synced yet. There the stream is looked at once more before what
    /// it acknowledged is marked, which moves the place to look at.
    async fn publish_batch(&mut self, low_water: i64) -> anyhow::Result<usize> {
        let connection = self.bus.connections();
        if self.sync != (StreamSync::Verified { connection }) {
            self.verify_or_resync().await?;
        }
        let events = self.read(move |db| store::unpublished(db, low_water, BATCH).boxed()).await?;
        let Some(newest) = events.last().map(|event| event.position) else { return Ok(0) };
        crash::point(Point::RelayFetched);
        let mut sends = Vec::with_capacity(events.len());
        for event in &events {
            sends.push(self.send(event));
        }
        let acks = join_all(sends).await;
        anyhow::ensure!(self.bus.connections() == connection, "another connection: sending again");
        if self.bus.is_clustered() {
            anyhow::ensure!(
                self.verify_or_resync().await?,
                "the stream lost its end: sending again"
            );
        }
        let (mut acknowledged, mut held_back) = (Vec::with_capacity(events.len()), HashSet::new());
        for (event, ack) in events.iter().zip(acks) {
            match ack {
                // Later events of an aggregate go again after the one that failed.
                Ok(_) if held_back.contains(&event.aggregate_id) => {}
                Ok(sequence) => acknowledged.push(Acknowledged::new(event, sequence)),
                Err(error) => {
                    held_back.insert(event.aggregate_id);
                    tracing::warn!(error = %error, "not published, will be sent again");
                }
            }
        }
        crash::point(Point::RelayPublished);
        let (holder, acks) = (self.holder, acknowledged.clone());
        let mark = self
            .write(move |db| async move { store::mark_published(db, holder, &acks).await }.boxed());
        if !mark.await? {
            return self.step_down();
        }
        crash::point(Point::RelayMarked);
        metrics::published(self.context, acknowledged.iter().map(|ack| ack.occurred_at));
        anyhow::ensure!(held_back.is_empty(), "some events could not be published");
        self.low_water = newest - LOW_WATER_DEPTH;
        Ok(events.len())
    }

    async fn send(&self, event: &Stored) -> anyhow::Result<i64> {
        let span = spans::publish(event);
        let traceparent = telemetry::context::of(&span).or_else(|| event.traceparent.clone());
        let headers = headers(event, self.context, traceparent.as_deref())?;
        let payload = event.payload.clone().into();
        let jetstream = self.bus.jetstream();
        let publish = jetstream.publish_with_headers(event.subject.clone(), headers, payload);
        // The client's own ack timeout does not cover this path (nats-io/nats.rs #1558).
        let acknowledged = async { publish.await?.await }.instrument(span).boxed();
        let ack = timeout(ACK_TIMEOUT, acknowledged).await??;
        // A cluster's leader of before 2.10.20 so answers a second time what it has not stored the first
        // time yet (nats-server #5827).
        anyhow::ensure!(ack.sequence > 0, "not stored yet");
        Ok(i64::try_from(ack.sequence)?)
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
