//! All members of a service: who they are, by name resolution, and whose turn it is.
//!
//! Of two connected members picked at random the one with fewer calls in progress gets the
//! call. That evens out slow and fast members without any state to keep, and two callers who
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

use super::Targets;
use super::connect::{Connector, Sender};
use super::member::{Failure, Member, Signals};
use crate::Identity;

const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// However often members fail.
const RESOLVE_SPACING: Duration = Duration::from_secs(1);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);

/// The members of one service. Dropping it closes their connections.
pub(super) struct Pool {
    targets: Targets,
    connector: Arc<Connector>,
    signals: Arc<Signals>,
    members: ArcSwap<Vec<Arc<Member>>>,
    /// The last lookup did not find everything.
    lookup_failed: AtomicBool,
    dropped: CancellationToken,
}

impl Pool {
    pub(super) fn start(name: &'static str, targets: Targets, identity: Identity) -> Arc<Self> {
        let signals = Signals { changed: watch::Sender::new(()), resolve: Notify::new() };
        let pool = Arc::new(Self {
            targets,
            connector: Arc::new(Connector::new(name, identity)),
            signals: Arc::new(signals),
            members: ArcSwap::default(),
            lookup_failed: AtomicBool::new(false),
            dropped: CancellationToken::new(),
        });
        tokio::spawn(keep_resolved(Arc::downgrade(&pool)));
        pool
    }

    /// A member to send to, and its connection. Waits while there is hope: a connection that is
    /// being made, or one attempt for our sake when all members are set aside.
    pub(super) async fn pick(&self) -> Result<(Arc<Member>, Sender), Failure> {
        if let Some(picked) = self.pick_ready() {
            return Ok(picked);
        }
        let mut changed = self.signals.changed.subscribe();
        let mut tried: Option<(Arc<Member>, u64)> = None;
        loop {
            if let Some(picked) = self.pick_ready() {
                return Ok(picked);
            }
            match &tried {
                Some((member, failures)) if member.failures() > *failures => {
                    return Err(Failure::unreachable(self.connector.name()));
                }
                Some((member, _)) if !member.has_left() => {}
                _ => {
                    if let Some(member) = self.due_first() {
                        tried = Some((Arc::clone(&member), member.failures()));
                        member.hurry();
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

    fn pick_ready(&self) -> Option<(Arc<Member>, Sender)> {
        let members = self.members.load();
        let chosen = match members.as_slice() {
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
        let connected = |member: &Arc<Member>| Some((Arc::clone(member), member.sender()?));
        connected(chosen).or_else(|| {
            let mut ready: Vec<_> = members.iter().filter(|member| member.is_ready()).collect();
            ready.sort_by_key(|member| member.in_flight());
            ready.into_iter().find_map(connected)
        })
    }

    fn due_first(&self) -> Option<Arc<Member>> {
        self.members.load().iter().min_by_key(|member| member.due()).cloned()
    }

    async fn resolve(&self) {
        let mut addresses = Vec::new();
        let mut complete = true;
        for (host, port) in self.targets.0.iter() {
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

    /// While a lookup fails, members that are known stay: a name server that is down takes
    /// nobody's connections away.
    fn update(&self, addresses: &[SocketAddr], complete: bool) {
        let before = self.members.load_full();
        let mut left: HashMap<_, _> =
            before.iter().map(|member| (member.address, Arc::clone(member))).collect();
        let stay_or_start = |address: &SocketAddr| {
            left.remove(address).unwrap_or_else(|| {
                Member::start(*address, Arc::clone(&self.connector), Arc::clone(&self.signals))
            })
        };
        let mut members: Vec<_> = addresses.iter().map(stay_or_start).collect();
        if complete {
            left.values().for_each(|member| member.leave());
        } else {
            members.extend(left.into_values());
        }
        self.lookup_failed.store(!complete, Ordering::Relaxed);
        self.members.store(Arc::new(members));
        self.signals.changed.send_replace(());
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.dropped.cancel();
        self.members.load().iter().for_each(|member| member.leave());
    }
}

/// Two different members at random, of at least two.
fn two_of(members: &[Arc<Member>]) -> (&Arc<Member>, &Arc<Member>) {
    let one = rand::random_range(0..members.len());
    let other = (one + rand::random_range(1..members.len())) % members.len();
    (&members[one], &members[other])
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
