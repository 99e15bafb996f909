//! One address of a service. A task keeps it connected; calls only look whether it is.
//!
//! A member that cannot be reached is set aside, longer each time, while others take its calls,
//! so that nobody's request pays for finding out that it is still gone.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::client::conn::TrySendError;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::connect::{Connector, Driver, Sender};
use crate::status::{BoxError, Chain, is_given_up, refusal};

const ASIDE_MIN: Duration = Duration::from_millis(100);
const ASIDE_MAX: Duration = Duration::from_secs(5);
/// Even a call that has nobody else to go to does not make us try more often than this.
const ATTEMPT_SPACING: Duration = Duration::from_millis(50);
/// A connection that ends sooner counts as a failed attempt: TLS 1.3 lets a client finish its
/// handshake before the server has refused its certificate.
const STABLE: Duration = Duration::from_secs(1);

/// What members tell their pool.
pub(super) struct Signals {
    /// Some member became ready or failed.
    pub(super) changed: watch::Sender<()>,
    /// Somebody could not be reached: the addresses may be out of date.
    pub(super) resolve: Notify,
}

/// One address of a service.
pub(super) struct Member {
    pub(super) address: SocketAddr,
    sender: ArcSwapOption<Sender>,
    in_flight: AtomicUsize,
    failures: AtomicU64,
    /// When the next attempt is due, in milliseconds since `created`; 0 while one is under way.
    due_ms: AtomicU64,
    created: Instant,
    hurry: Notify,
    gone: CancellationToken,
}

impl Member {
    pub(super) fn start(
        address: SocketAddr,
        connector: Arc<Connector>,
        signals: Arc<Signals>,
    ) -> Arc<Self> {
        let member = Arc::new(Self {
            address,
            sender: ArcSwapOption::empty(),
            in_flight: AtomicUsize::new(0),
            failures: AtomicU64::new(0),
            due_ms: AtomicU64::new(0),
            created: Instant::now(),
            hurry: Notify::new(),
            gone: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&member).keep_connected(connector, signals));
        member
    }

    /// The connection, when there is one that takes requests.
    pub(super) fn sender(&self) -> Option<Sender> {
        let sender = self.sender.load();
        let sender = sender.as_deref().filter(|sender| !sender.is_closed());
        sender.cloned()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.sender.load().as_deref().is_some_and(|sender| !sender.is_closed())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The order in which members are tried when none is connected.
    pub(super) fn due(&self) -> Instant {
        self.created + Duration::from_millis(self.due_ms.load(Ordering::Relaxed))
    }

    /// A call has nobody else to go to: try now rather than when it is due.
    pub(super) fn hurry(&self) {
        self.hurry.notify_one();
    }

    /// The address is no longer one of the service's. Calls in progress finish.
    pub(super) fn leave(&self) {
        self.gone.cancel();
    }

    pub(super) fn has_left(&self) -> bool {
        self.gone.is_cancelled()
    }

    async fn keep_connected(self: Arc<Self>, connector: Arc<Connector>, signals: Arc<Signals>) {
        let gone = self.gone.clone();
        let mut failed_in_a_row = 0;
        loop {
            self.due_ms.store(0, Ordering::Relaxed);
            let attempt = connector.connect(self.address);
            let Some(attempt) = gone.run_until_cancelled(attempt).await else { return };
            match attempt {
                Ok((sender, driver)) => {
                    if self.serve(sender, driver, &signals).await >= STABLE {
                        failed_in_a_row = 0;
                    } else {
                        failed_in_a_row += 1;
                    }
                }
                Err(error) => {
                    if failed_in_a_row == 0 {
                        let (service, address) = (connector.name(), self.address);
                        let error = Chain(&error);
                        tracing::warn!(service, %address, %error, "a member cannot be reached");
                    }
                    failed_in_a_row += 1;
                }
            }
            if gone.is_cancelled() {
                return;
            }
            if failed_in_a_row > 0 {
                let aside = self.set_aside(failed_in_a_row, &signals);
                if gone.run_until_cancelled(aside).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Offers a connection to calls until it takes no more; for how long it did.
    async fn serve(&self, sender: Sender, driver: Driver, signals: &Signals) -> Duration {
        let began = Instant::now();
        self.sender.store(Some(Arc::new(sender)));
        signals.changed.send_replace(());
        let mut driver = std::pin::pin!(driver);
        let ended = self.gone.run_until_cancelled(driver.as_mut()).await;
        self.sender.store(None);
        if ended.is_none() {
            // With the last sender gone it ends when the calls in progress have.
            let _ = driver.await;
        }
        began.elapsed()
    }

    async fn set_aside(&self, failed_in_a_row: u32, signals: &Signals) {
        let longest = ASIDE_MIN.saturating_mul(1 << (failed_in_a_row - 1).min(10)).min(ASIDE_MAX);
        let due = Instant::now() + longest.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        let due_ms = due.duration_since(self.created).as_millis();
        self.due_ms.store(u64::try_from(due_ms).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        signals.changed.send_replace(());
        signals.resolve.notify_one();
        sleep(ATTEMPT_SPACING).await;
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.hurry.notified() => {}
        }
    }
}

/// Counts a call as work of its member.
pub(super) struct Busy(Arc<Member>);

impl Busy {
    pub(super) fn new(member: Arc<Member>) -> Self {
        member.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(member)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An attempt without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    /// No server has seen the request.
    pub(super) unsent: bool,
}

impl Failure {
    pub(super) fn unreachable(service: &str) -> Self {
        Self { status: lost(format!("{service} cannot be reached")), unsent: true }
    }

    pub(super) fn from_send<T>(error: TrySendError<T>) -> Self {
        let returned = error.message().is_some();
        let error = error.into_error();
        let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        // Reset or sent away before a handler saw it, says the server.
        let turned_away = h2.is_some_and(|error| {
            let reason = error.reason();
            (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
        });
        Self { status: Self::from_stream(&error), unsent: returned || turned_away }
    }

    pub(super) fn from_body(error: BoxError) -> Self {
        let status = match error.downcast_ref::<hyper::Error>() {
            Some(error) => Self::from_stream(error),
            None => Status::resource_exhausted("the answer is too large"),
        };
        Self { status, unsent: false }
    }

    /// What a broken connection or stream means to the caller.
    pub(super) fn from_stream(error: &hyper::Error) -> Status {
        tracing::debug!(error = %Chain(error), "a call was lost");
        let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        match h2.filter(|error| error.is_reset()).and_then(h2::Error::reason) {
            Some(h2::Reason::REFUSED_STREAM) | None => lost("the connection was lost"),
            Some(h2::Reason::CANCEL) => Status::cancelled("the server cancelled the call"),
            Some(_) => Status::internal("the stream was reset"),
        }
    }

    pub(super) fn is_worth_retrying(&self, idempotent: bool) -> bool {
        let may_pass = self.status.code() == Code::Unavailable && !is_given_up(&self.status);
        may_pass && (self.unsent || idempotent)
    }
}

fn lost(message: impl Into<String>) -> Status {
    refusal(Code::Unavailable, "unavailable", message)
}
