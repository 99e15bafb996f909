//! Live orders: whichever copy (replica) of the service changes an order publishes a wake-up over core NATS. A wake-up
//! may get lost, so a watcher polls as well, and reads the row.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use database::Tx;
use futures_util::stream::{BoxStream, Stream};
use futures_util::{StreamExt as _, stream};
use identity::{Caller, Refused, Verifier};
use kernel::{OrderId, UserId};
use messaging::Bus;
use tokio::time::timeout;

use crate::app::{App, Error};
use crate::domain::{Order, Rejection};

/// Poll interval of a watcher without wake-ups.
const POLL: Duration = Duration::from_secs(2);
/// Maximum number of streams of one user on one copy of the service.
const STREAMS_PER_USER_MAX: usize = 16;

/// The wake-up calls, and who waits for them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch {
    bus: Bus,
    streams: Streams,
}

impl Watch {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self { bus: bus.clone(), streams: Streams::default() }
    }

    /// Wakes all watchers of the order, on every copy. A failure is only logged: watchers poll.
    pub(crate) fn notify(&self, order: OrderId) {
        if !self.bus.is_connected() {
            return; // they poll
        }
        let bus = self.bus.clone();
        tokio::spawn(async move {
            let woken = bus.client().publish(subject(order), "".into()).await;
            if let Err(error) = woken {
                tracing::debug!(%error, "watchers will poll");
            }
        });
    }

    /// As [`Watch::notify`], once the transaction has been committed.
    pub(crate) fn notify_after_commit(
        &self,
        tx: &mut Tx,
        orders: impl IntoIterator<Item = OrderId>,
    ) {
        let (watch, orders) = (self.clone(), Vec::from_iter(orders));
        tx.after_commit(move || orders.into_iter().for_each(|order| watch.notify(order)));
    }

    /// One item per wake-up; none, ever, while NATS is unavailable.
    async fn of(&self, order: OrderId) -> BoxStream<'static, ()> {
        match self.bus.client().subscribe(subject(order)).await {
            Ok(wake_ups) => wake_ups.map(drop).boxed(),
            Err(_) => stream::pending().boxed(),
        }
    }
}

fn subject(order: OrderId) -> String {
    format!("souk-live.order.{order}")
}

/// The order at each version above `seen`, until it has ended, the caller's token has expired, or their sign-in was ended.
/// Refused at once when no version will follow.
pub(crate) async fn versions(
    app: &App,
    verifier: Verifier,
    caller: Caller,
    id: OrderId,
    seen: i64,
) -> Result<impl Stream<Item = Result<Order, Error>> + use<>, Error> {
    let permit = app.watch.streams.admit(caller.user)?;
    let order = app.order(caller.user, id).await?;
    if order.state.is_final() && order.version <= seen {
        return Err(Rejection::OrderEnded.into());
    }
    // Subscribed before the first read of the stream, so that no change falls in between.
    let wake_ups = app.watch.of(id).await;
    let watcher = Watcher {
        app: app.clone(),
        verifier,
        caller,
        id,
        seen,
        wake_ups,
        ended: false,
        _permit: permit,
    };
    Ok(stream::unfold(watcher, Watcher::next))
}

/// One stream.
struct Watcher {
    app: App,
    verifier: Verifier,
    caller: Caller,
    id: OrderId,
    seen: i64,
    wake_ups: BoxStream<'static, ()>,
    ended: bool,
    _permit: Permit,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<Order, Error>, Self)> {
        if self.ended {
            return None;
        }
        let next = self.newer().await.transpose()?;
        self.ended = next.as_ref().map_or(true, |order| order.state.is_final());
        Some((next, self))
    }

    /// Waits for a version that has not been seen; `None` when there will be none.
    async fn newer(&mut self) -> Result<Option<Order>, Error> {
        loop {
            let left = self.caller.expires_in();
            if left.is_zero() || self.verifier.is_revoked(&self.caller) {
                return Err(Refused.into());
            }
            let order = self.app.order(self.caller.user, self.id).await?;
            if order.version > self.seen {
                self.seen = order.version;
                return Ok(Some(order));
            }
            if order.state.is_final() {
                return Ok(None);
            }
            let _woken = timeout(POLL.min(left), self.wake_ups.next()).await;
        }
    }
}

/// How many streams each user has.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<HashMap<UserId, usize>>>);

impl Streams {
    fn admit(&self, user: UserId) -> Result<Permit, Rejection> {
        let mut streams = self.counts();
        let count = streams.entry(user).or_default();
        if *count >= STREAMS_PER_USER_MAX {
            return Err(Rejection::TooManyStreams { max: STREAMS_PER_USER_MAX });
        }
        *count += 1;
        Ok(Permit { streams: self.clone(), user })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream of a user, until it is dropped.
struct Permit {
    streams: Streams,
    user: UserId,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut streams = self.streams.counts();
        if let Some(count) = streams.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_streams_and_gives_each_back() {
        let (streams, user) = (Streams::default(), UserId::mint());
        let mut permits: Vec<_> = std::iter::from_fn(|| streams.admit(user).ok()).collect();
        assert_eq!(permits.len(), STREAMS_PER_USER_MAX);
        assert!(streams.admit(UserId::mint()).is_ok(), "somebody else has others");
        permits.pop();
        assert!(streams.admit(user).is_ok());
        drop(permits);
        assert!(streams.counts().is_empty());
    }
}
