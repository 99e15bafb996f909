//! One function per command and query: load, decide, store and publish in one unit of work.

use std::time::Duration;

use database::{Database, Tx, constraint};
use futures_util::future::try_join;
use identity::Caller;
use kernel::{AddressId, Money, OrderId, PaymentMethodId, ProductId, ReturnId, UserId};
use messaging::{Outbox, Outgoing};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::domain::checkout::{self, Signal, State};
use crate::domain::{Order, Rejection, placing, returns};
use crate::peers::{CartContents, PeerError, Peers};
use crate::watch::Watch;
use crate::{convert, events, store};

const DUE_MAX: i64 = 200;

/// Why a command did not do what it was asked for.
#[derive(Debug, Error)]
pub(crate) enum Error {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The database did.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A peer could not be asked.
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

/// A checkout that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    pub key: String,
    pub payment_method: PaymentMethodId,
    pub address: Option<AddressId>,
}

impl Checkout {
    /// Tells two requests with one key apart (SHA-256).
    fn fingerprint(&self) -> Vec<u8> {
        let address = self.address.map(|id| id.to_string()).unwrap_or_default();
        Sha256::digest(format!("{}/{address}", self.payment_method)).to_vec()
    }
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    peers: Peers,
    pub(crate) watch: Watch,
    deadline: Duration,
}

impl App {
    pub(crate) fn new(
        database: &Database,
        outbox: &Outbox,
        peers: Peers,
        watch: &Watch,
        deadline: Duration,
    ) -> Self {
        let (database, outbox, watch) = (database.clone(), outbox.clone(), watch.clone());
        Self { database, outbox, peers, watch, deadline }
    }

    /// Orders the caller's cart. The answer is the encoded reply, kept under the key. A refusal is
    /// not kept, and is only given when the key has no answer at that moment: the request that
    /// gave it one may have emptied the cart under our eyes.
    pub(crate) async fn place(
        &self,
        caller: &Caller,
        checkout: Checkout,
    ) -> Result<Vec<u8>, Error> {
        if let Some(reply) = self.kept(caller.user, &checkout).await? {
            return Ok(reply);
        }
        let placed = match self.price(caller, &checkout).await {
            Ok(priced) => self.write(caller.user, checkout.clone(), priced).await,
            Err(error) => Err(error),
        };
        match placed {
            Err(Error::Rejected(refusal)) => {
                self.kept(caller.user, &checkout).await?.ok_or(Error::Rejected(refusal))
            }
            other => other,
        }
    }

    async fn kept(&self, user: UserId, checkout: &Checkout) -> Result<Option<Vec<u8>>, Error> {
        let pool = self.database.shard(store::home(user));
        let kept = store::kept_reply(pool, user, &checkout.key).await?;
        kept.map(|kept| same_request(kept, &checkout.fingerprint())).transpose()
    }

    async fn price(&self, caller: &Caller, checkout: &Checkout) -> Result<Priced, Error> {
        let cart = async {
            let cart = self.peers.cart(caller).await?;
            if cart.items.is_empty() {
                return Err(Error::from(Rejection::CartEmpty));
            }
            let offers = self.peers.offers(cart.items.iter().map(|(product, _)| *product)).await?;
            let (lines, total) = placing::price(&cart.items, &offers)?;
            Ok((cart, lines, total))
        };
        let address = async { Ok::<_, Error>(self.peers.address(caller, checkout.address).await?) };
        let ((cart, lines, total), ship_to) = try_join(cart, address).await?;
        Ok(Priced { cart, lines, total, ship_to })
    }

    async fn write(
        &self,
        user: UserId,
        checkout: Checkout,
        mut priced: Priced,
    ) -> Result<Vec<u8>, Error> {
        let app = self.clone();
        let work = async move {
            let mut tx = app.database.begin(store::home(user)).await?;
            let key = store::take_key(&mut tx, user, &checkout.key).await?;
            if let Some(kept) = key.kept {
                return same_request(kept, &checkout.fingerprint());
            }
            if !key.locked {
                return Err(Rejection::KeyInFlight.into());
            }
            let order = priced.order(user, checkout.payment_method, key.now);
            let reply = app.insert(&mut tx, &order, &checkout, &priced.ship_to).await?;
            tx.commit().await?;
            Ok(reply)
        };
        self.database.unit_of_work(work).await
    }

    async fn insert(
        &self,
        tx: &mut Tx,
        order: &Order,
        checkout: &Checkout,
        ship_to: &serde_json::Value,
    ) -> Result<Vec<u8>, Error> {
        let reply = convert::place_reply(order);
        let new = store::NewOrder {
            order,
            ship_to,
            deadline_seconds: self.deadline.as_secs_f64(),
            key: &checkout.key,
            fingerprint: &checkout.fingerprint(),
            reply: &reply,
        };
        store::insert(tx, new).await.map_err(|error| match constraint(&error) {
            Some(store::ONCE_PER_CART_VERSION) => Rejection::CartAlreadyOrdered.into(),
            Some(store::KEY) => Rejection::KeyInFlight.into(),
            _ => Error::from(error),
        })?;
        self.outbox.publish(tx, &[Outgoing::new(order.id, &events::placed(order))]).await?;
        Ok(reply)
    }

    /// One order of the user.
    pub(crate) async fn order(&self, user: UserId, id: OrderId) -> Result<Order, Error> {
        let mut connection = self.database.shard(id.shard()).acquire().await?;
        owned(store::order(&mut connection, id).await?, user)
    }

    /// The user's orders below `before`, newest first.
    pub(crate) async fn orders(
        &self,
        user: UserId,
        before: Option<OrderId>,
        limit: i64,
    ) -> Result<Vec<Order>, Error> {
        Ok(store::list(self.database.shard(store::home(user)), user, before, limit).await?)
    }

    /// Ends the checkout, if it can still be ended.
    pub(crate) async fn cancel(&self, user: UserId, id: OrderId) -> Result<Order, Error> {
        let app = self.clone();
        let work = async move {
            let mut tx = app.database.begin(id.shard()).await?;
            let order = owned(store::lock(&mut tx, &[id]).await?.pop(), user)?;
            if let Some(event) = checkout::decide(order.state, Signal::CancelRequested)? {
                let time_left = store::advance(&mut tx, &[(id, event)]).await?;
                let published = events::published(&order, event, &time_left);
                app.outbox.publish(&mut tx, &[published]).await?;
            }
            let order = owned(store::order(&mut tx, id).await?, user)?;
            tx.commit().await?;
            app.watch.changed(id);
            Ok(order)
        };
        self.database.unit_of_work(work).await
    }

    /// Takes items of a confirmed order back, once per return id.
    pub(crate) async fn return_items(
        &self,
        user: UserId,
        id: OrderId,
        return_id: ReturnId,
        items: Vec<(ProductId, i64)>,
    ) -> Result<Order, Error> {
        let app = self.clone();
        let work = async move {
            let mut tx = app.database.begin(id.shard()).await?;
            owned(store::lock(&mut tx, &[id]).await?.pop(), user)?;
            let order = owned(store::order(&mut tx, id).await?, user)?;
            if store::returns::exists(&mut tx, id, return_id).await? {
                return Ok(order);
            }
            let accepted = returns::decide(&order, return_id, &items)?;
            store::returns::insert(&mut tx, id, &accepted).await?;
            app.outbox.publish(&mut tx, &[events::returned(&order, &accepted)]).await?;
            let order = owned(store::order(&mut tx, id).await?, user)?;
            tx.commit().await?;
            app.watch.changed(id);
            Ok(order)
        };
        self.database.unit_of_work(work).await
    }

    /// Cancels orders whose deadline is over, and forgets old keys, until asked to stop.
    pub(crate) async fn enforce_deadlines(
        self,
        every: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut old_keys = interval(Duration::from_secs(3600));
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = due.tick() => self.cancel_due(&stop).await,
                _ = old_keys.tick() => self.forget_old_keys().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "deadlines: will try again");
            }
        }
    }

    async fn cancel_due(&self, stop: &CancellationToken) -> Result<(), Error> {
        for index in 0..self.database.pools().len() {
            while self.cancel_some_due(index).await? && !stop.is_cancelled() {}
        }
        Ok(())
    }

    /// Answers whether there may be more.
    async fn cancel_some_due(&self, index: usize) -> Result<bool, Error> {
        let mut tx = self.database.begin_at(index).await?;
        let orders = store::lock_due(&mut tx, DUE_MAX).await?;
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
        let time_left = store::advance(&mut tx, &steps).await?;
        let published = |(order, event)| events::published(order, event, &time_left);
        let outgoing: Vec<_> = due.into_iter().map(published).collect();
        self.outbox.publish(&mut tx, &outgoing).await?;
        tx.commit().await?;
        steps.iter().for_each(|(id, _)| self.watch.changed(*id));
        Ok(steps.len() as i64 == DUE_MAX)
    }

    async fn forget_old_keys(&self) -> Result<(), Error> {
        for pool in self.database.pools() {
            store::forget_old_keys(pool).await?;
        }
        Ok(())
    }
}

/// What a checkout found out before it writes.
struct Priced {
    cart: CartContents,
    lines: Vec<crate::domain::Line>,
    total: Money,
    ship_to: serde_json::Value,
}

impl Priced {
    fn order(
        &mut self,
        user: UserId,
        payment_method: PaymentMethodId,
        now: OffsetDateTime,
    ) -> Order {
        Order {
            id: OrderId::mint_on(user.shard()),
            user,
            cart: (self.cart.id, self.cart.version),
            state: State::Placed,
            payment_method,
            total: self.total,
            refunded: Money::zero(self.total.currency),
            lines: std::mem::take(&mut self.lines),
            version: 1,
            placed_at: now,
            stock_held_at: None,
            ended_at: None,
        }
    }
}

fn same_request(kept: store::KeptReply, fingerprint: &[u8]) -> Result<Vec<u8>, Error> {
    if kept.fingerprint == fingerprint { Ok(kept.reply) } else { Err(Rejection::KeyReused.into()) }
}

/// Somebody else's order does not exist.
fn owned(order: Option<Order>, user: UserId) -> Result<Order, Error> {
    order.filter(|order| order.user == user).ok_or(Error::Rejected(Rejection::OrderNotFound))
}
