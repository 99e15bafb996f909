//! One function per command and query: load, decide, store and publish in one transaction.

mod notices;
mod staff;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use batching::{Batcher, Unanswered};
use crash::Point;
use database::{Database, Freshness, ONLY_SHARD, Tx};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::{Money, OrderId, UserId};
use messaging::{Outbox, Outgoing};
use sqlx::PgConnection;
use telemetry::catalogue::{PAYMENT_EXPIRED, PAYMENT_WAITING};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::domain::payment::State;
use crate::domain::{CardToken, Effect, Label, METHODS_MAX, News, Payment, RefundId, Rejection};
use crate::events;
use crate::store::{self, Called, Heard, Missed, NewRefund, Owed, Repaid, Transfer};
use crate::webhook::{Notice, Signatures};
use crate::worker::{self, BATCH, Finished, Task, Work};

const RECORD_AGAIN: Duration = Duration::from_millis(200);
/// How long a result waits for the results of calls in flight, to share one transaction (micro-batching).
const LINGER: Duration = Duration::from_millis(4);
/// Maximum number of payments that one transaction ends because their pay-by has passed.
const MISSED_MAX: i64 = 256;

pub(crate) use staff::Decided;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The database did.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The batch that it was part of broke down.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) work: Work,
    signatures: Signatures,
    /// Takes in the provider's notices: those of one moment with one statement.
    notices: Batcher<Notice, Result<(), Error>>,
}

impl App {
    pub(crate) fn new(
        database: &Database,
        outbox: &Outbox,
        work: Work,
        signatures: Signatures,
    ) -> Self {
        let notices = notices::batcher(database, &work);
        Self { database: database.clone(), outbox: outbox.clone(), work, signatures, notices }
    }

    /// Keeps a card for the user. A card that is kept already gets the new label.
    pub(crate) async fn add_method(
        &self,
        user: UserId,
        card: CardToken,
        label: Label,
    ) -> Result<store::Method, Error> {
        let text = label.text().to_owned();
        let add = self.write(move |db| {
            let at_most = METHODS_MAX as i64;
            async move { store::add_method(db, user, &card, &label, at_most).await }.boxed()
        });
        let id = add.await?.ok_or(Rejection::TooManyMethods { max: METHODS_MAX })?;
        Ok(store::Method { id, label: text })
    }

    /// The user's cards, newest first.
    pub(crate) async fn methods(&self, user: UserId) -> Result<Vec<store::Method>, Error> {
        Ok(self.read(move |db| store::methods(db, user).boxed()).await?)
    }

    /// The payment of one of the user's orders.
    pub(crate) async fn payment(&self, user: UserId, order: OrderId) -> Result<Payment, Error> {
        let payment = self.read(move |db| store::payment(db, order).boxed()).await?;
        let owned = payment.filter(|payment| payment.wish.is_some_and(|wish| wish.user == user));
        owned.ok_or(Error::Rejected(Rejection::PaymentNotFound))
    }

    /// Handles a webhook of the provider: a hint to ask it about a payment. An unreadable one is ignored.
    pub(crate) async fn receive_webhook(&self, body: &[u8], signature: &str) -> Result<(), Error> {
        self.signatures.check(body, signature)?;
        let Some(notice) = Notice::read(body) else {
            tracing::warn!("a signed notice of the provider says nothing known");
            return Ok(());
        };
        let noted = self.notices.ask(notice).await?;
        crash::point(Point::WebhookNoted);
        noted
    }

    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        self.database.read(ONLY_SHARD, Freshness::Primary, read).await
    }

    pub(crate) async fn write<T, F>(&self, write: F) -> Result<T, sqlx::Error>
    where
        F: for<'c> FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>
            + Send
            + 'static,
        T: Send + 'static,
    {
        self.database.write(ONLY_SHARD, write).await
    }

    /// Records results until their channel closes: all that are ready, in one transaction. While calls are `under_way`,
    /// a result waits a moment for theirs.
    pub(crate) async fn record_all(
        &self,
        mut results: mpsc::Receiver<Finished>,
        under_way: impl Fn() -> bool,
        stop: &CancellationToken,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        while results.recv_many(&mut batch, BATCH).await > 0 {
            let until = Instant::now() + LINGER;
            while batch.len() < BATCH && under_way() {
                match timeout_at(until, results.recv_many(&mut batch, BATCH)).await {
                    Ok(more) if more > 0 => {}
                    _ => break, // late, or the last one
                }
            }
            let batch: Arc<[Finished]> = batch.drain(..).collect();
            self.record_or_skip(&batch, 0..batch.len(), stop).await;
        }
    }

    /// Retries for ever while the database is unavailable. A batch that fails is split, so that a result which cannot
    /// be recorded blocks no other: it is dropped, and its lease expires.
    async fn record_or_skip(
        &self,
        batch: &Arc<[Finished]>,
        part: Range<usize>,
        stop: &CancellationToken,
    ) {
        while let Err(error) = self.record(batch, part.clone()).await {
            if database::is_transient(&error) && !stop.is_cancelled() {
                tracing::warn!(%error, "results will be written again");
                sleep(RECORD_AGAIN).await;
            } else if let [one] = &batch[part.clone()] {
                tracing::error!(order_id = %one.task.order(), %error, "a result was not written");
                return;
            } else {
                let middle = part.start + part.len() / 2;
                Box::pin(self.record_or_skip(batch, part.start..middle, stop)).await;
                return Box::pin(self.record_or_skip(batch, middle..part.end, stop)).await;
            }
        }
    }

    /// Ends payments that wait for their first call although their pay-by has passed.
    pub(crate) async fn expire_missed(&self) -> Result<(), sqlx::Error> {
        loop {
            let app = self.clone();
            let expire =
                self.database.transaction(ONLY_SHARD, move |tx| app.expire_some_missed(tx).boxed());
            let expired = expire.await?;
            PAYMENT_EXPIRED.inc_by(expired.unsigned_abs());
            if expired < MISSED_MAX {
                return Ok(());
            }
        }
    }

    async fn expire_some_missed(self, tx: &mut Tx) -> Result<i64, sqlx::Error> {
        let mut missed = store::lock_missed(tx, MISSED_MAX).await?;
        let mut outgoing = Vec::new();
        for Missed { payment, traceparent } in &mut missed {
            let span = worker::span("expire payment", payment.order, traceparent.as_deref());
            // Only a return can be refused.
            for effect in payment.hear(News::Expired).unwrap_or_default() {
                outgoing.extend(events::to_outgoing(payment.order, &effect, &span));
            }
        }
        if missed.is_empty() {
            return Ok(0);
        }
        let ended = missed.iter().map(|Missed { payment, .. }| Heard {
            decline_reason: Some(events::EXPIRED.to_owned()),
            ..Heard::of(payment)
        });
        store::update(tx, &ended.collect::<Vec<_>>()).await?;
        self.outbox.publish(tx, &outgoing).await?;
        Ok(missed.len() as i64)
    }

    /// Records the results of a batch of calls to the provider, in one transaction.
    async fn record(&self, batch: &Arc<[Finished]>, part: Range<usize>) -> Result<(), sqlx::Error> {
        let (app, batch) = (self.clone(), Arc::clone(batch));
        let record = self.database.transaction(ONLY_SHARD, move |tx| {
            async move { app.record_in(tx, &batch[part]).await }.boxed()
        });
        record.await
    }

    async fn record_in(&self, tx: &mut Tx, finished: &[Finished]) -> Result<(), sqlx::Error> {
        let orders: BTreeSet<OrderId> = finished.iter().map(|done| done.task.order()).collect();
        let orders: Vec<OrderId> = orders.into_iter().collect();
        let mut payments = store::lock(tx, &orders).await?;
        if payments.values().any(|payment| payment.state != State::Pending) {
            store::load_refunds(tx, &mut payments).await?;
        }
        let mut changes = Changes::default();
        for done in finished {
            if let Some(payment) = payments.get_mut(&done.task.order()) {
                changes.take_in(payment, done);
            }
        }
        let Changes { called, transfers, refunds, repaid, outgoing } = changes;
        let called: Vec<Called> = called.into_values().collect();
        let repaid: Vec<Repaid> = repaid.into_values().collect();
        if !called.is_empty() || !transfers.is_empty() {
            store::record(tx, &called, &transfers).await?;
        }
        if !repaid.is_empty() {
            store::record_refunds(tx, &repaid).await?;
        }
        if !refunds.is_empty() {
            store::insert_refunds(tx, &refunds).await?;
        }
        self.outbox.publish(tx, &outgoing).await?;
        let expired = |called: &&Called| called.decline_reason.as_deref() == Some(events::EXPIRED);
        let expired = called.iter().filter(expired).count() as u64;
        let due = !refunds.is_empty() || called.iter().any(|it| it.state == State::Cancelling);
        let work = self.work.clone();
        tx.after_commit(move || {
            PAYMENT_EXPIRED.inc_by(expired);
            if due {
                work.wake();
            }
        });
        Ok(())
    }
}

impl App {
    /// Exports, every five seconds, how many payments and refunds wait for the provider and how many refused refunds
    /// wait for staff, until `stop`.
    pub(crate) async fn export_waiting_metrics(
        self,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut count = interval(Duration::from_secs(5));
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(count.tick()).await.is_some() {
            if let Err(error) = self.count_waiting().await {
                tracing::warn!(%error, "what waits could not be counted");
            }
        }
        Ok(())
    }

    async fn count_waiting(&self) -> Result<(), sqlx::Error> {
        let waiting = self.read(|db| store::waiting(db).boxed()).await?;
        PAYMENT_WAITING.with_label_values(&["payment"]).set(waiting.payments);
        PAYMENT_WAITING.with_label_values(&["refund"]).set(waiting.refunds);
        PAYMENT_WAITING.with_label_values(&["decision"]).set(waiting.decisions);
        Ok(())
    }
}

/// What a batch of calls is to write.
#[derive(Default)]
struct Changes {
    called: BTreeMap<OrderId, Called>,
    transfers: Vec<Transfer>,
    refunds: Vec<NewRefund>,
    repaid: BTreeMap<(OrderId, RefundId), Repaid>,
    outgoing: Vec<Outgoing>,
}

impl Changes {
    /// Applies the result of a call to its payment, and notes what is to be written.
    fn take_in(&mut self, payment: &mut Payment, done: &Finished) {
        let before = payment.state;
        // Only a return can be refused, and that is no answer of the provider.
        let effects = payment.hear(done.news.clone()).unwrap_or_default();
        let (mut capture_id, mut decline_reason) = (None, None);
        for effect in effects {
            self.outgoing.extend(events::to_outgoing(payment.order, &effect, &done.span));
            match effect {
                Effect::Captured { capture_id: id, amount } => {
                    self.book(&id, payment.order, ("psp_clearing", "customer_receipts"), amount);
                    capture_id = Some(id);
                }
                Effect::Declined(reason) => decline_reason = Some(reason),
                Effect::Expired => decline_reason = Some(events::EXPIRED.to_owned()),
                Effect::RefundAsked(refund) => {
                    let traceparent = telemetry::context::of(&done.span);
                    self.refunds.push(NewRefund { order: payment.order, refund, traceparent });
                }
                Effect::Settled(_) => {} // by staff, which no call is
                Effect::Refunded { refund, transfer_id } => {
                    let accounts = ("refunds", "psp_clearing");
                    self.book(&transfer_id, payment.order, accounts, refund.amount);
                }
            }
        }
        if payment.state != before || (payment.state.is_open() && done.is_capture()) {
            // Two calls for one payment may end together, when a lease was too short.
            let earlier = self.called.remove(&payment.order);
            let (known_id, known_reason) =
                earlier.map_or((None, None), |known| (known.capture_id, known.decline_reason));
            let called = Called {
                order: payment.order,
                state: payment.state,
                capture_id: capture_id.or(known_id),
                decline_reason: decline_reason.or(known_reason),
                attempts: done.task.attempts() + 1,
                pause_seconds: done.pause_seconds(payment.state),
                sent_seconds_ago: done.sent_at.map(|at| at.elapsed().as_secs_f64()),
            };
            self.called.insert(payment.order, called);
        }
        if let Task::Refund(owed) = &done.task {
            self.repay(owed, done);
        }
    }

    fn repay(&mut self, owed: &Owed, done: &Finished) {
        let (transfer_id, refusal) = match &done.news {
            News::Refunded(_, id) => (Some(id.clone()), None),
            News::RefundRefused(_, code) => (None, Some(code.clone())),
            _ => (None, None),
        };
        let (order, refund, attempts) = (owed.order, owed.refund, owed.attempts + 1);
        let pause_seconds = done.pause_seconds(State::Captured);
        let repaid = Repaid { order, refund, transfer_id, refusal, attempts, pause_seconds };
        let known = self.repaid.entry((order, refund)).or_insert(repaid);
        if let News::Refunded(_, id) = &done.news {
            known.transfer_id = Some(id.clone());
        }
    }

    fn book(
        &mut self,
        id: &str,
        order: OrderId,
        (debit, credit): (&'static str, &'static str),
        amount: Money,
    ) {
        self.transfers.push(Transfer { id: id.to_owned(), order, debit, credit, amount });
    }
}
