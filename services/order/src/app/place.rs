//! Placing an order, and recovery of orphaned checkouts: begun and not placed (docs/adr/0013). After a crash:
//!
//! | after                         | the lines are in      | who cleans up                                                     |
//! |-------------------------------|-----------------------|-------------------------------------------------------------------|
//! | price                         | the cart              | nobody: nothing was written                                       |
//! | begin_checkout                | a checkout in cart    | the next attempt takes it up, or [`App::resolve_checkouts`] abandons the order, and the lines go back |
//! | the commit, before the answer | the order             | nobody: a retry gets the stored reply                             |
//!
//! A request holds a shared advisory lock of the order while it writes it; abandoning takes the exclusive one. So an
//! order is written or abandoned, never both.

use std::time::Duration;

use database::Freshness;
use futures_util::FutureExt as _;
use futures_util::future::try_join;
use identity::Caller;
use kernel::{CartId, OrderId, UserId};
use tokio_util::sync::CancellationToken;

use super::carried::{Checkout, Priced};
use super::write::{Unwritten, Written};
use super::{App, Error};
use crate::domain::{Rejection, placing};
use crate::peers::CartContents;
use crate::{convert, store};

/// Maximum number of attempts while the cart changes concurrently.
const ATTEMPTS_MAX: usize = 3;

/// Maximum number of orphaned checkouts in one batch of recovery.
const UNRESOLVED_MAX: u32 = 100;

impl App {
    /// Orders the caller's cart. Returns the encoded reply, which is stored under the idempotency key. A refusal is not
    /// stored, and is returned only if the key has no reply by then: a concurrent request with the same key may have
    /// emptied the cart.
    pub(crate) async fn place(
        &self,
        caller: &Caller,
        checkout: Checkout,
    ) -> Result<Vec<u8>, Error> {
        if let Some(reply) = self.kept(caller.user, &checkout).await? {
            return Ok(reply);
        }
        let mut placed = Err(Rejection::CartChanged.into());
        for _ in 0..ATTEMPTS_MAX {
            placed = self.place_cart(caller, &checkout).await;
            if !matches!(placed, Err(Error::Rejected(Rejection::CartChanged))) {
                break;
            }
        }
        match placed {
            Err(Error::Rejected(refusal)) => {
                self.kept(caller.user, &checkout).await?.ok_or(Error::Rejected(refusal))
            }
            other => other,
        }
    }

    /// Everything that can be refused is, before the lines leave the cart; and they leave it before
    /// the order is written. So whatever dies in between, they are in no cart and in no order, and
    /// come back as soon as it is certain that the order will never be written ([`Self::resolve_or_abandon`]).
    async fn place_cart(&self, caller: &Caller, checkout: &Checkout) -> Result<Vec<u8>, Error> {
        let cart = self.peers.cart(caller).await?;
        if cart.items.is_empty() {
            return self.take_up(caller, checkout, cart).await;
        }
        let (id, version) = (OrderId::mint_on(store::home(caller.user)), cart.version);
        let priced = self.price(caller, checkout, cart).await?;
        self.peers.begin_checkout(caller, id, version).await?;
        self.place_begun(caller.user, id, checkout.clone(), priced).await
    }

    /// An empty cart: there may be a checkout that was cut off after it had taken the lines.
    async fn take_up(
        &self,
        caller: &Caller,
        checkout: &Checkout,
        cart: CartContents,
    ) -> Result<Vec<u8>, Error> {
        if cart.checkouts.is_empty() {
            return Err(Rejection::CartEmpty.into());
        }
        let (user, checkouts) = (caller.user, cart.checkouts.clone());
        let unplaced = self.database.read(store::home(user), Freshness::Primary, move |db| {
            async move { store::checkouts::unplaced(db, user, &checkouts).await }.boxed()
        });
        let id = unplaced.await?.ok_or(Rejection::CartAlreadyOrdered)?;
        let begun = self.peers.begin_checkout(caller, id, cart.version).await?;
        match self.price(caller, checkout, begun).await {
            Ok(priced) => self.place_begun(caller.user, id, checkout.clone(), priced).await,
            Err(refusal) => {
                self.try_resolve_now(caller.user.into(), id).await;
                Err(refusal)
            }
        }
    }

    async fn place_begun(
        &self,
        user: UserId,
        id: OrderId,
        checkout: Checkout,
        priced: Priced,
    ) -> Result<Vec<u8>, Error> {
        match self.write(user, id, checkout, priced).await {
            Ok(Written::New(reply)) => Ok(reply),
            Ok(Written::Before(reply)) => {
                self.try_resolve_now(user.into(), id).await;
                Ok(reply)
            }
            // An unavailable or overloaded database is not queried at once for the outcome.
            Err(error @ Error::Database(_)) => Err(error),
            Err(error) => {
                self.try_resolve_now(user.into(), id).await;
                Err(error)
            }
        }
    }

    /// Tries to resolve a checkout now; if that fails, [`Self::resolve_checkouts`] does it later. True: it is resolved.
    async fn try_resolve_now(&self, cart: CartId, id: OrderId) -> bool {
        let resolved = self.resolve_or_abandon(cart, id).await;
        if let Err(error) = &resolved {
            tracing::warn!(%error, order_id = %id, "a checkout is resolved later");
        }
        resolved.is_ok()
    }

    /// Tells cart the outcome of an order that has its lines. An order that is not written is abandoned, so a request
    /// that is still placing it fails.
    async fn resolve_or_abandon(&self, cart: CartId, id: OrderId) -> Result<(), Error> {
        let look = self.database.transaction(id.shard(), move |tx| {
            let look = async move {
                if !store::checkouts::try_lock(tx, id).await? {
                    return Ok(None); // being placed at this moment
                }
                let state = store::checkouts::state_or_abandon(tx, id).await?;
                Ok::<_, Error>(Some(convert::outcome(state)))
            };
            look.boxed()
        });
        if let Some(outcome) = look.await? {
            self.peers.resolve_checkout(cart, id, outcome).await?;
        }
        Ok(())
    }

    /// Recovery: resolves checkouts whose outcome cart has been waiting for too long, until `stop`.
    pub(crate) async fn resolve_checkouts(
        self,
        every: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            if let Err(error) = self.resolve_all(&stop).await {
                tracing::debug!(%error, "unresolved checkouts have to wait");
            }
        }
        Ok(())
    }

    async fn resolve_all(&self, stop: &CancellationToken) -> Result<(), Error> {
        loop {
            let checkouts = self.peers.unresolved_checkouts(UNRESOLVED_MAX).await?;
            let mut more = checkouts.len() == UNRESOLVED_MAX as usize;
            for (cart, id) in checkouts {
                // A checkout whose database is unavailable delays no other, and is resolved by a later run.
                more &= self.try_resolve_now(cart, id).await;
            }
            if !more || stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    async fn kept(&self, user: UserId, checkout: &Checkout) -> Result<Option<Vec<u8>>, Error> {
        let kept = self.kept.read(store::home(user), (user, checkout.key.clone())).await?;
        Ok(kept.map(|kept| checkout.same_request(kept)).transpose()?)
    }

    async fn price(
        &self,
        caller: &Caller,
        checkout: &Checkout,
        cart: CartContents,
    ) -> Result<Priced, Error> {
        let priced = async {
            let offers = self.peers.offers(cart.items.iter().map(|(product, _)| *product)).await?;
            let (lines, total) = placing::price(&cart.items, &offers)?;
            placing::check_total(checkout.expected_total, total, &lines, &offers)?;
            Ok((lines, total))
        };
        let address = async { Ok::<_, Error>(self.peers.address(caller, checkout.address).await?) };
        let ((lines, total), ship_to) = try_join(priced, address).await?;
        Ok(Priced { cart: (cart.id, cart.version), lines, total, ship_to })
    }

    async fn write(
        &self,
        user: UserId,
        id: OrderId,
        checkout: Checkout,
        priced: Priced,
    ) -> Result<Written, Error> {
        let database = self.database.index_of(store::home(user));
        let traceparent = telemetry::context::current();
        let unwritten = Unwritten { user, id, checkout, priced, traceparent };
        self.writers[database].ask(unwritten).await?
    }
}
