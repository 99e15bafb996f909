//! The worker calls the provider. Moving money needs the network, and a handler is one transaction: so a handler writes
//! an intent (a row), the worker calls the provider for it, and the results are written in a second transaction, one for
//! all results that are ready.
//!
//! Who works at an open row is in its columns:
//!
//! | state        | `leased_by`     | `leased_until`        | next                                                                        |
//! |--------------|-----------------|-----------------------|-----------------------------------------------------------------------------|
//! | never leased | null            | `-infinity`           | leased when a permit for first calls is free; a cancellation or its pay-by ends it without a call |
//! | leased       | the holder      | in the future         | renewed during the call, whose result ends the row or pauses it; the lease of a dead holder expires |
//! | paused       | null            | the end of a back-off | due then, or at once by a webhook                                           |
//! | due          | null, or a dead holder | in the past    | leased when a permit for retries is free; the provider is asked by key first |
//!
//! A new payment with a free permit is written as leased and handed over in memory: the usual case writes no claim. With
//! a slow provider no permit is free, and payments wait in the table in the order in which they came. A lease is short,
//! so that another process soon takes over what a killed one had in flight. Leases only save work: two workers at one
//! payment use the same key, and its row decides.

mod calls;
mod permits;

use std::convert::Infallible;
use std::future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crash::Point;
use futures_util::FutureExt as _;
use kernel::{EventId, OrderId};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info_span};

use crate::app::App;
use crate::domain::payment::State;
use crate::domain::{News, RefundId};
use crate::peers::Psp;
use crate::store::{self, Lease, Open, Owed};
use calls::carry_out;
use permits::{Permit, Permits};

const POLL: Duration = Duration::from_millis(250);
/// How long a lease lasts: no other worker takes the payment or refund meanwhile.
const LEASE: Duration = Duration::from_millis(1500);
/// How often a lease is renewed during a call.
const RENEW_EVERY: Duration = Duration::from_millis(500);
/// Rows read at once, and results written at once.
pub(crate) const BATCH: usize = 128;
const PAUSE_FIRST_SECONDS: f64 = 0.2;
const PAUSE_MAX_SECONDS: f64 = 5.0;
/// Back-off after a request that the provider rejects as malformed: an operator has to act.
const PAUSE_REFUSED_SECONDS: f64 = 30.0;

/// How handlers reach the worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Work {
    /// The lease of this process.
    pub lease: Lease,
    /// The longest that a call to the provider may take.
    pub call_max: Duration,
    permits: Permits,
    handed: mpsc::UnboundedSender<(OrderId, Permit)>,
    /// A flag: the table may have payments that were never leased.
    waiting: Arc<AtomicBool>,
    due: Arc<Notify>,
}

/// Payments that were handed over in memory, each with its permit: never more than there are permits.
pub(crate) type Handed = mpsc::UnboundedReceiver<(OrderId, Permit)>;

impl Work {
    /// At most `calls` first calls are in flight, and none takes longer than `call_max`.
    pub(crate) fn new(call_max: Duration, calls: NonZeroUsize) -> (Self, Handed) {
        let (sender, handed) = mpsc::unbounded_channel();
        let lease = Lease { holder: EventId::mint().uuid(), seconds: LEASE.as_secs_f64() };
        let (permits, waiting, due) = (Permits::new(calls), Arc::default(), Arc::default());
        (Self { lease, call_max, permits, handed: sender, waiting, due }, handed)
    }

    /// Permits for at most `most` first calls; none while other payments wait in the table.
    pub(crate) fn permits(&self, most: usize) -> Vec<Permit> {
        match self.waiting.load(Ordering::Relaxed) {
            true => Vec::new(),
            false => self.permits.acquire_first_calls(most),
        }
    }

    /// Hands over payments that this process has just written and leased.
    pub(crate) fn hand_over(&self, orders: Vec<(OrderId, Permit)>) {
        for order in orders {
            let _stopping = self.handed.send(order); // then its lease is given up
        }
    }

    /// Notes that payments wait in the table, and wakes the worker.
    pub(crate) fn note_waiting(&self) {
        self.waiting.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Wakes the worker: a payment or refund is due.
    pub(crate) fn wake(&self) {
        self.due.notify_one();
    }
}

/// A unit of work.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// The first call for a payment: the provider has never been called for it.
    First(Open),
    /// A retry: the provider may have been called for this payment.
    Again(Open),
    /// A refund that the provider has to execute.
    Refund(Owed),
}

impl Task {
    pub(crate) fn order(&self) -> OrderId {
        match self {
            Self::First(open) | Self::Again(open) => open.order,
            Self::Refund(owed) => owed.order,
        }
    }

    pub(crate) fn refund(&self) -> Option<RefundId> {
        match self {
            Self::First(_) | Self::Again(_) => None,
            Self::Refund(owed) => Some(owed.refund),
        }
    }

    pub(crate) fn attempts(&self) -> i32 {
        match self {
            Self::First(open) | Self::Again(open) => open.attempts,
            Self::Refund(owed) => owed.attempts,
        }
    }

    fn span(&self) -> Span {
        let (name, traceparent) = match self {
            Self::First(open) | Self::Again(open) if open.state == State::Cancelling => {
                ("void payment", &open.traceparent)
            }
            Self::First(open) | Self::Again(open) => ("capture payment", &open.traceparent),
            Self::Refund(owed) => ("refund payment", &owed.traceparent),
        };
        span(name, self.order(), traceparent.as_deref())
    }
}

/// Continues the trace of the event that asked for the payment.
pub(crate) fn span(name: &'static str, order: OrderId, traceparent: Option<&str>) -> Span {
    let span = info_span!(parent: None, "payment", otel.name = name, order_id = %order);
    if let Some(traceparent) = traceparent {
        telemetry::context::continue_from(&span, traceparent);
    }
    span
}

/// What a call came to.
pub(crate) struct Finished {
    pub task: Task,
    pub news: News,
    pub refused: bool,
    /// When the capture was sent, if one was.
    pub sent_at: Option<Instant>,
    pub span: Span,
}

impl Finished {
    pub(crate) fn is_capture(&self) -> bool {
        !matches!(self.task, Task::Refund(_))
    }

    /// When to try again. A payment that was cancelled during the call is another task, at once.
    pub(crate) fn pause_seconds(&self, state: State) -> f64 {
        match &self.task {
            Task::First(open) | Task::Again(open) if open.state != state => 0.0,
            _ if self.refused => PAUSE_REFUSED_SECONDS,
            task => {
                let doubled = 2f64.powi(task.attempts().clamp(0, 16));
                (PAUSE_FIRST_SECONDS * doubled).min(PAUSE_MAX_SECONDS)
            }
        }
    }
}

/// Calls the provider for whatever is due.
pub(crate) struct Worker {
    app: App,
    psp: Arc<dyn Psp>,
    handed: Handed,
    /// The last query found more due work than there were permits.
    more_is_due: bool,
    permits: Permits,
    running: JoinSet<()>,
}

impl Worker {
    pub(crate) fn new(app: &App, psp: Arc<dyn Psp>, handed: Handed) -> Self {
        let (app, permits) = (app.clone(), app.work.permits.clone());
        Self { app, psp, handed, more_is_due: false, permits, running: JoinSet::new() }
    }

    /// Works until `stop`; then lets calls finish, records their results, and releases
    /// its leases.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let app = self.app.clone();
        let (finished, results) = mpsc::channel(BATCH);
        let permits = self.permits.clone();
        tokio::join!(
            self.call_all(finished, &stop),
            app.record_all(results, || permits.are_taken(), &stop)
        );
        let holder = app.work.lease.holder;
        if let Err(error) = app.write(move |db| store::release(db, holder).boxed()).await {
            tracing::warn!(%error, "leases run out by themselves");
        }
        Ok(())
    }

    async fn call_all(mut self, finished: mpsc::Sender<Finished>, stop: &CancellationToken) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let due = Arc::clone(&self.app.work.due);
        let mut handed = Vec::with_capacity(BATCH);
        loop {
            let looked_up = tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = self.running.join_next() => self.use_free_permits(&finished).await,
                _ = self.handed.recv_many(&mut handed, BATCH) => {
                    self.start_handed(&mut handed, &finished).await
                }
                () = due.notified() => self.start_due(&finished).await,
                () = future::ready(()), if self.more_is_due && self.permits.has_room() => {
                    self.start_due(&finished).await
                }
                _ = poll.tick() => self.poll(&finished).await,
            };
            if let Err(error) = looked_up {
                tracing::warn!(%error, "payments: will look again");
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Reads the payments that were handed over and starts their calls. A payment that cannot be read is
    /// found again when its lease has expired.
    async fn start_handed(
        &mut self,
        handed: &mut Vec<(OrderId, Permit)>,
        finished: &mpsc::Sender<Finished>,
    ) -> Result<(), sqlx::Error> {
        let (orders, permits): (Vec<OrderId>, Vec<Permit>) = handed.drain(..).unzip();
        let holder = self.app.work.lease.holder;
        let open = self
            .app
            .read(move |db| async move { store::handed(db, &orders, holder).await }.boxed());
        let open = open.await?;
        for (open, permit) in open.into_iter().zip(permits) {
            self.start(Task::First(open), permit, finished);
        }
        Ok(())
    }

    /// Gives permits that were freed to payments that wait in the table.
    async fn use_free_permits(
        &mut self,
        finished: &mpsc::Sender<Finished>,
    ) -> Result<(), sqlx::Error> {
        while self.running.try_join_next().is_some() {}
        match self.app.work.waiting.load(Ordering::Relaxed) {
            true => self.start_waiting(finished).await,
            false => Ok(()),
        }
    }

    /// Leases the payments that have waited longest for their first call, as many as there are free permits.
    async fn start_waiting(
        &mut self,
        finished: &mpsc::Sender<Finished>,
    ) -> Result<(), sqlx::Error> {
        let (app, permits) = (self.app.clone(), self.permits.acquire_first_calls(BATCH));
        if permits.is_empty() {
            return Ok(());
        }
        app.work.waiting.store(false, Ordering::Relaxed); // before the query: a later payment sets it again
        let (lease, count) = (app.work.lease, permits.len());
        let claim = app.write(move |db| store::claim_waiting(db, lease, count as i64).boxed());
        let open = claim.await?;
        if open.len() == count {
            app.work.waiting.store(true, Ordering::Relaxed);
        }
        for (open, permit) in open.into_iter().zip(permits) {
            crash::point(Point::PaymentClaimed);
            self.start(Task::First(open), permit, finished);
        }
        Ok(())
    }

    /// Work without a wake-up: payments that other copies left in the table, and those whose pay-by has passed.
    async fn poll(&mut self, finished: &mpsc::Sender<Finished>) -> Result<(), sqlx::Error> {
        self.app.expire_missed().await?;
        self.start_waiting(finished).await?;
        self.start_due(finished).await
    }

    /// Leases due retries and refunds, as many as there are free permits.
    async fn start_due(&mut self, finished: &mpsc::Sender<Finished>) -> Result<(), sqlx::Error> {
        self.use_free_permits(finished).await?;
        let (app, lease) = (self.app.clone(), self.app.work.lease);
        let free = self.permits.free_retries() as i64;
        let open = app.write(move |db| store::claim(db, lease, free).boxed()).await?;
        let all_taken = open.len() as i64 == free;
        self.start_again(open.into_iter().map(Task::Again), finished);
        let free = self.permits.free_retries() as i64;
        let owed = app.write(move |db| store::claim_refunds(db, lease, free).boxed()).await?;
        self.more_is_due = all_taken || owed.len() as i64 == free;
        self.start_again(owed.into_iter().map(Task::Refund), finished);
        Ok(())
    }

    fn start_again(
        &mut self,
        tasks: impl Iterator<Item = Task>,
        finished: &mpsc::Sender<Finished>,
    ) {
        for task in tasks {
            crash::point(Point::PaymentClaimed);
            if let Some(permit) = self.permits.acquire_retry() {
                self.start(task, permit, finished);
            }
        }
    }

    fn start(&mut self, task: Task, permit: Permit, to: &mpsc::Sender<Finished>) {
        let (app, psp, finished) = (self.app.clone(), Arc::clone(&self.psp), to.clone());
        let span = task.span();
        let call = async move {
            let mut sent_at = None;
            let (news, refused) = tokio::select! {
                biased;
                came_to = carry_out(&*psp, &task, &mut sent_at) => came_to,
                never = keep_lease(&app, &task) => match never {},
            };
            let done = Finished { task, news, refused, sent_at, span: Span::current() };
            drop(permit); // the next call need not wait for this result to be written
            let _stopping = finished.send(done).await; // the results end with their last sender
        };
        self.running.spawn(call.instrument(span));
    }
}

/// Renews the lease of a task until this future is dropped, at the end of its call. After a renewal that failed the
/// next one may be in time; if not, another worker asks the provider as well, which is harmless.
async fn keep_lease(app: &App, task: &Task) -> Infallible {
    let (order, lease) = (task.order(), app.work.lease);
    loop {
        sleep(RENEW_EVERY).await;
        let refund = task.refund();
        let renew = app
            .write(move |db| async move { store::renew(db, lease, order, refund).await }.boxed());
        if let Err(error) = renew.await {
            tracing::debug!(%error, "a lease was not renewed");
        }
    }
}
