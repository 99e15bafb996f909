//! One function per command and query: load, decide, store and publish in one transaction.

mod carried;
mod place;
pub(crate) mod returns;
mod write;

use std::sync::Arc;
use std::time::Duration;

use batching::Batcher;
use database::{Database, Freshness, Gathered, Tx};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use kernel::{OrderId, UserId};
use messaging::Outbox;
use thiserror::Error;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub(crate) use carried::Checkout;

use crate::domain::checkout::{self, Signal};
use crate::domain::{Order, Rejection};
use crate::peers::{PeerError, Peers};
use crate::store::placing::{self, KeptReply};
use crate::watch::Watch;
use crate::{events, store};

const DUE_MAX: i64 = 200;
/// Maximum number of checkouts that share a statement or a transaction.
const GROUP_MAX: usize = 64;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The token has expired meanwhile.
    #[error(transparent)]
    Unauthenticated(#[from] identity::Refused),
    /// The database did.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// The batch that it was part of broke down.
    #[error(transparent)]
    Unanswered(#[from] batching::Unanswered),
    /// A call to a peer failed.
    #[error("peer: {0}")]
    Peer(PeerError),
}

impl From<PeerError> for Error {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Rejected(rejection) => Self::Rejected(rejection),
            other => Self::Peer(other),
        }
    }
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    peers: Peers,
    pub(crate) watch: Watch,
    kept: Gathered<(UserId, String), Option<KeptReply>>,
    /// For each database, what writes new orders there.
    writers: Arc<[Batcher<write::Unwritten, write::Answer>]>,
}

impl App {
    pub(crate) fn new(
        database: &Database,
        outbox: &Outbox,
        peers: Peers,
        watch: &Watch,
        deadline: Duration,
    ) -> Self {
        let kept = database.gather("order.kept", GROUP_MAX, |db, keys| {
            async move { placing::kept_replies(db, &keys).await }.boxed()
        });
        let writers = write::writers(database, outbox, deadline);
        let (database, outbox, watch) = (database.clone(), outbox.clone(), watch.clone());
        Self { database, outbox, peers, watch, kept, writers }
    }

    /// One order of the user.
    pub(crate) async fn order(&self, user: UserId, id: OrderId) -> Result<Order, Error> {
        let read = self
            .database
            .read(id.shard(), Freshness::Primary, move |db| store::order(db, id).boxed());
        owned(read.await?, user)
    }

    /// The user's orders below `before`, newest first.
    pub(crate) async fn orders(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: i64,
    ) -> Result<Vec<Order>, Error> {
        let read = self.database.read(store::home(user), Freshness::Primary, move |db| {
            store::list(db, user, before, limit).boxed()
        });
        Ok(read.await?)
    }

    /// Ends the checkout, if it can still be ended.
    pub(crate) async fn cancel(&self, user: UserId, id: OrderId) -> Result<Order, Error> {
        let app = self.clone();
        let work = self.database.transaction(id.shard(), move |tx| {
            let work = async move {
                let order = owned(store::lock(tx, &[id]).await?.pop(), user)?;
                if let Some(event) = checkout::decide(order.state, Signal::CancelRequested)? {
                    let time_left = store::advance(tx, &[(id, event)]).await?;
                    let published = events::to_outgoing(&order, event, &time_left);
                    app.outbox.publish(tx, &[published]).await?;
                }
                app.watch.notify_after_commit(tx, [id]);
                owned(store::order(tx, id).await?, user)
            };
            work.boxed()
        });
        work.await
    }

    /// Saga timeout: cancels orders whose deadline has passed, until `stop`.
    pub(crate) async fn enforce_deadlines(
        self,
        every: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(due.tick()).await.is_some() {
            self.cancel_due(&stop).await;
        }
        Ok(())
    }

    /// An unavailable database delays no other.
    async fn cancel_due(&self, stop: &CancellationToken) {
        let databases = self.database.one_shard_per_database().map(async |home| {
            let mut more = Ok(true);
            while matches!(more, Ok(true)) && !stop.is_cancelled() {
                let app = self.clone();
                let cancel =
                    self.database.transaction(home, move |tx| app.cancel_some_due(tx).boxed());
                more = cancel.await;
            }
            if let Err(error) = more {
                tracing::warn!(%error, "deadlines: will try again");
            }
        });
        join_all(databases).await;
    }

    /// Cancels some checkouts whose deadline has passed. Returns whether there may be more.
    async fn cancel_some_due(self, tx: &mut Tx) -> Result<bool, Error> {
        let orders = store::lock_due(tx, DUE_MAX).await?;
        let (mut steps, mut due) = (Vec::new(), Vec::new());
        for order in &orders {
            if let Some(event) = checkout::decide(order.state, Signal::DeadlinePassed)? {
                steps.push((order.id, event));
                due.push((order, event));
            }
        }
        if steps.is_empty() {
            return Ok(false);
        }
        let time_left = store::advance(tx, &steps).await?;
        let published = |(order, event)| events::to_outgoing(order, event, &time_left);
        let outgoing: Vec<_> = due.into_iter().map(published).collect();
        self.outbox.publish(tx, &outgoing).await?;
        self.watch.notify_after_commit(tx, steps.iter().map(|(id, _)| *id));
        Ok(steps.len() as i64 == DUE_MAX)
    }
}

/// Ownership (object-level authorization): somebody else's order does not exist.
fn owned(order: Option<Order>, user: UserId) -> Result<Order, Error> {
    order.filter(|order| order.user == user).ok_or(Error::Rejected(Rejection::OrderNotFound))
}
