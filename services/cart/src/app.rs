//! What can be done with carts. Optimistic locking (optimistic concurrency control): a change is decided on the version
//! that was read, and written if the cart still has it. That is two round trips, and no lock is held between them.

use std::collections::BTreeMap;
use std::time::Duration;

use crash::Point;
use database::{Database, Freshness, Gathered, Tx};
use futures_util::FutureExt as _;
use kernel::{CartId, OrderId, Shard, UserId};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::domain::{
    Cart, Change, Checkout, Command, Key, Outcome, Rejection, State, Touched, decide,
};
use crate::store;
use crate::store::checkouts::Wanted;

/// Maximum number of version conflicts. At each of them another writer committed its change.
const ATTEMPTS_MAX: usize = 32;

/// Maximum number of interrupted merges in one batch of recovery.
const UNFINISHED_MAX: i64 = 100;

/// The commands and queries of carts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    database: Database,
    /// Single carts: those that are asked for at one moment, with one statement on each database.
    single: Gathered<Key, Cart>,
}

/// Maximum number of carts of one statement.
const GATHERED_MAX: usize = 64;

/// Why a call did not succeed.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error("too many changes at once")]
    Busy,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

type Result<T> = std::result::Result<T, Error>;

impl App {
    pub(crate) fn new(database: &Database) -> Self {
        let single = database.gather("cart.load", GATHERED_MAX, |db, keys| {
            async move { store::load_all(db, &keys).await }.boxed()
        });
        Self { database: database.clone(), single }
    }

    /// The cart as it is. Lines on their way to a user's cart are no longer the guest's.
    pub(crate) async fn get(&self, key: Key) -> Result<Cart> {
        let mut cart = self.load(key).await?;
        if let State::Merging(_) = cart.state {
            cart.lines.clear();
        }
        Ok(cart)
    }

    /// Where the carts are.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The carts of users, in their order. All are in the database of `home`.
    pub(crate) async fn get_all(&self, home: Shard, keys: Vec<Key>) -> Result<Vec<Cart>> {
        let load = self.database.read(home, Freshness::Primary, move |db| {
            async move { store::load_all(db, &keys).await }.boxed()
        });
        Ok(load.await?)
    }

    /// Changes a cart; answers what it is then.
    pub(crate) async fn change(&self, key: Key, command: Command) -> Result<Cart> {
        for _ in 0..ATTEMPTS_MAX {
            let mut cart = self.load(key).await?;
            if let State::Merging(_) = cart.state {
                self.finish_merge(key).await?;
                continue;
            }
            let change = decide(&cart, &command)?;
            // A command that changes nothing here may still be the user's word on a line that is in
            // a checkout.
            if change.is_empty() && cart.checkouts.is_empty() {
                return Ok(cart);
            }
            let (version, touched, swapped) = (cart.version, command.touches(), change.clone());
            let swap = self.database.write(key.shard(), move |db| {
                async move { store::swap(db, key, version, &swapped, touched).await }.boxed()
            });
            if let Some(version) = swap.await? {
                cart.apply(&change);
                cart.version = version;
                return Ok(cart);
            }
        }
        Err(Error::Busy)
    }

    /// Adds a guest's cart to a user's, in two steps that may be on two databases. After the
    /// first the lines belong to the user; whoever comes upon that finishes it.
    pub(crate) async fn merge(&self, guest: CartId, user: UserId) -> Result<Cart> {
        let (app, guest) = (self.clone(), Key::guest(guest));
        let merge = async move {
            let close = app
                .database
                .write(guest.shard(), move |db| store::close_for_merge(db, guest, user).boxed());
            close.await?;
            app.finish_merge(guest).await?;
            app.get(Key::user(user)).await
        };
        self.database.run_detached(merge).await
    }

    /// Takes every line out of the user's cart for an order, if the cart has this version. Again for
    /// the same order: the same checkout.
    pub(crate) async fn begin_checkout(
        &self,
        user: UserId,
        order: OrderId,
        version: i64,
    ) -> Result<Checkout> {
        let wanted = vec![(Key::user(user), order, version)];
        let begun = self.begin_checkouts(user.shard(), wanted).await?.pop().flatten();
        begun.ok_or(Error::Rejected(Rejection::CartChanged))
    }

    /// [`Self::begin_checkout`] for many users, each named once, in their order. All are in the database of `home`. None: the
    /// cart has changed.
    pub(crate) async fn begin_checkouts(
        &self,
        home: Shard,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Option<Checkout>>> {
        let mut sorted = wanted.clone();
        sorted.sort_unstable_by_key(|(key, ..)| key.id);
        let begin = self.database.write(home, move |db| {
            async move { store::checkouts::begin(db, &sorted).await }.boxed()
        });
        let begun = begin.await?;
        crash::point(Point::CheckoutBegun);
        Ok(wanted.iter().map(|(key, order, _)| begun.get(&(*key, *order)).cloned()).collect())
    }

    /// Ends a checkout as order says. One that is not there was ended before.
    pub(crate) async fn resolve_checkout(
        &self,
        key: Key,
        order: OrderId,
        outcome: Outcome,
    ) -> Result<()> {
        if outcome == Outcome::UnderWay {
            let later = self.database.write(key.shard(), move |db| {
                store::checkouts::resolve_later(db, key, order).boxed()
            });
            return Ok(later.await?);
        }
        let end = self.database.transaction(key.shard(), move |tx| {
            async move { apply_events(tx, BTreeMap::new(), &[(key, order, outcome)]).await }.boxed()
        });
        end.await
    }

    /// Checkouts whose outcome has been unknown for too long. Those on an unavailable database are left out.
    pub(crate) async fn unresolved_checkouts(&self, limit: i64) -> Result<Vec<(Key, OrderId)>> {
        let mut found = Vec::new();
        for home in self.database.one_shard_per_database() {
            let unresolved = self.database.read(home, Freshness::Primary, move |db| {
                store::checkouts::unresolved(db, limit).boxed()
            });
            match unresolved.await {
                Ok(some) => found.extend(some),
                Err(error) => tracing::warn!(%error, "unresolved checkouts have to wait"),
            }
        }
        Ok(found)
    }

    /// Recovery: finishes merges whose process died between the two steps, at an interval, until `stop`.
    pub(crate) async fn finish_merges(
        self,
        every: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            for home in self.database.one_shard_per_database() {
                if let Err(error) = self.finish_merges_on(home).await {
                    tracing::warn!(%error, "unfinished merges have to wait");
                }
            }
        }
        Ok(())
    }

    async fn load(&self, key: Key) -> Result<Cart> {
        Ok(self.single.read(key.shard(), key).await?)
    }

    async fn finish_merges_on(&self, home: Shard) -> Result<()> {
        let unfinished = self.database.read(home, Freshness::Primary, |db| {
            store::unfinished_merges(db, UNFINISHED_MAX).boxed()
        });
        for cart in unfinished.await? {
            self.finish_merge(Key::guest(cart)).await?;
        }
        Ok(())
    }

    /// The second step, if the first was done: the user's cart takes the lines in, once, and the
    /// guest's is open again. The version at which it was closed tells one merge from the next.
    async fn finish_merge(&self, guest: Key) -> Result<()> {
        let closed = self.load(guest).await?;
        let State::Merging(user) = closed.state else { return Ok(()) };
        self.take_in(Key::user(user), guest.id, &closed).await?;
        let reopen = self
            .database
            .write(guest.shard(), move |db| store::reopen(db, guest, closed.version).boxed());
        Ok(reopen.await?)
    }

    async fn take_in(&self, user: Key, guest: CartId, closed: &Cart) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let (version, lines) = (closed.version, closed.lines.clone());
            let taken = self.database.transaction(user.shard(), move |tx| {
                take_in(tx, user, (guest, version), Command::TakeIn(lines)).boxed()
            });
            match taken.await {
                Err(Error::Busy) => {}
                done => return done,
            }
        }
        Err(Error::Busy)
    }
}

/// Fails with [`Error::Busy`], and so rolls back, when another writer has changed the cart.
async fn take_in(
    tx: &mut Tx,
    user: Key,
    (guest, version): (CartId, i64),
    command: Command,
) -> Result<()> {
    if !store::record_merge(tx, user, guest, version).await? {
        return Ok(());
    }
    let cart = store::load(tx, user).await?;
    let change = decide(&cart, &command)?;
    if change.is_empty() {
        return Ok(());
    }
    let swapped = store::swap(tx, user, cart.version, &change, Touched::Nothing).await?;
    swapped.map(drop).ok_or(Error::Busy)
}

/// Applies what orders did to users' carts: commands for each cart, and checkouts that have ended,
/// of which the unsold lines go back.
pub(crate) async fn apply_events(
    tx: &mut Tx,
    mut commands: BTreeMap<Key, Vec<Command>>,
    ended: &[(Key, OrderId, Outcome)],
) -> Result<()> {
    for (key, ..) in ended.iter().filter(|(.., outcome)| *outcome == Outcome::Returned) {
        commands.entry(*key).or_default();
    }
    let keys: Vec<Key> = commands.keys().copied().collect();
    // Carts are locked before their checkouts, as every change of a cart does it.
    let carts = if keys.is_empty() { Vec::new() } else { store::lock_users(tx, &keys).await? };
    let unsold =
        if ended.is_empty() { Vec::new() } else { store::checkouts::end(tx, ended).await? };
    for (key, checkout) in unsold {
        commands.entry(key).or_default().push(checkout.give_back());
    }
    let mut changes = Vec::new();
    for (key, mut cart) in carts {
        let mut sum = Change::default();
        for command in &commands[&key] {
            let change = decide(&cart, command)?;
            cart.apply(&change);
            sum.then(change);
        }
        if !sum.is_empty() {
            changes.push((key, cart.version, sum));
        }
    }
    if !changes.is_empty() {
        store::write(tx, &changes).await?;
    }
    Ok(())
}
