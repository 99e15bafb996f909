//! One address of a service: an endpoint. A task keeps it connected; calls only look whether it is.
//!
//! An endpoint that cannot be reached backs off exponentially while the other endpoints take its calls, so no request
//! waits to learn that it is still unreachable. This is a circuit breaker per endpoint. A connection that fails opens it,
//! not failed calls (no outlier ejection): a server that answers sheds load itself, and retries have a budget.
//!
//! | state         | event                                        | next state       |
//! |---------------|----------------------------------------------|------------------|
//! | `Connecting`  | connected                                    | `Ready`          |
//! | `Connecting`  | failed                                       | `BackOff`, once more failed |
//! | `Ready`       | the connection ended after a second or more  | `Connecting`, nothing failed |
//! | `Ready`       | it ended sooner                              | `BackOff`, once more failed |
//! | `BackOff`     | the pause is over, or a call has nobody else | `Connecting`     |
//! | any           | it is no longer an address of the service    | `Removed`        |

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use telemetry::catalogue::RPC_CLIENT_CONNECTS;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::transport::{Connection, Transport};
use crate::status::{BoxError, Chain};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Minimum pause between attempts, even for a call that has no other endpoint.
const ATTEMPT_SPACING: Duration = Duration::from_millis(50);
/// A connection that ends sooner counts as a failed attempt: TLS 1.3 lets a client finish its
/// handshake before the server has refused its certificate.
const STABLE: Duration = Duration::from_secs(1);

/// How an endpoint stands; `failed` counts attempts in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting { failed: u32 },
    Ready { failed: u32 },
    BackOff { failed: u32 },
    Removed,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Connected,
    Failed,
    /// The connection takes no more calls.
    Ended {
        /// How long it lasted.
        after: Duration,
    },
    PauseOver,
    Removed,
}

impl State {
    /// The table above. What it has no row for changes nothing.
    fn after(self, event: Event) -> Self {
        match (self, event) {
            (_, Event::Removed) => Self::Removed,
            (Self::Connecting { failed }, Event::Connected) => Self::Ready { failed },
            (Self::Ready { .. }, Event::Ended { after }) if after >= STABLE => {
                Self::Connecting { failed: 0 }
            }
            (Self::Connecting { failed } | Self::Ready { failed }, Event::Failed)
            | (Self::Ready { failed }, Event::Ended { .. }) => {
                Self::BackOff { failed: failed.saturating_add(1) }
            }
            (Self::BackOff { failed }, Event::PauseOver) => Self::Connecting { failed },
            (state, _) => state,
        }
    }
}

/// What the endpoints of a service have in common.
pub(super) struct Service<T> {
    pub(super) name: &'static str,
    pub(super) transport: T,
    /// Some endpoint became ready or failed.
    pub(super) changed: watch::Sender<()>,
    /// An endpoint could not be reached: the addresses may be out of date.
    pub(super) resolve: Notify,
}

impl<T: Transport> Service<T> {
    async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<(T::Connection, impl Future<Output = ()> + Send), BoxError> {
        let connection = timeout(CONNECT_TIMEOUT, self.transport.connect(address)).await;
        let connection =
            connection.unwrap_or_else(|_| Err(format!("none within {CONNECT_TIMEOUT:?}").into()));
        let outcome = if connection.is_ok() { "ok" } else { "failed" };
        RPC_CLIENT_CONNECTS.with_label_values(&[self.name, outcome]).inc();
        connection
    }
}

/// One address of a service.
pub(super) struct Endpoint<C> {
    pub(super) address: SocketAddr,
    connection: ArcSwapOption<C>,
    in_flight: Arc<AtomicUsize>,
    failures: AtomicU64,
    /// When the next attempt is due, in milliseconds since `created`; 0 while one is in progress.
    due_ms: AtomicU64,
    created: Instant,
    connect_now: Notify,
    removed: CancellationToken,
}

impl<C: Connection> Endpoint<C> {
    pub(super) fn start<T: Transport<Connection = C>>(
        address: SocketAddr,
        service: Arc<Service<T>>,
    ) -> Arc<Self> {
        let endpoint = Arc::new(Self {
            address,
            connection: ArcSwapOption::empty(),
            in_flight: Arc::default(),
            failures: AtomicU64::new(0),
            due_ms: AtomicU64::new(0),
            created: Instant::now(),
            connect_now: Notify::new(),
            removed: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&endpoint).keep_connected(service));
        endpoint
    }

    /// The connection, when there is one that takes requests, for a call that is in flight from now on.
    pub(super) fn begin(&self) -> Option<(InFlight, C)> {
        let connection = self.connection.load();
        let connection = connection.as_deref().filter(|connection| !connection.is_closed())?;
        Some((InFlight::new(Arc::clone(&self.in_flight)), connection.clone()))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.connection.load().as_deref().is_some_and(|connection| !connection.is_closed())
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The order in which endpoints are tried when none is connected.
    pub(super) fn due(&self) -> Instant {
        self.created + Duration::from_millis(self.due_ms.load(Ordering::Relaxed))
    }

    /// A call has nobody else to go to: try now rather than when it is due.
    pub(super) fn connect_now(&self) {
        self.connect_now.notify_one();
    }

    /// The address is no longer one of the service's. Calls in progress finish.
    pub(super) fn remove(&self) {
        self.removed.cancel();
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed.is_cancelled()
    }

    async fn keep_connected<T>(self: Arc<Self>, service: Arc<Service<T>>)
    where
        T: Transport<Connection = C>,
    {
        let removed = self.removed.clone();
        let mut state = State::Connecting { failed: 0 };
        let mut connection = None;
        while state != State::Removed {
            let event = match state {
                State::Connecting { failed } => {
                    self.due_ms.store(0, Ordering::Relaxed);
                    match removed.run_until_cancelled(service.connect(self.address)).await {
                        Some(Ok(made)) => {
                            connection = Some(made);
                            Event::Connected
                        }
                        Some(Err(error)) => {
                            if failed == 0 {
                                let (service, address) = (service.name, self.address);
                                let error = Chain(&*error);
                                tracing::warn!(service, %address, %error, "an endpoint cannot be reached");
                            }
                            Event::Failed
                        }
                        None => Event::Removed,
                    }
                }
                State::Ready { .. } => match connection.take() {
                    Some((connection, driver)) => {
                        let after = self.serve(connection, driver, &service.changed).await;
                        if removed.is_cancelled() { Event::Removed } else { Event::Ended { after } }
                    }
                    None => Event::Failed,
                },
                State::BackOff { failed } => {
                    let pause = self.back_off(failed, &service);
                    match removed.run_until_cancelled(pause).await {
                        Some(()) => Event::PauseOver,
                        None => Event::Removed,
                    }
                }
                State::Removed => return,
            };
            state = state.after(event);
        }
    }

    /// Offers a connection to calls until it takes no more; for how long it did.
    async fn serve(
        &self,
        connection: C,
        driver: impl Future<Output = ()>,
        changed: &watch::Sender<()>,
    ) -> Duration {
        let began = Instant::now();
        self.connection.store(Some(Arc::new(connection)));
        changed.send_replace(());
        let mut driver = std::pin::pin!(driver);
        let ended = self.removed.run_until_cancelled(driver.as_mut()).await;
        self.connection.store(None);
        if ended.is_none() {
            // With the last handle gone it ends when the calls in progress have.
            driver.await;
        }
        began.elapsed()
    }

    /// Until the endpoint is due again, or a call has nobody else to go to.
    async fn back_off<T>(&self, failed: u32, service: &Service<T>) {
        let doublings = failed.saturating_sub(1).min(10);
        let longest = BACK_OFF_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MAX);
        let due = Instant::now() + longest.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        let due_ms = due.duration_since(self.created).as_millis();
        self.due_ms.store(u64::try_from(due_ms).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
        service.changed.send_replace(());
        service.resolve.notify_one();
        sleep(ATTEMPT_SPACING).await;
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.connect_now.notified() => {}
        }
    }
}

/// Counts a call as in flight at its endpoint.
pub(super) struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    pub(super) fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_goes_through_its_states_as_the_table_says() {
        let ended = |millis| Event::Ended { after: Duration::from_millis(millis) };
        for (state, event, next) in [
            (State::Connecting { failed: 2 }, Event::Connected, State::Ready { failed: 2 }),
            (State::Connecting { failed: 2 }, Event::Failed, State::BackOff { failed: 3 }),
            (State::Ready { failed: 2 }, ended(1_000), State::Connecting { failed: 0 }),
            (State::Ready { failed: 2 }, ended(999), State::BackOff { failed: 3 }),
            (State::BackOff { failed: 3 }, Event::PauseOver, State::Connecting { failed: 3 }),
            (State::Connecting { failed: 0 }, Event::Removed, State::Removed),
            (State::Ready { failed: 0 }, Event::Removed, State::Removed),
            (State::BackOff { failed: 1 }, Event::Removed, State::Removed),
            (State::Removed, Event::Connected, State::Removed),
        ] {
            assert_eq!(state.after(event), next, "{state:?}, {event:?}");
        }
    }
}
