//! Pulls batches from a stream and acknowledges what was committed.

mod redriving;
mod repair;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::Info;
use crash::Point;
use database::Database;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use kernel::Shard;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::batch::{Outcome, Processor};
use crate::bus::{consumer_name, stream_name};
use crate::model::{Receipt, Received};
use crate::pulls::{IN_PROGRESS_EVERY, Pulls};
use crate::source::{NatsSource, Source};
use crate::{Bus, Delivered, Handler, metrics, spans};
use repair::{Health, Look};

/// How often the lag is measured where events never cease.
const MEASURE: Duration = Duration::from_secs(5);
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
        let name: Arc<str> = consumer_name(self.context, self.source).into();
        let stream = stream_name(self.source);
        let acknowledging = format!("$JS.ACK.{stream}.{name}.probe");
        let subjects = [acknowledging, format!("souk-provision.{}.probe", self.context)];
        let handler = Arc::new(self.handler);
        let source = NatsSource::new(bus.clone(), self.context, self.source);
        let batch_interval = bus.batch_interval();
        let worker = Worker { name, stream, handler, source, database, batch_interval };
        Box::pin(async move {
            metrics::consumer(&worker.name);
            let check = bus.check_rights(&subjects, &stop);
            let consuming = worker.consume_for_ever(&stop).map(Ok);
            let redriving = worker.redrive_for_ever(&stop).map(Ok);
            tokio::try_join!(consuming, redriving, check).map(drop)
        })
    }
}

/// Events whose home is one database.
type Group = Vec<(Receipt, Delivered)>;

struct Worker<S> {
    name: Arc<str>,
    /// Whose messages it gets.
    stream: String,
    handler: Arc<dyn Handler>,
    source: S,
    database: Database,
    batch_interval: Duration,
}

impl<S: Source> Worker<S> {
    async fn consume_for_ever(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.consume(stop).await {
                let consumer = &*self.name;
                tracing::warn!(consumer, error = format!("{error:#}"), "consuming again");
                let _stopped = timeout(RECONNECT, stop.cancelled()).await;
            }
        }
    }

    /// Pulls until something is wrong with the consumer. When nothing has come for a while it looks
    /// whether the consumer still exists, and whether it should have delivered.
    async fn consume(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        self.source.ensure_consumer().await?;
        let (mut measured, mut health) = (Instant::now(), Health::CaughtUp);
        let mut pulls = Pulls::open(&self.source).await?;
        let mut working = interval(IN_PROGRESS_EVERY);
        working.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let messages = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                messages = pulls.next_batch(Instant::now() + health.patience()) => messages?,
            };
            if messages.is_empty() {
                health = self.check_and_repair(health).await?;
                measured = Instant::now();
                continue;
            }
            health = Health::CaughtUp;
            let next_batch_at = Instant::now() + self.batch_interval;
            self.process_in_progress(messages, &mut pulls, &mut working).await?;
            sleep_until(next_batch_at).await;
            if measured.elapsed() >= MEASURE {
                self.fetch_info_and_record_lag().await?;
                measured = Instant::now();
            }
        }
        let unread = pulls.close().await.into_iter().map(|message| message.receipt);
        self.answer(unread, AckKind::Nak(None)).await;
        Ok(())
    }

    /// Processes a batch, and keeps it and what waits behind it from being delivered elsewhere meanwhile.
    async fn process_in_progress(
        &self,
        messages: Vec<Received>,
        pulls: &mut Pulls<'_, S>,
        working: &mut Interval,
    ) -> anyhow::Result<()> {
        let taken: Vec<Subject> = messages.iter().map(|it| it.receipt.reply.clone()).collect();
        let mut processing = pin!(self.process(messages));
        let mut refused = None; // what is being processed comes to its end first
        if !pulls.has_unread() {
            working.reset(); // nothing has waited here
        }
        loop {
            // In the branch, and not behind it: a bus that takes nothing does not hold up what is processed.
            let say = async {
                working.tick().await;
                pulls.extend_ack_deadlines(&taken).await
            };
            tokio::select! {
                biased;
                () = &mut processing => break,
                said = say, if refused.is_none() => refused = said.err(),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Looks how the consumer stands, and has a broken one created again, from the stream's beginning.
    async fn check_and_repair(&self, health: Health) -> anyhow::Result<Health> {
        let info = self.fetch_info_and_record_lag().await?;
        let stream = self.source.stream().await?;
        let health = health.after(Look::at(&info, &stream.state), Instant::now());
        if health == Health::Broken {
            self.source.recreate().await?;
            anyhow::bail!("the consumer was silent: it was created again");
        }
        Ok(health)
    }

    async fn fetch_info_and_record_lag(&self) -> anyhow::Result<Info> {
        let info = self.source.info().await?;
        metrics::lag(&self.name, info.num_pending, info.num_ack_pending);
        Ok(info)
    }

    async fn process(&self, messages: Vec<Received>) {
        metrics::delivered(&self.name, &messages);
        let mut groups: Vec<(Shard, Group)> =
            self.database.one_shard_per_database().map(|home| (home, Group::new())).collect();
        let (mut done, mut undeliverable) = (Vec::new(), Vec::new());
        for Received { receipt, event, defect } in messages {
            match defect {
                Some(reason) => undeliverable.push((receipt, event, reason)),
                None if self.handler.wants(&event.kind) => {
                    groups[self.database.index_of(event.shard())].1.push((receipt, event));
                }
                None => done.push(receipt),
            }
        }
        self.answer(done, AckKind::Ack).await;
        let applied = groups.into_iter().map(|(home, group)| self.apply(home, group));
        join_all(applied).await;
        for (receipt, event, reason) in undeliverable {
            self.dead_letter(receipt, event, &reason).await; // they hold up nobody
        }
    }

    async fn apply(&self, home: Shard, group: Group) {
        if group.is_empty() {
            return;
        }
        let (receipts, events): (Vec<_>, _) = group.into_iter().unzip();
        let outcomes = self.processed(home, events).await;
        let (mut done, mut again) = (Vec::new(), Vec::new());
        for (receipt, outcome) in receipts.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Done => done.push(receipt),
                Outcome::Redeliver => again.push(receipt),
            }
        }
        crash::point(Point::ConsumerHandled);
        self.answer(done, AckKind::Ack).await;
        crash::point(Point::ConsumerAcknowledged);
        for receipt in again {
            let later = AckKind::Nak(Some(back_off(receipt.deliveries)));
            self.answer([receipt], later).await;
        }
    }

    async fn processed(&self, home: Shard, events: Vec<Delivered>) -> Vec<Outcome> {
        let (batch, events) = spans::process_spans(&self.name, &self.stream, events);
        let events: Arc<[Delivered]> = events.into();
        metrics::batch(&self.name, events.len());
        self.processor().process(home, &events, 0..events.len()).instrument(batch).await
    }

    fn processor(&self) -> Processor<'_> {
        Processor { consumer: &self.name, database: &self.database, handler: &self.handler }
    }

    async fn dead_letter(&self, receipt: Receipt, event: Delivered, reason: &str) {
        match self.processor().dead_letter(event.shard(), event.clone(), 1, reason).await {
            Ok(()) => {
                let (consumer, kind) = (&*self.name, &event.kind);
                tracing::error!(consumer, kind, subject = event.subject, reason, "dead-lettered");
                metrics::dead_lettered(&self.name);
                self.answer([receipt], AckKind::Ack).await;
            }
            Err(error) => tracing::warn!(%error, "a bad message could not be dead-lettered yet"),
        }
    }

    /// An answer that is lost costs one more delivery, which the inbox knows.
    async fn answer(&self, receipts: impl IntoIterator<Item = Receipt>, answer: AckKind) {
        for receipt in receipts {
            if let Err(error) = self.source.answer(&receipt.reply, answer).await {
                tracing::debug!(error = format!("{error:#}"), "not answered");
            }
        }
    }
}

/// How long a message rests that has failed at this delivery. The server's count is of all reasons.
fn back_off(deliveries: i64) -> Duration {
    let doublings = u32::try_from(deliveries.saturating_sub(1)).unwrap_or_default().min(8);
    (REDELIVERY_DELAY_MIN * (1 << doublings)).min(REDELIVERY_DELAY_MAX)
}
