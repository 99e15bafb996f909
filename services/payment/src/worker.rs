//! Carries out what the rows ask for. Moving money needs the network and a handler is one
//! transaction, so a handler leaves an intent under a lease and this worker calls the provider;
//! what the calls come to is written in a transaction of its own, one for all that are ready.
//!
//! A payment is born leased to the process that wrote it, which hands it over in memory: no claim
//! is written for the usual case. Polling finds what was left behind (a lease that ran out, a
//! pause that is over, a cancellation), and asks the provider by key before anything else.
//! Leases only save work: two workers at one payment use the same key, and its row decides.

use std::collections::VecDeque;
use std::future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crash::Point;
use kernel::{EventId, OrderId};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, info_span};

use crate::app::App;
use crate::domain::News;
use crate::domain::payment::State;
use crate::peers::{Charge, Decision, Psp, PspError, Repayment};
use crate::store::{self, Lease, Open, Owed};

const POLL: Duration = Duration::from_millis(250);
/// Handed over and not read yet. Beyond that no events are taken in.
const HANDED_MAX: usize = 1024;
/// So many may come in with one batch of events.
const HANDED_AT_ONCE: usize = 256;
/// Rows read at once, and results written at once.
pub(crate) const BATCH: usize = 128;
/// A payment that was read longer ago is read again: it may have been cancelled.
const FRESH: Duration = Duration::from_millis(200);
const PAUSE_FIRST_SECONDS: f64 = 0.2;
const PAUSE_MAX_SECONDS: f64 = 5.0;
/// The provider does not understand us: somebody has to look.
const PAUSE_REFUSED_SECONDS: f64 = 30.0;

/// The worker's letter box. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Work {
    /// What this process leases.
    pub lease: Lease,
    handed: mpsc::Sender<(OrderId, Instant)>,
    due: Arc<Notify>,
}

/// The other side of [`Work`].
pub(crate) struct Handed {
    orders: mpsc::Receiver<(OrderId, Instant)>,
    due: Arc<Notify>,
}

impl Work {
    /// A lease outlasts two calls.
    pub(crate) fn new(timeout: Duration) -> (Self, Handed) {
        let (sender, orders) = mpsc::channel(HANDED_MAX);
        let due = Arc::new(Notify::new());
        let seconds = (timeout * 2 + Duration::from_secs(1)).as_secs_f64();
        let lease = Lease { holder: EventId::mint().uuid(), seconds };
        (Self { lease, handed: sender, due: Arc::clone(&due) }, Handed { orders, due })
    }

    /// This payment was written and leased by this process just now.
    pub(crate) fn hand_over(&self, order: OrderId) {
        // When it is full, the lease runs out and the poll finds the payment.
        let _full = self.handed.try_send((order, Instant::now()));
    }

    /// Whether another batch of events can be taken in.
    pub(crate) fn has_room(&self) -> bool {
        self.handed.capacity() >= HANDED_AT_ONCE
    }

    /// Something is due that nobody works at.
    pub(crate) fn due(&self) {
        self.due.notify_one();
    }
}

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    /// Nobody has called for this payment before.
    First(Open),
    /// Somebody may have.
    Again(Open),
    /// Money is owed.
    Refund(Owed),
}

impl Task {
    pub(crate) fn order(&self) -> OrderId {
        match self {
            Self::First(open) | Self::Again(open) => open.order,
            Self::Refund(owed) => owed.order,
        }
    }

    pub(crate) fn attempts(&self) -> i32 {
        match self {
            Self::First(open) | Self::Again(open) => open.attempts,
            Self::Refund(owed) => owed.attempts,
        }
    }

    /// Continues the trace of the event that asked for it.
    fn span(&self) -> Span {
        let (name, traceparent) = match self {
            Self::First(open) | Self::Again(open) if open.state == State::Cancelling => {
                ("void payment", &open.traceparent)
            }
            Self::First(open) | Self::Again(open) => ("capture payment", &open.traceparent),
            Self::Refund(owed) => ("refund payment", &owed.traceparent),
        };
        let span = info_span!(parent: None, "payment", otel.name = name, order_id = %self.order());
        if let Some(traceparent) = traceparent {
            telemetry::context::continue_from(&span, traceparent);
        }
        span
    }
}

/// What a call came to.
pub(crate) struct Finished {
    pub task: Task,
    pub news: News,
    pub refused: bool,
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
    /// Handed over and read, but not called for yet.
    ready: VecDeque<Open>,
    read_at: Instant,
    /// More is due than there were places for.
    more_is_due: bool,
    places: Places,
    running: JoinSet<()>,
}

/// How many calls there may be. First calls have places of their own, so that payments that hang
/// cannot hold up others.
#[derive(Clone)]
struct Places {
    first: Arc<Semaphore>,
    again: Arc<Semaphore>,
    firsts: usize,
    agains: usize,
}

impl Places {
    fn new(calls: NonZeroUsize) -> Self {
        let (firsts, agains) = (calls.get(), calls.get().div_ceil(2));
        let (first, again) = (Semaphore::new(firsts).into(), Semaphore::new(agains).into());
        Self { first, again, firsts, agains }
    }

    /// Whether it is worth looking for more that is due: half of its places are free.
    fn has_room(&self) -> bool {
        self.again.available_permits() * 2 >= self.agains
    }

    /// Whether somebody is calling.
    fn are_taken(&self) -> bool {
        let free = self.first.available_permits() + self.again.available_permits();
        free < self.firsts + self.agains
    }
}

impl Worker {
    pub(crate) fn new(app: &App, psp: Arc<dyn Psp>, handed: Handed, calls: NonZeroUsize) -> Self {
        Self {
            app: app.clone(),
            psp,
            handed,
            ready: VecDeque::new(),
            read_at: Instant::now(),
            more_is_due: false,
            places: Places::new(calls),
            running: JoinSet::new(),
        }
    }

    /// Works until asked to stop; then lets calls finish, writes what they came to, and gives up
    /// its leases.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let app = self.app.clone();
        let (finished, results) = mpsc::channel(BATCH);
        let places = self.places.clone();
        tokio::join!(
            self.call_all(finished, &stop),
            app.settle_all(results, || places.are_taken(), &stop)
        );
        if let Err(error) = store::release(app.database.sole(), app.work.lease.holder).await {
            tracing::warn!(%error, "leases run out by themselves");
        }
        Ok(())
    }

    async fn call_all(mut self, finished: mpsc::Sender<Finished>, stop: &CancellationToken) {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let due = Arc::clone(&self.handed.due);
        let mut handed = Vec::with_capacity(BATCH);
        loop {
            self.start_ready(&finished).await;
            let looked_up = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(_) = self.running.join_next() => Ok(()),
                _ = self.handed.orders.recv_many(&mut handed, BATCH), if self.ready.is_empty() => {
                    self.read(&mut handed).await
                }
                () = due.notified() => self.start_due(&finished).await,
                () = future::ready(()), if self.more_is_due && self.places.has_room() => {
                    self.start_due(&finished).await
                }
                _ = poll.tick() => self.start_due(&finished).await,
            };
            if let Err(error) = looked_up {
                tracing::warn!(%error, "payments: will look again");
                handed.clear();
            }
        }
        while self.running.join_next().await.is_some() {}
    }

    /// Looks at what was handed over, as it stands now. What waited long is leased anew.
    async fn read(&mut self, orders: &mut Vec<(OrderId, Instant)>) -> Result<(), sqlx::Error> {
        let (pool, lease) = (self.app.database.sole(), self.app.work.lease);
        let ids: Vec<OrderId> = orders.iter().map(|(id, _)| *id).collect();
        let waited = orders.iter().map(|(_, since)| since.elapsed()).max().unwrap_or_default();
        orders.clear();
        if waited.as_secs_f64() > lease.seconds / 3.0 {
            store::renew(pool, &ids, lease).await?;
        }
        self.ready = store::handed(pool, &ids, lease.holder).await?.into();
        self.read_at = Instant::now();
        Ok(())
    }

    async fn start_ready(&mut self, finished: &mpsc::Sender<Finished>) {
        while !self.ready.is_empty() {
            let Ok(place) = Arc::clone(&self.places.first).try_acquire_owned() else { return };
            if self.read_at.elapsed() > FRESH {
                let read_at = self.read_at;
                let mut orders = self.ready.drain(..).map(|open| (open.order, read_at)).collect();
                if let Err(error) = self.read(&mut orders).await {
                    tracing::warn!(%error, "payments: their leases will run out");
                    return;
                }
            }
            if let Some(open) = self.ready.pop_front() {
                self.start(Task::First(open), place, finished);
            }
        }
    }

    /// Leases what is due, as much as there are places for. What this process has leased itself
    /// may be in the queue still: while there is one, its leases count although they ran out.
    async fn start_due(&mut self, finished: &mpsc::Sender<Finished>) -> Result<(), sqlx::Error> {
        let (app, lease) = (self.app.clone(), self.app.work.lease);
        let queued = !self.ready.is_empty() || !self.handed.orders.is_empty();
        let free = self.places.again.available_permits() as i64;
        let open = store::claim(app.database.sole(), lease, queued, free).await?;
        let all_taken = open.len() as i64 == free;
        self.start_again(open.into_iter().map(Task::Again), finished);
        let free = self.places.again.available_permits() as i64;
        let owed = store::claim_refunds(app.database.sole(), lease, free).await?;
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
            if let Ok(place) = Arc::clone(&self.places.again).try_acquire_owned() {
                self.start(task, place, finished);
            }
        }
    }

    fn start(&mut self, task: Task, place: OwnedSemaphorePermit, to: &mpsc::Sender<Finished>) {
        let (psp, finished) = (Arc::clone(&self.psp), to.clone());
        let span = task.span();
        let call = async move {
            let (news, refused) = carry_out(&*psp, &task).await;
            let done = Finished { task, news, refused, span: Span::current() };
            drop(place); // the next call need not wait for this result to be written
            let _stopping = finished.send(done).await; // the results end with their last sender
        };
        self.running.spawn(call.instrument(span));
    }
}

/// The news that a task came to, and whether the provider did not understand it.
async fn carry_out(psp: &dyn Psp, task: &Task) -> (News, bool) {
    let decided = match task {
        Task::First(open) => capture(psp, open, true).await,
        Task::Again(open) => capture(psp, open, false).await,
        Task::Refund(owed) => refund(psp, owed).await,
    };
    match decided {
        Ok(news) => (news, false),
        Err(error @ PspError::Unknown(_)) => {
            tracing::warn!(order_id = %task.order(), %error, "the provider will be asked again");
            (News::Unknown, false)
        }
        Err(error @ PspError::Refused { .. }) => {
            tracing::error!(order_id = %task.order(), %error, "the provider does not understand");
            (News::Unknown, true)
        }
    }
}

/// Finds out what became of the payment's key, and uses it unless somebody may have done so.
async fn capture(psp: &dyn Psp, open: &Open, first: bool) -> Result<News, PspError> {
    let key = open.order.to_string();
    let card = match &open.card {
        Some(card) if open.state == State::Pending => card.clone(),
        _ => return psp.void(&key).await.map(news),
    };
    if !first && let Some(decision) = psp.ask(&key).await? {
        return Ok(news(decision));
    }
    let charge = Charge { key, card, amount: open.amount };
    match psp.capture(&charge).await {
        Ok(decision) => Ok(news(decision)),
        // No answer is not a no.
        Err(PspError::Unknown(error)) => match psp.ask(&charge.key).await {
            Ok(Some(decision)) => Ok(news(decision)),
            Ok(None) | Err(_) => Err(PspError::Unknown(error)),
        },
        Err(error) => Err(error),
    }
}

async fn refund(psp: &dyn Psp, owed: &Owed) -> Result<News, PspError> {
    let key = format!("{}.{}", owed.order, owed.refund.code());
    let repayment = Repayment { key, capture_id: owed.capture_id.clone(), amount: owed.amount };
    Ok(News::Refunded(owed.refund, psp.refund(&repayment).await?))
}

fn news(decision: Decision) -> News {
    match decision {
        Decision::Captured(id) => News::Captured(id),
        Decision::Declined(reason) => News::Declined(reason),
        Decision::Voided => News::Voided,
    }
}
