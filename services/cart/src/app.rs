//! What can be done with carts. A change is decided on what was read, and written if the cart
//! has not moved since: two round trips, and no lock is held between them.

use std::time::Duration;

use database::Database;
use kernel::{CartId, UserId};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::domain::{Cart, Command, Key, Rejection, State, decide};
use crate::store;

/// So often may others be faster. Each time one of them got its change through.
const TRIES_MAX: usize = 32;

/// Merges that are taken up again in one go.
const UNFINISHED_MAX: i64 = 100;

/// The commands and queries of carts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    database: Database,
}

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
        Self { database: database.clone() }
    }

    /// The cart as it is. Lines on their way to a user's cart are no longer the guest's.
    pub(crate) async fn get(&self, key: Key) -> Result<Cart> {
        let mut cart = store::load(self.database.shard(key.shard()), key).await?;
        if let State::Merging(_) = cart.state {
            cart.lines.clear();
        }
        Ok(cart)
    }

    /// Changes a cart; answers what it is then.
    pub(crate) async fn change(&self, key: Key, command: Command) -> Result<Cart> {
        let app = self.clone();
        self.database.unit_of_work(async move { app.changed(key, &command).await }).await
    }

    /// Adds a guest's cart to a user's, in two steps that may be on two databases. After the
    /// first the lines belong to the user; whoever comes upon that finishes it.
    pub(crate) async fn merge(&self, guest: CartId, user: UserId) -> Result<Cart> {
        let (app, guest) = (self.clone(), Key::guest(guest));
        let merge = async move {
            let pool = app.database.shard(guest.shard());
            store::close_for_merge(pool, guest, user).await?;
            app.finish_merge(guest).await?;
            app.get(Key::user(user)).await
        };
        self.database.unit_of_work(merge).await
    }

    /// Finishes, now and then, merges whose process died between the steps.
    pub(crate) async fn finish_merges(
        self,
        every: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
            let app = self.clone();
            let finished = self.database.unit_of_work(async move { app.unfinished().await }).await;
            if let Err(error) = finished {
                tracing::warn!(%error, "unfinished merges have to wait");
            }
        }
        Ok(())
    }

    async fn changed(&self, key: Key, command: &Command) -> Result<Cart> {
        let pool = self.database.shard(key.shard());
        for _ in 0..TRIES_MAX {
            let mut cart = store::load(pool, key).await?;
            if let State::Merging(_) = cart.state {
                self.finish_merge(key).await?;
                continue;
            }
            let change = decide(&cart, command)?;
            if change.is_empty() || store::swap(pool, key, cart.version, &change).await? {
                cart.apply(&change);
                return Ok(cart);
            }
        }
        Err(Error::Busy)
    }

    async fn unfinished(&self) -> Result<()> {
        for pool in self.database.pools() {
            for cart in store::unfinished_merges(pool, UNFINISHED_MAX).await? {
                self.finish_merge(Key::guest(cart)).await?;
            }
        }
        Ok(())
    }

    /// The second step, if the first was done: the user's cart takes the lines in, once, and the
    /// guest's is open again. The version at which it was closed tells one merge from the next.
    async fn finish_merge(&self, guest: Key) -> Result<()> {
        let pool = self.database.shard(guest.shard());
        let closed = store::load(pool, guest).await?;
        if let State::Merging(user) = closed.state {
            self.take_in(Key::user(user), guest.id, &closed).await?;
            store::reopen(pool, guest, closed.version).await?;
        }
        Ok(())
    }

    async fn take_in(&self, user: Key, guest: CartId, closed: &Cart) -> Result<()> {
        let command = Command::TakeIn(closed.lines.clone());
        for _ in 0..TRIES_MAX {
            let mut tx = self.database.begin(user.shard()).await?;
            if !store::record_merge(&mut tx, user, guest, closed.version).await? {
                return Ok(());
            }
            let cart = store::load(&mut *tx, user).await?;
            let change = decide(&cart, &command)?;
            if change.is_empty() || store::swap(&mut *tx, user, cart.version, &change).await? {
                return Ok(tx.commit().await?);
            }
        }
        Err(Error::Busy)
    }
}
