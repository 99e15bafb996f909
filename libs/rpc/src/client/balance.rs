//! Client-side load balancing: the endpoints of a service, by name resolution, and whose turn it is.
//!
//! Power of two choices: of two connected endpoints picked at random the one with fewer calls in progress gets the
//! call. That evens out slow and fast ones without any state to keep, and two callers who
//! know nothing of each other do not follow the same order.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::lookup_host;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::endpoint::{Endpoint, InFlight, Service};
use super::transport::{Failure, Transport};
use crate::status::lost;

const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// Minimum interval between two DNS lookups, however often endpoints fail.
const RESOLVE_SPACING: Duration = Duration::from_secs(1);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The endpoints of one service. Dropping it closes their connections.
pub(super) struct Pool<T: Transport> {
    targets: Arc<[(String, u16)]>,
    service: Arc<Service<T>>,
    endpoints: ArcSwap<Vec<Arc<Endpoint<T::Connection>>>>,
    /// The last lookup did not find everything.
    lookup_failed: AtomicBool,
    dropped: CancellationToken,
}

impl<T: Transport> Pool<T> {
    pub(super) fn start(
        name: &'static str,
        targets: Arc<[(String, u16)]>,
        transport: T,
    ) -> Arc<Self> {
        let (changed, resolve) = (watch::Sender::new(()), Notify::new());
        let pool = Arc::new(Self {
            targets,
            service: Arc::new(Service { name, transport, changed, resolve }),
            endpoints: ArcSwap::default(),
            lookup_failed: AtomicBool::new(false),
            dropped: CancellationToken::new(),
        });
        tokio::spawn(keep_resolved(Arc::downgrade(&pool)));
        pool
    }

    /// Picks an endpoint and its connection. Waits for one that is connecting; when all back off, one of them tries
    /// to connect now.
    pub(super) async fn pick(&self) -> Result<(InFlight, T::Connection), Failure> {
        if let Some(picked) = self.pick_ready() {
            return Ok(picked);
        }
        let mut changed = self.service.changed.subscribe();
        let mut tried: Option<(Arc<Endpoint<T::Connection>>, u64)> = None;
        loop {
            if let Some(picked) = self.pick_ready() {
                return Ok(picked);
            }
            match &tried {
                Some((endpoint, failures)) if endpoint.failures() > *failures => {
                    return Err(self.unreachable());
                }
                Some((endpoint, _)) if !endpoint.is_removed() => {}
                _ => {
                    if let Some(endpoint) = self.due_first() {
                        tried = Some((Arc::clone(&endpoint), endpoint.failures()));
                        endpoint.connect_now();
                    } else if self.lookup_failed.load(Ordering::Relaxed) {
                        self.service.resolve.notify_one();
                        return Err(self.unreachable());
                    }
                }
            }
            if changed.changed().await.is_err() {
                return Err(self.unreachable());
            }
        }
    }

    fn pick_ready(&self) -> Option<(InFlight, T::Connection)> {
        let endpoints = self.endpoints.load();
        let chosen = match endpoints.as_slice() {
            [] => return None,
            [only] => only,
            many => {
                let (one, other) = two_of(many);
                if !other.is_ready() || (one.is_ready() && one.in_flight() <= other.in_flight()) {
                    one
                } else {
                    other
                }
            }
        };
        chosen.begin().or_else(|| {
            let mut ready: Vec<_> =
                endpoints.iter().filter(|endpoint| endpoint.is_ready()).collect();
            ready.sort_by_key(|endpoint| endpoint.in_flight());
            ready.into_iter().find_map(|endpoint| endpoint.begin())
        })
    }

    fn unreachable(&self) -> Failure {
        let status = lost(format!("{} cannot be reached", self.service.name));
        Failure { status, unsent: true }
    }

    fn due_first(&self) -> Option<Arc<Endpoint<T::Connection>>> {
        self.endpoints.load().iter().min_by_key(|endpoint| endpoint.due()).cloned()
    }

    async fn resolve(&self) {
        let mut addresses = Vec::new();
        let mut complete = true;
        for (host, port) in self.targets.iter() {
            match timeout(RESOLVE_TIMEOUT, lookup_host((host.as_str(), *port))).await {
                Ok(Ok(found)) => addresses.extend(found),
                _ => complete = false,
            }
        }
        complete &= !addresses.is_empty();
        addresses.sort_unstable();
        addresses.dedup();
        self.update(&addresses, complete);
    }

    /// While a lookup fails, known endpoints stay: an unavailable name server closes no connections.
    fn update(&self, addresses: &[SocketAddr], complete: bool) {
        let before = self.endpoints.load_full();
        let mut left: HashMap<_, _> =
            before.iter().map(|endpoint| (endpoint.address, Arc::clone(endpoint))).collect();
        let stay_or_start = |address: &SocketAddr| {
            left.remove(address)
                .unwrap_or_else(|| Endpoint::start(*address, Arc::clone(&self.service)))
        };
        let mut endpoints: Vec<_> = addresses.iter().map(stay_or_start).collect();
        if complete {
            left.values().for_each(|endpoint| endpoint.remove());
        } else {
            endpoints.extend(left.into_values());
        }
        self.lookup_failed.store(!complete, Ordering::Relaxed);
        self.endpoints.store(Arc::new(endpoints));
        self.service.changed.send_replace(());
    }
}

impl<T: Transport> Drop for Pool<T> {
    fn drop(&mut self) {
        self.dropped.cancel();
        self.endpoints.load().iter().for_each(|endpoint| endpoint.remove());
    }
}

/// Two different endpoints at random, of at least two.
fn two_of<E>(endpoints: &[E]) -> (&E, &E) {
    let one = rand::random_range(0..endpoints.len());
    let other = (one + rand::random_range(1..endpoints.len())) % endpoints.len();
    (&endpoints[one], &endpoints[other])
}

async fn keep_resolved<T: Transport>(pool: Weak<Pool<T>>) {
    let Some((service, dropped)) =
        pool.upgrade().map(|p| (Arc::clone(&p.service), p.dropped.clone()))
    else {
        return;
    };
    let pause = || async {
        sleep(RESOLVE_SPACING).await;
        let _ = timeout(RESOLVE_EVERY - RESOLVE_SPACING, service.resolve.notified()).await;
    };
    while let Some(pool) = pool.upgrade() {
        pool.resolve().await;
        drop(pool);
        if dropped.run_until_cancelled(pause()).await.is_none() {
            return;
        }
    }
}
