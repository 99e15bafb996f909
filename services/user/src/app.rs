//! What can be done with accounts.

use std::sync::Arc;

use database::Database;
use kernel::{AddressId, FamilyId, UserId};
use messaging::Outbox;
use thiserror::Error;

use crate::domain::refresh::{self, Event as Refreshed};
use crate::domain::{
    ADDRESSES_MAX, Address, Email, Event, Password, Registration, Rejection, Role, User,
};
use crate::events::outgoing;
use crate::passwords::{self, Passwords};
use crate::store::{self, NewUser};
use crate::tokens::{RefreshToken, Session, Tokens};

/// The commands and queries of accounts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

struct Parts {
    database: Database,
    outbox: Outbox,
    passwords: Passwords,
    tokens: Tokens,
}

/// Why a call did not succeed.
#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Rejected(#[from] Rejection),
    #[error(transparent)]
    Passwords(#[from] passwords::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Tokens(#[from] anyhow::Error),
}

type Result<T> = std::result::Result<T, Error>;

impl App {
    pub(crate) fn new(
        database: &Database,
        outbox: &Outbox,
        passwords: Passwords,
        tokens: Tokens,
    ) -> Self {
        let (database, outbox) = (database.clone(), outbox.clone());
        Self(Arc::new(Parts { database, outbox, passwords, tokens }))
    }

    /// Opens a customer's account.
    pub(crate) async fn register(&self, registration: Registration) -> Result<User> {
        self.open(registration, Role::Customer).await
    }

    /// Opens a staff account, unless there is an account with its e-mail. Nobody's role is
    /// changed: whoever had the e-mail first keeps what they have.
    pub(crate) async fn seed_staff(&self, registration: Registration) -> Result<()> {
        let known = store::credentials(self.0.database.sole(), &registration.email).await?;
        let role = match known {
            Some(known) => known.role,
            None => match self.open(registration, Role::Staff).await {
                Ok(user) => user.role,
                Err(Error::Rejected(Rejection::EmailTaken)) => Role::Staff, // another copy did it
                Err(error) => return Err(error),
            },
        };
        if role != Role::Staff {
            tracing::warn!("the staff account's e-mail belongs to a customer: not seeded");
        }
        Ok(())
    }

    /// Signs in: starts a family of refresh tokens.
    pub(crate) async fn sign_in(
        &self,
        email: Option<Email>,
        password: Option<Password>,
    ) -> Result<Session> {
        let turn = self.0.passwords.turn().await?;
        let database = &self.0.database;
        let known = match &email {
            Some(email) => store::credentials(database.sole(), email).await?,
            None => None,
        };
        let hash = known.as_ref().map(|known| known.password_hash.clone());
        let right = turn.verify(password, hash).await?;
        let Some(known) = known.filter(|_| right) else {
            return Err(Rejection::BadCredentials.into());
        };
        let (family, token) = (FamilyId::mint(), RefreshToken::mint()?);
        let hash = token.hash();
        let app = self.clone();
        let started = database.unit_of_work(async move {
            store::start_family(app.0.database.sole(), known.user, family, &hash).await
        });
        if !started.await? {
            return Err(Rejection::BadCredentials.into());
        }
        Ok(self.0.tokens.session(known.user, known.role, family, token)?)
    }

    /// Swaps a refresh token for a new session of its family.
    pub(crate) async fn refresh(&self, presented: RefreshToken) -> Result<Session> {
        let app = self.clone();
        self.0.database.unit_of_work(async move { app.refreshed(&presented.hash()).await }).await
    }

    async fn refreshed(&self, presented: &[u8]) -> Result<Session> {
        let mut tx = self.0.database.begin(kernel::Shard(0)).await?;
        let found = store::lock_token(&mut tx, presented).await?;
        let found = found.ok_or(Rejection::SessionEnded)?;
        match refresh::decide(&found.token, found.now)? {
            Refreshed::Rotated => {
                let next = RefreshToken::mint()?;
                store::rotate(&mut tx, found.family, presented, &next.hash()).await?;
                tx.commit().await?;
                Ok(self.0.tokens.session(found.user, found.role, found.family, next)?)
            }
            Refreshed::FamilyEnded => {
                store::end_family(&mut *tx, found.family).await?;
                tx.commit().await?;
                tracing::warn!(family = %found.family, "a refresh token came twice");
                Err(Rejection::SessionEnded.into())
            }
        }
    }

    /// Ends a family of refresh tokens.
    pub(crate) async fn sign_out(&self, family: FamilyId) -> Result<()> {
        let app = self.clone();
        let end = async move { store::end_family(app.0.database.sole(), family).await };
        Ok(self.0.database.unit_of_work(end).await?)
    }

    /// The account.
    pub(crate) async fn user(&self, user: UserId) -> Result<User> {
        let user = store::user(self.0.database.sole(), user).await?;
        Ok(user.ok_or(Rejection::UserNotFound)?)
    }

    /// Changes the name.
    pub(crate) async fn rename(&self, user: UserId, name: String) -> Result<User> {
        let app = self.clone();
        let rename = async move { store::rename(app.0.database.sole(), user, &name).await };
        if !self.0.database.unit_of_work(rename).await? {
            return Err(Rejection::UserNotFound.into());
        }
        self.user(user).await
    }

    /// Adds an address behind the others.
    pub(crate) async fn add_address(&self, user: UserId, address: Address) -> Result<Address> {
        let app = self.clone();
        let add = async move {
            let mut tx = app.0.database.begin(user.shard()).await?;
            match store::lock_and_count_addresses(&mut tx, user).await? {
                None => return Err(Rejection::UserNotFound.into()),
                Some(ADDRESSES_MAX..) => return Err(Rejection::TooManyAddresses.into()),
                Some(_) => store::insert_address(&mut tx, user, &address).await?,
            }
            tx.commit().await?;
            Ok(address)
        };
        self.0.database.unit_of_work(add).await
    }

    /// One address, or the default.
    pub(crate) async fn address(&self, user: UserId, id: Option<AddressId>) -> Result<Address> {
        let address = store::address(self.0.database.sole(), user, id).await?;
        let missing =
            if id.is_some() { Rejection::AddressNotFound } else { Rejection::AddressMissing };
        Ok(address.ok_or(missing)?)
    }

    /// Erases what is personal. Again: no change.
    pub(crate) async fn erase(&self, user: UserId) -> Result<()> {
        let app = self.clone();
        let erase = async move {
            let mut tx = app.0.database.begin(user.shard()).await?;
            if store::erase(&mut tx, user).await? {
                app.0.outbox.publish(&mut tx, &[outgoing(Event::Erased(user))]).await?;
                tx.commit().await?;
            }
            Ok(())
        };
        self.0.database.unit_of_work(erase).await
    }

    async fn open(&self, registration: Registration, role: Role) -> Result<User> {
        let Registration { email, password, name } = registration;
        let password_hash = self.0.passwords.turn().await?.hash(password).await?;
        let (app, id) = (self.clone(), UserId::mint());
        let open = async move {
            let new =
                NewUser { id, email: &email, name: &name, role, password_hash: &password_hash };
            let mut tx = app.0.database.begin(id.shard()).await?;
            if !store::insert(&mut tx, &new).await? {
                return Err(Rejection::EmailTaken.into());
            }
            app.0.outbox.publish(&mut tx, &[outgoing(Event::Registered(id))]).await?;
            tx.commit().await?;
            Ok(User { id, email, name, role, addresses: Vec::new() })
        };
        self.0.database.unit_of_work(open).await
    }
}
