//! The relay: sends what the outbox holds, in any number of copies of which one works.
//!
//! It asks for whatever is not published (never for what lies above a number: commits become
//! visible out of order), pipelines, and marks only what the stream acknowledged. Every few
//! seconds and after a reconnect it looks at its last acknowledged message: a stream that does
//! not hold it was wiped or rolled back, and is filled again from the outbox. In a cluster it looks
//! before it counts on any acknowledgement: there another server may lead without a reconnect.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use crash::Point;
use database::{Database, Pool};
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use kernel::EventId;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::event::{Stored, headers};
use crate::store::{self, Acknowledged, Known};
use crate::{Bus, Outbox, PACE, metrics};

const LEASE: Duration = Duration::from_secs(5);
const BATCH: i64 = 512;
/// So many full batches at most go out before anything else has its turn.
const TURN: usize = 32;
/// The fallback when no wake-up arrived, from this process or by a poke of another.
const POLL: Duration = Duration::from_millis(250);
/// How often the stream's identity is checked, and everything is swept without the floor.
const CHECK: Duration = Duration::from_secs(5);
/// A server that was just elected to lead a stream may answer before it shows all that it holds; what is
/// missing for so long is lost.
const CATCHING_UP: Duration = Duration::from_secs(5);
/// About so many events one statement makes unpublished again.
const REWIND: i64 = 10_000;
const ACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How far below the newest position a fetch looks; only the sweep looks further.
const FLOOR_DEPTH: i64 = 10_000;
/// For so many days an outbox keeps what was published.
pub(crate) const OUTBOX_DAYS: i32 = 7;
const INBOX_DAYS: i32 = 30;

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
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let databases = 0..self.database.pools().len();
            join_all(databases.map(|index| One::new(&self, index).run(stop.clone()))).await;
            Ok(())
        })
    }
}

/// The relay of one database.
struct One {
    context: &'static str,
    bus: Bus,
    woken: Arc<Notify>,
    index: usize,
    pool: Pool,
    holder: Uuid,
    held_until: Instant,
    starting: bool,
    floor: i64,
    /// Not before then it begins to send again.
    rested: Instant,
    /// The connection on which the stream was last seen to hold what it had acknowledged.
    checked: Option<u64>,
    /// Since when the stream does not show what it had acknowledged.
    missing: Option<Instant>,
}

impl One {
    fn new(relay: &Relay, index: usize) -> Self {
        Self {
            context: relay.context,
            bus: relay.bus.clone(),
            woken: Arc::clone(relay.outbox.wake(index)),
            index,
            pool: relay.database.pools()[index].clone(),
            holder: EventId::mint().uuid(),
            held_until: Instant::now(),
            starting: true,
            floor: 0,
            rested: Instant::now(),
            checked: None,
            missing: None,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut pokes = self.pokes().await;
        let mut poll = interval(POLL);
        let mut check = interval(CHECK);
        let mut upkeep = interval(Duration::from_secs(3600));
        let woken = Arc::clone(&self.woken);
        loop {
            let holds = note(self.hold_lease().await).unwrap_or(false);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = check.tick() => {
                    note(self.measure().await);
                    note(self.check_and_sweep(holds).await);
                }
                _ = upkeep.tick() => {
                    note(store::upkeep(&self.pool, OUTBOX_DAYS, INBOX_DAYS).await);
                }
                Some(()) = pokes.next() => {
                    while pokes.next().now_or_never().flatten().is_some() {} // one look answers all
                    if holds {
                        note(self.drain(self.floor).await);
                    }
                }
                () = woken.notified() => self.woken(holds).await,
                _ = poll.tick() => self.woken(holds).await,
            }
        }
        if self.held_until > Instant::now() {
            note(timeout(ACK_TIMEOUT, self.drain(self.floor)).await.unwrap_or(Ok(())));
            note(store::drop_lease(&self.pool, self.holder).await);
        }
    }

    /// Another copy holds the lease: it is told that there is work. (A copy that polls pokes
    /// too: cheap, and it heals a poke that was lost.)
    async fn woken(&mut self, holds: bool) {
        if holds {
            note(self.drain(self.floor).await);
        } else if self.bus.is_connected() {
            let poked = self.bus.client().publish(self.poke_subject(), "".into()).await;
            note(poked);
        }
    }

    async fn pokes(&self) -> BoxStream<'static, ()> {
        let subscription = self.bus.client().subscribe(self.poke_subject()).await;
        match note(subscription) {
            Some(subscription) => subscription.map(drop).boxed(),
            None => futures_util::stream::pending().boxed(), // polling is left
        }
    }

    fn poke_subject(&self) -> String {
        format!("souk-poke.{}.{}", self.context, self.index)
    }

    /// Renewed at half time. The local clock only decides when to renew; the database's decides
    /// who holds it and may mark, and two at once send duplicates, no worse. So a relay that starts seizes it:
    /// it may well follow one that was killed, and nobody shall wait for a dead one's lease.
    async fn hold_lease(&mut self) -> Result<bool, sqlx::Error> {
        let now = Instant::now();
        if self.held_until > now + LEASE / 2 {
            return Ok(true);
        }
        let (seconds, seize) = (LEASE.as_secs_f64(), self.starting);
        let held = store::hold_lease(&self.pool, self.holder, seconds, seize).await?;
        self.starting = false;
        if held {
            self.held_until = now + LEASE;
        }
        Ok(held)
    }

    /// Sends until nothing is left above the floor. A long outbox goes in turns: whoever is to stop, or to
    /// look at the stream, does not wait for its end.
    async fn drain(&mut self, floor: i64) -> anyhow::Result<()> {
        sleep_until(self.rested).await;
        self.rested = Instant::now() + PACE;
        for _ in 0..TURN {
            if self.pass(floor).await? < BATCH as usize || !self.hold_lease().await? {
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
        self.check_identity().await?;
        self.drain(0).await
    }

    /// In every copy, and first of all: what waits is to be seen above all while nothing can be sent.
    async fn measure(&self) -> Result<(), sqlx::Error> {
        metrics::outbox(self.context, self.index, store::depth(&self.pool).await?);
        Ok(())
    }

    /// One batch: fetch, publish pipelined, mark. Answers how many were fetched.
    ///
    /// A server that comes back may have forgotten what it acknowledged. What is published then
    /// takes the places of the lost, and once the stream is as long as it was nothing tells. So on
    /// a new connection the stream is looked at before anything is sent, and acknowledgements that
    /// may have come over another connection than the one that was looked at count for nothing.
    ///
    /// In a cluster a new leader may have forgotten behind a connection that held: most of the servers
    /// lost power, and what they had not synced yet. There the stream is looked at once more before what
    /// it acknowledged is marked, which moves the place to look at.
    async fn pass(&mut self, floor: i64) -> anyhow::Result<usize> {
        let connection = self.bus.connections();
        if self.checked != Some(connection) {
            self.check_identity().await?;
        }
        let events = store::unpublished(&self.pool, floor, BATCH).await?;
        let Some(newest) = events.last().map(|event| event.position) else { return Ok(0) };
        crash::point(Point::RelayFetched);
        let mut sends = Vec::with_capacity(events.len());
        for event in &events {
            sends.push(self.send(event));
        }
        let acks = join_all(sends).await;
        anyhow::ensure!(self.bus.connections() == connection, "another connection: sending again");
        if self.bus.is_clustered() {
            anyhow::ensure!(self.check_identity().await?, "the stream lost its end: sending again");
        }
        let (mut acknowledged, mut held_back) = (Vec::with_capacity(events.len()), HashSet::new());
        for (event, ack) in events.iter().zip(acks) {
            match ack {
                // Later events of an aggregate go again after the one that failed.
                Ok(_) if held_back.contains(&event.aggregate_id) => {}
                Ok(sequence) => acknowledged.push(Acknowledged { event, sequence }),
                Err(error) => {
                    held_back.insert(event.aggregate_id);
                    tracing::warn!(error = %error, "not published, will be sent again");
                }
            }
        }
        crash::point(Point::RelayPublished);
        if !store::mark_published(&self.pool, self.holder, &acknowledged).await? {
            return self.give_way();
        }
        crash::point(Point::RelayMarked);
        metrics::published(self.context, acknowledged.iter().map(|ack| ack.event));
        anyhow::ensure!(held_back.is_empty(), "some events could not be published");
        self.floor = newest - FLOOR_DEPTH;
        Ok(events.len())
    }

    async fn send(&self, event: &Stored) -> anyhow::Result<i64> {
        let headers = headers(event, self.context)?;
        let payload = event.payload.clone().into();
        let jetstream = self.bus.jetstream();
        let publish = jetstream.publish_with_headers(event.subject.clone(), headers, payload);
        // The client's own ack timeout does not cover this path (nats-io/nats.rs #1558).
        let ack = timeout(ACK_TIMEOUT, async { publish.await?.await }.boxed()).await??;
        Ok(i64::try_from(ack.sequence)?)
    }

    /// Whether this is still the stream that acknowledged, and holds the last message of those. If not,
    /// what came after the last one that it holds is to be sent again, and every consumer starts over.
    async fn check_identity(&mut self) -> anyhow::Result<bool> {
        let connection = self.bus.connections();
        self.checked = None; // nothing is sent until this comes to an end
        let missing = self.missing.take(); // whoever cannot be asked may be another one the next time
        let stream = self.bus.stream(self.context).await?;
        let Known { stream: before, last } = store::known(&self.pool).await?;
        let another = before.is_some_and(|before| before != made(&stream));
        let end = last.filter(|_| !another);
        let whole = match end {
            Some((sequence, id)) => holds(&stream, sequence, id).await?,
            None => !another,
        };
        if !whole {
            let since = missing.unwrap_or_else(Instant::now);
            self.missing = Some(since);
            let waits = !another && self.bus.is_clustered() && since.elapsed() < CATCHING_UP;
            anyhow::ensure!(!waits, "the stream does not show what it holds: looking again");
            self.fill_again(stream, end).await?;
            self.missing = None;
        } else if before.is_none() {
            self.now_ends_at(&stream, end).await?;
        }
        self.checked = Some(connection);
        Ok(whole)
    }

    /// `end` is what the stream has lost; none: another stream is in its place, and counts as empty.
    ///
    /// In a cluster, servers that remember differently may never agree again, and each delivers what it
    /// has itself (seen with 2.9.10: the leader had all, the consumer's was silent ten messages short of
    /// the end). So what is left of a stream there goes as well, and all is sent again.
    async fn fill_again(
        &mut self,
        mut stream: Stream,
        end: Option<(i64, Uuid)>,
    ) -> anyhow::Result<()> {
        let mut kept = None;
        // First of all: once the rows are rewound nothing is wrong any more, and nobody would do it.
        if end.is_some() && self.bus.is_clustered() {
            self.bus.delete(&stream).await?;
            stream = self.bus.stream(self.context).await?;
        } else {
            if let Some((sequence, _)) = end {
                kept = self.last_match(&stream, sequence).await?;
            }
            recreate_consumers(&stream).await?;
        }
        crash::point(Point::RelayRewinding);
        let above = kept.map_or(0, |(sequence, _)| sequence);
        let again = self.rewind(above).await?;
        // Last: until now whoever comes after a crash sees the same loss, and goes on.
        self.now_ends_at(&stream, kept).await?;
        self.floor = 0;
        tracing::error!(
            context = self.context,
            kept = above,
            again,
            "the stream lost acknowledged messages: sending them again"
        );
        Ok(())
    }

    /// In many statements: an outbox of days is more than one can change in its time.
    async fn rewind(&mut self, kept: i64) -> anyhow::Result<u64> {
        let mut again = 0;
        loop {
            let part = store::send_again_above(&self.pool, kept, REWIND).await?;
            again += part;
            if part == 0 {
                return Ok(again);
            }
            if !self.hold_lease().await? {
                return self.give_way();
            }
        }
    }

    async fn now_ends_at(
        &mut self,
        stream: &Stream,
        last: Option<(i64, Uuid)>,
    ) -> anyhow::Result<()> {
        if !store::ends_at(&self.pool, self.holder, made(stream), last).await? {
            return self.give_way();
        }
        Ok(())
    }

    /// Whoever holds the lease by now does it, or does it again.
    fn give_way<T>(&mut self) -> anyhow::Result<T> {
        self.held_until = Instant::now();
        anyhow::bail!("another copy relays by now")
    }

    /// Binary search for the last of our messages that the stream still holds; none when it holds
    /// nothing of ours. (What a stream lost is always its end; what went out of retention counts as held.)
    async fn last_match(&self, stream: &Stream, lost: i64) -> anyhow::Result<Option<(i64, Uuid)>> {
        let (mut kept, mut lost, mut last) = (0, lost, None);
        while lost - kept > 1 {
            let middle = kept + (lost - kept) / 2;
            match store::published_below(&self.pool, middle).await? {
                Some((sequence, _)) if sequence <= kept => kept = middle,
                Some((sequence, id)) if holds(stream, sequence, id).await? => {
                    (kept, last) = (middle, Some((sequence, id)));
                }
                Some((sequence, _)) => lost = sequence,
                None => kept = middle,
            }
        }
        Ok(last)
    }
}

/// When a stream was made, as exactly as a database keeps it.
fn made(stream: &Stream) -> OffsetDateTime {
    let at = stream.cached_info().created;
    at.replace_microsecond(at.microsecond()).unwrap_or(at)
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

async fn holds(stream: &Stream, sequence: i64, id: Uuid) -> anyhow::Result<bool> {
    let sequence = u64::try_from(sequence)?;
    let message = match stream.get_raw_message(sequence).await {
        Ok(message) => message,
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {
            let state = stream.get_info().await?.state;
            return Ok(sequence < state.first_sequence && sequence <= state.last_sequence);
        }
        Err(error) => return Err(error.into()),
    };
    let expected = id.to_string();
    Ok(message.headers.get("Nats-Msg-Id").is_some_and(|id| id.as_str() == expected))
}

/// A consumer's place in a stream that lost its end means nothing. Its owner notices that it
/// is gone and makes it anew, from the beginning; the inbox knows what was seen.
async fn recreate_consumers(stream: &Stream) -> anyhow::Result<()> {
    let mut names = stream.consumer_names();
    while let Some(name) = names.next().await {
        stream.delete_consumer(&name?).await?;
    }
    Ok(())
}
