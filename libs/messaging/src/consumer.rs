//! Pulls batches from a stream and acknowledges what was committed.

mod repair;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::{Info, PullConsumer};
use async_nats::jetstream::{AckKind, Message};
use crash::Point;
use database::{Database, Freshness};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use kernel::Shard;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::batch::{Outcome, Processor};
use crate::bus::{consumer_name, stream_name};
use crate::event::{delivered, known_kinds};
use crate::provisioning::Request;
use crate::pulls::{BATCH_EVENTS, IN_PROGRESS_EVERY, Pulls};
use crate::{Bus, DeadLetter, Delivered, Handler, MIN_BATCH_INTERVAL, metrics, spans, store};
use repair::{Health, Look};

/// How often dead letters are looked for that are to be tried again.
const DEAD_LETTERS: Duration = Duration::from_secs(1);
/// So often the lag is measured where events never cease.
const MEASURE: Duration = Duration::from_secs(5);
/// Why an event of a type that this build does not know becomes a dead letter.
const UNKNOWN_TYPE: &str = "no type of event that is known here";
/// Delay of the redelivery after the first transient failure; it doubles with each delivery.
const REDELIVERY_DELAY_MIN: Duration = Duration::from_millis(200);
/// The longest such delay.
const REDELIVERY_DELAY_MAX: Duration = Duration::from_secs(2);
const RECONNECT: Duration = Duration::from_millis(500);

/// The events of one context, taken in by another.
pub struct Consumer<H> {
    /// The context that takes them in.
    pub context: &'static str,
    /// The context that published them.
    pub source: &'static str,
    /// What is done with them.
    pub handler: H,
}

impl<H: Handler> Consumer<H> {
    /// Consumes until asked to stop; whatever breaks is tried again. Copies of a service share
    /// the durable consumer and so the work.
    ///
    /// # Errors
    /// When its user may not pull and acknowledge them.
    pub fn run(
        self,
        bus: Bus,
        database: Database,
        stop: CancellationToken,
    ) -> BoxFuture<'static, anyhow::Result<()>> {
        let name = consumer_name(self.context, self.source).into();
        let worker = Worker {
            name,
            context: self.context,
            source: self.source,
            handler: Arc::new(self.handler),
            bus,
            database,
        };
        Box::pin(worker.run(stop))
    }
}

struct Worker {
    name: Arc<str>,
    context: &'static str,
    source: &'static str,
    handler: Arc<dyn Handler>,
    bus: Bus,
    database: Database,
}

impl Worker {
    async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        metrics::consumer(&self.name);
        let acknowledging = format!("$JS.ACK.{}.{}.probe", stream_name(self.source), self.name);
        let subjects = [acknowledging, format!("souk-provision.{}.probe", self.context)];
        let check = self.bus.check_rights(&subjects, &stop);
        let consuming = self.consume_for_ever(&stop).map(Ok);
        let redriving = self.redrive_for_ever(&stop).map(Ok);
        tokio::try_join!(consuming, redriving, check).map(drop)
    }

    async fn consume_for_ever(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.consume(stop).await {
                let consumer = &*self.name;
                tracing::warn!(consumer, error = format!("{error:#}"), "consuming again");
                let _stopped = timeout(RECONNECT, stop.cancelled()).await;
            }
        }
    }

    /// Tries dead letters again that somebody has asked for.
    async fn redrive_for_ever(&self, stop: &CancellationToken) {
        while timeout(DEAD_LETTERS, stop.cancelled()).await.is_err() {
            for home in self.database.homes() {
                if let Err(error) = self.redrive(home).await {
                    tracing::warn!(consumer = &*self.name, %error, "dead letters: will try again");
                }
            }
        }
    }

    async fn redrive(&self, home: Shard) -> Result<(), sqlx::Error> {
        let known = known_kinds();
        let wanted: Vec<_> = known.iter().copied().filter(|it| self.handler.wants(it)).collect();
        let name = Arc::clone(&self.name);
        let dead_letters = self.database.read(home, Freshness::Primary, move |db| {
            let limit = BATCH_EVENTS as i64;
            async move { store::redriven(db, &name, &wanted, (&known, UNKNOWN_TYPE), limit).await }
                .boxed()
        });
        let dead_letters = dead_letters.await?;
        if dead_letters.is_empty() {
            return Ok(());
        }
        let key = |it: &DeadLetter| (it.event_id, it.redriven_at);
        // A build that did not know the type could not know that it does not matter here.
        let wanted = |it: &DeadLetter| self.handler.wants(&it.kind);
        let (dead_letters, unwanted): (Vec<_>, Vec<_>) = dead_letters.into_iter().partition(wanted);
        let mut done: Vec<_> = unwanted.iter().map(key).collect();
        let tried: Vec<_> = dead_letters.iter().map(key).collect();
        let events = dead_letters.into_iter().map(Delivered::from).collect();
        let outcomes = self.processed(home, events).await;
        let dealt_with = tried.into_iter().zip(outcomes);
        done.extend(dealt_with.filter(|(_, done)| *done == Outcome::Done).map(|(it, _)| it));
        let name = Arc::clone(&self.name);
        let forget = self.database.write(home, move |db| {
            async move { store::forget_redriven(db, &name, &done).await }.boxed()
        });
        forget.await
    }

    /// Pulls until something is wrong with the consumer. When nothing has come for a while it looks
    /// whether the consumer still exists, and whether it should have delivered.
    async fn consume(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut consumer = self.durable().await?;
        let (mut measured, mut health) = (Instant::now(), Health::CaughtUp);
        let mut pulls = Pulls::open(&self.bus, &stream_name(self.source), &self.name).await?;
        let mut working = interval(IN_PROGRESS_EVERY);
        working.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let messages = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                messages = pulls.next_batch(Instant::now() + health.patience()) => messages?,
            };
            if messages.is_empty() {
                health = self.check_and_repair(&mut consumer, health).await?;
                measured = Instant::now();
                continue;
            }
            health = Health::CaughtUp;
            let rested = Instant::now() + MIN_BATCH_INTERVAL;
            self.process_in_progress(messages, &mut pulls, &mut working).await?;
            sleep_until(rested).await;
            if measured.elapsed() >= MEASURE {
                self.measure(&mut consumer).await?;
                measured = Instant::now();
            }
        }
        acknowledge(pulls.close().await, AckKind::Nak(None)).await;
        Ok(())
    }

    /// Processes a batch, and keeps it and what waits behind it from being delivered elsewhere meanwhile.
    async fn process_in_progress(
        &self,
        messages: Vec<Message>,
        pulls: &mut Pulls,
        working: &mut Interval,
    ) -> anyhow::Result<()> {
        let taken: Vec<Subject> = messages.iter().filter_map(|it| it.reply.clone()).collect();
        let mut processing = pin!(self.process(messages));
        let mut refused = None; // what is being processed comes to its end first
        if !pulls.has_unread() {
            working.reset(); // nothing has waited here
        }
        loop {
            // In the branch, and not behind it: a bus that takes nothing does not hold up what is processed.
            let say = async {
                working.tick().await;
                pulls.in_progress(&taken).await
            };
            tokio::select! {
                biased;
                () = &mut processing => break,
                said = say, if refused.is_none() => refused = said.err(),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The durable consumer; the provisioner creates it when it is missing.
    async fn durable(&self) -> anyhow::Result<PullConsumer> {
        let source = self.source.to_owned();
        let (bus, request) = (&self.bus, Request::CreateConsumer { source });
        match bus.stream(self.source).await?.get_consumer(&self.name).await {
            Ok(consumer) => Ok(consumer),
            Err(error) => {
                tracing::info!(consumer = &*self.name, error, "asking for the consumer");
                bus.ask(self.context, &request).await?;
                let created = bus.stream(self.source).await?.get_consumer(&self.name).await;
                created.map_err(anyhow::Error::from_boxed)
            }
        }
    }

    /// Looks how the consumer stands, and has a broken one created again, from the stream's beginning.
    async fn check_and_repair(
        &self,
        consumer: &mut PullConsumer,
        health: Health,
    ) -> anyhow::Result<Health> {
        let info = self.measure(consumer).await?;
        let stream = self.bus.stream(self.source).await?;
        let state = &stream.cached_info().state;
        let health = health.after(Look::at(&info, state), Instant::now());
        if health == Health::Broken {
            let source = self.source.to_owned();
            self.bus.ask(self.context, &Request::RecreateConsumer { source }).await?;
            anyhow::bail!("the consumer was silent: it was created again");
        }
        Ok(health)
    }

    async fn measure(&self, consumer: &mut PullConsumer) -> anyhow::Result<Info> {
        let info = consumer.info().await?.clone(); // an error when it has vanished
        metrics::lag(&self.name, info.num_pending, info.num_ack_pending);
        Ok(info)
    }

    async fn process(&self, messages: Vec<Message>) {
        metrics::delivered(&self.name, &messages);
        let mut groups: Vec<(Shard, Group)> =
            self.database.homes().map(|home| (home, Group::default())).collect();
        let (mut done, mut undeliverable) = (Vec::new(), Vec::new());
        for message in messages {
            match delivered(&message) {
                Ok(event) if self.handler.wants(&event.kind) => {
                    groups[self.database.index_of(event.shard())].1.push(event, message);
                }
                Ok(event) if event.is_known() => done.push(message),
                Ok(event) => undeliverable.push((message, event, UNKNOWN_TYPE.to_owned())),
                Err(reason) => {
                    let event = unreadable(&message);
                    undeliverable.push((message, event, reason));
                }
            }
        }
        acknowledge(done, AckKind::Ack).await;
        let applied = groups.into_iter().map(|(home, group)| self.apply(home, group));
        join_all(applied).await;
        for (message, event, reason) in undeliverable {
            self.dead_letter(message, event, &reason).await; // they hold up nobody
        }
    }

    async fn apply(&self, home: Shard, group: Group) {
        if group.events.is_empty() {
            return;
        }
        let outcomes = self.processed(home, group.events).await;
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for (message, outcome) in group.messages.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Done => done.push(message),
                Outcome::Redeliver => again.push(message),
            }
        }
        crash::point(Point::ConsumerHandled);
        acknowledge(done, AckKind::Ack).await;
        crash::point(Point::ConsumerAcknowledged);
        for message in again {
            let deliveries = message.info().map_or(1, |info| info.delivered);
            acknowledge([message], AckKind::Nak(Some(back_off(deliveries)))).await;
        }
    }

    async fn processed(&self, home: Shard, events: Vec<Delivered>) -> Vec<Outcome> {
        let (batch, events) = spans::process(&self.name, &stream_name(self.source), events);
        let events: Arc<[Delivered]> = events.into();
        metrics::batch(&self.name, events.len());
        self.processor().process(home, &events, 0..events.len()).instrument(batch).await
    }

    fn processor(&self) -> Processor<'_> {
        Processor { consumer: &self.name, database: &self.database, handler: &self.handler }
    }

    async fn dead_letter(&self, message: Message, event: Delivered, reason: &str) {
        match self.processor().dead_letter(event.shard(), event.clone(), 1, reason).await {
            Ok(()) => {
                let (consumer, kind) = (&*self.name, &event.kind);
                tracing::error!(consumer, kind, subject = event.subject, reason, "dead-lettered");
                metrics::dead_lettered(&self.name);
                acknowledge([message], AckKind::Ack).await;
            }
            Err(error) => tracing::warn!(%error, "a bad message could not be dead-lettered yet"),
        }
    }
}

/// A message that is no event of ours. It has no id that could be trusted: stream time and
/// sequence name it.
fn unreadable(message: &Message) -> Delivered {
    let (at, sequence) = match message.info() {
        Ok(info) => (info.published, info.stream_sequence),
        Err(_) => (kernel::clock::now(), 0), // only a stream delivers to us
    };
    Delivered {
        event_id: Uuid::from_u64_pair(at.unix_timestamp_nanos() as u64, sequence),
        kind: String::new(),
        aggregate_id: Uuid::nil(),
        occurred_at: at,
        span: Span::none(),
        subject: message.subject.to_string(),
        traceparent: None,
        payload: message.payload.clone(),
    }
}

#[derive(Default)]
struct Group {
    events: Vec<Delivered>,
    messages: Vec<Message>,
}

impl Group {
    fn push(&mut self, event: Delivered, message: Message) {
        self.events.push(event);
        self.messages.push(message);
    }
}

/// How long a message rests that has failed at this delivery. The server's count is of all reasons.
fn back_off(deliveries: i64) -> Duration {
    let doublings = u32::try_from(deliveries.saturating_sub(1)).unwrap_or_default().min(8);
    (REDELIVERY_DELAY_MIN * (1 << doublings)).min(REDELIVERY_DELAY_MAX)
}

/// An acknowledgement that is lost costs one more delivery, which the inbox knows.
async fn acknowledge(messages: impl IntoIterator<Item = Message>, kind: AckKind) {
    for message in messages {
        if let Err(error) = message.ack_with(kind).await {
            tracing::debug!(%error, "not acknowledged");
        }
    }
}
