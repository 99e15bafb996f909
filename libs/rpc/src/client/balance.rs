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

use super::connect::{Connector, Sender};
use super::endpoint::{Endpoint, Signals};
use super::failure::Failure;
use crate::Identity;

const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// However often endpoints fail.
const RESOLVE_SPACING: Duration = Duration::from_secs(1);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The endpoints of one service. Dropping it closes their connections.
pub(super) struct Pool {
    targets: Arc<[(String, u16)]>,
    connector: Arc<Connector>,
    signals: Arc<Signals>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// The last lookup did not find everything.
    lookup_failed: AtomicBool,
    dropped: CancellationToken,
}

impl Pool {
    pub(super) fn start(
        name: &'static str,
        targets: Arc<[(String, u16)]>,
        identity: Identity,
    ) -> Arc<Self> {
        let signals = Signals { changed: watch::Sender::new(()), resolve: Notify::new() };
        let pool = Arc::new(Self {
            targets,
            connector: Arc::new(Connector::new(name, identity)),
            signals: Arc::new(signals),
            endpoints: ArcSwap::default(),
            lookup_failed: AtomicBool::new(false),
            dropped: CancellationToken::new(),
        });
        tokio::spawn(keep_resolved(Arc::downgrade(&pool)));
        pool
    }

    /// An endpoint to send to, and its connection. Waits while there is hope: a connection that is
    /// being made, or one attempt for our sake when all back off.
    pub(super) async fn pick(&self) -> Result<(Arc<Endpoint>, Sender), Failure> {
        if let Some(picked) = self.pick_ready() {
            return Ok(picked);
        }
        let mut changed = self.signals.changed.subscribe();
        let mut tried: Option<(Arc<Endpoint>, u64)> = None;
        loop {
            if let Some(picked) = self.pick_ready() {
                return Ok(picked);
            }
            match &tried {
                Some((endpoint, failures)) if endpoint.failures() > *failures => {
                    return Err(Failure::unreachable(self.connector.name()));
                }
                Some((endpoint, _)) if !endpoint.is_removed() => {}
                _ => {
                    if let Some(endpoint) = self.due_first() {
                        tried = Some((Arc::clone(&endpoint), endpoint.failures()));
                        endpoint.connect_now();
                    } else if self.lookup_failed.load(Ordering::Relaxed) {
                        self.signals.resolve.notify_one();
                        return Err(Failure::unreachable(self.connector.name()));
                    }
                }
            }
            if changed.changed().await.is_err() {
                return Err(Failure::unreachable(self.connector.name()));
            }
        }
    }

    fn pick_ready(&self) -> Option<(Arc<Endpoint>, Sender)> {
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
        let connected = |endpoint: &Arc<Endpoint>| Some((Arc::clone(endpoint), endpoint.sender()?));
        connected(chosen).or_else(|| {
            let mut ready: Vec<_> =
                endpoints.iter().filter(|endpoint| endpoint.is_ready()).collect();
            ready.sort_by_key(|endpoint| endpoint.in_flight());
            ready.into_iter().find_map(connected)
        })
    }

    fn due_first(&self) -> Option<Arc<Endpoint>> {
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

    /// While a lookup fails, endpoints that are known stay: a name server that is down takes
    /// nobody's connections away.
    fn update(&self, addresses: &[SocketAddr], complete: bool) {
        let before = self.endpoints.load_full();
        let mut left: HashMap<_, _> =
            before.iter().map(|endpoint| (endpoint.address, Arc::clone(endpoint))).collect();
        let stay_or_start = |address: &SocketAddr| {
            left.remove(address).unwrap_or_else(|| {
                Endpoint::start(*address, Arc::clone(&self.connector), Arc::clone(&self.signals))
            })
        };
        let mut endpoints: Vec<_> = addresses.iter().map(stay_or_start).collect();
        if complete {
            left.values().for_each(|endpoint| endpoint.remove());
        } else {
            endpoints.extend(left.into_values());
        }
        self.lookup_failed.store(!complete, Ordering::Relaxed);
        self.endpoints.store(Arc::new(endpoints));
        self.signals.changed.send_replace(());
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.dropped.cancel();
        self.endpoints.load().iter().for_each(|endpoint| endpoint.remove());
    }
}

/// Two different endpoints at random, of at least two.
fn two_of(endpoints: &[Arc<Endpoint>]) -> (&Arc<Endpoint>, &Arc<Endpoint>) {
    let one = rand::random_range(0..endpoints.len());
    let other = (one + rand::random_range(1..endpoints.len())) % endpoints.len();
    (&endpoints[one], &endpoints[other])
}

async fn keep_resolved(pool: Weak<Pool>) {
    let Some((signals, dropped)) =
        pool.upgrade().map(|p| (Arc::clone(&p.signals), p.dropped.clone()))
    else {
        return;
    };
    let pause = || async {
        sleep(RESOLVE_SPACING).await;
        let _ = timeout(RESOLVE_EVERY - RESOLVE_SPACING, signals.resolve.notified()).await;
    };
    while let Some(pool) = pool.upgrade() {
        pool.resolve().await;
        drop(pool);
        if dropped.run_until_cancelled(pause()).await.is_none() {
            return;
        }
    }
}
