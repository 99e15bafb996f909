//! What can be done with accounts.

use std::sync::Arc;

use database::{Database, Freshness, ONLY_SHARD, Tx};
use kernel::{AddressId, FamilyId, UserId};
use messaging::Outbox;
use thiserror::Error;

use crate::domain::refresh::{self, Event as Refreshed};
use crate::domain::{
    ADDRESSES_MAX, Address, Email, Event, Password, Registration, Rejection, Role, User,
};
use crate::events::outgoing;
use crate::passwords::{self, Passwords};
use crate::store::{self, Credentials, NewUser, Presented, SignIn};
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
        let known = self.credentials(registration.email.clone()).await?;
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
        let permit = self.0.passwords.permit().await?;
        let known = match email {
            Some(email) => self.credentials(email).await?,
            None => None,
        };
        let hash = known.as_ref().map(|known| known.password_hash.clone());
        let right = permit.verify(password, hash).await?;
        let Some(known) = known.filter(|_| right) else {
            return Err(Rejection::BadCredentials.into());
        };
        let (family, token) = (FamilyId::mint(), RefreshToken::mint()?);
        let hash = token.hash();
        let user = known.user;
        let started = self.0.database.write(ONLY_SHARD, move |db| {
            Box::pin(async move { store::start_family(db, user, family, &hash).await })
        });
        if !started.await? {
            return Err(Rejection::BadCredentials.into());
        }
        Ok(self.0.tokens.session(known.user, known.role, family, token)?)
    }

    /// Swaps a refresh token for a new session of its family.
    pub(crate) async fn refresh(&self, presented: RefreshToken) -> Result<Session> {
        let presented = presented.hash();
        let refreshed = self.0.database.transaction(ONLY_SHARD, move |tx| {
            Box::pin(async move { refreshed(tx, &presented).await })
        });
        let (found, next) = refreshed.await?;
        let next = next.ok_or(Rejection::SessionEnded)?;
        Ok(self.0.tokens.session(found.user, found.role, found.family, next)?)
    }

    /// Ends a family of refresh tokens.
    pub(crate) async fn sign_out(&self, family: FamilyId) -> Result<()> {
        let end =
            self.0.database.write(ONLY_SHARD, move |db| Box::pin(store::end_family(db, family)));
        Ok(end.await?)
    }

    /// The account.
    pub(crate) async fn user(&self, user: UserId) -> Result<User> {
        let found = self
            .0
            .database
            .read(ONLY_SHARD, Freshness::Primary, move |db| Box::pin(store::user(db, user)));
        Ok(found.await?.ok_or(Rejection::UserNotFound)?)
    }

    /// Changes the name.
    pub(crate) async fn rename(&self, user: UserId, name: String) -> Result<User> {
        let rename = self.0.database.write(ONLY_SHARD, move |db| {
            Box::pin(async move { store::rename(db, user, &name).await })
        });
        if !rename.await? {
            return Err(Rejection::UserNotFound.into());
        }
        self.user(user).await
    }

    /// Adds an address behind the others.
    pub(crate) async fn add_address(&self, user: UserId, address: Address) -> Result<Address> {
        let add = self.0.database.transaction(ONLY_SHARD, move |tx| {
            Box::pin(async move {
                match store::lock_and_count_addresses(tx, user).await? {
                    None => Err(Rejection::UserNotFound.into()),
                    Some(ADDRESSES_MAX..) => Err(Rejection::TooManyAddresses.into()),
                    Some(_) => {
                        Ok(store::insert_address(tx, user, &address).await.map(|()| address)?)
                    }
                }
            })
        });
        add.await
    }

    /// One address, or the default.
    pub(crate) async fn address(&self, user: UserId, id: Option<AddressId>) -> Result<Address> {
        let found = self.addresses(vec![(user, id)]).await?.pop();
        Ok(found.unwrap_or(Err(missing(id)))?)
    }

    /// [`Self::address`] for many users, in their order.
    pub(crate) async fn addresses(
        &self,
        wanted: Vec<store::Wanted>,
    ) -> Result<Vec<std::result::Result<Address, Rejection>>> {
        let (named, database) = (wanted.clone(), &self.0.database);
        let found = database.read(ONLY_SHARD, Freshness::Primary, move |db| {
            Box::pin(async move { store::wanted_addresses(db, &wanted).await })
        });
        let found = found.await.map_err(Error::Database)?.into_iter().zip(named);
        Ok(found.map(|(address, (_, id))| address.ok_or(missing(id))).collect())
    }

    /// Erases the personal data of an account (GDPR: right to erasure), for a sign-in that goes on: a token of one that was
    /// ended may be somebody else's by now. Again: no change.
    pub(crate) async fn erase(&self, user: UserId, family: FamilyId) -> Result<()> {
        let outbox = self.0.outbox.clone();
        let erase = self.0.database.transaction(ONLY_SHARD, move |tx| {
            Box::pin(async move {
                match store::lock_for_erasing(tx, user, family).await? {
                    None => Ok(()),
                    Some(SignIn::Ended) => Err(Rejection::SessionEnded.into()),
                    Some(SignIn::GoesOn) => {
                        store::erase(tx, user).await?;
                        Ok(outbox.publish(tx, &[outgoing(Event::Erased(user))]).await?)
                    }
                }
            })
        });
        erase.await
    }

    async fn open(&self, registration: Registration, role: Role) -> Result<User> {
        let Registration { email, password, name } = registration;
        let password_hash = self.0.passwords.permit().await?.hash(password).await?;
        let (outbox, id) = (self.0.outbox.clone(), UserId::mint());
        let open = self.0.database.transaction(ONLY_SHARD, move |tx| {
            Box::pin(async move {
                let new =
                    NewUser { id, email: &email, name: &name, role, password_hash: &password_hash };
                if !store::insert(tx, &new).await? {
                    return Err(Rejection::EmailTaken.into());
                }
                outbox.publish(tx, &[outgoing(Event::Registered(id))]).await?;
                Ok(User { id, email, name, role, addresses: Vec::new() })
            })
        });
        open.await
    }

    async fn credentials(&self, email: Email) -> Result<Option<Credentials>> {
        let found = self.0.database.read(ONLY_SHARD, Freshness::Primary, move |db| {
            Box::pin(async move { store::credentials(db, &email).await })
        });
        Ok(found.await?)
    }
}

/// The presented token with its successor; none, when it came twice and its family was ended.
async fn refreshed(tx: &mut Tx, presented: &[u8]) -> Result<(Presented, Option<RefreshToken>)> {
    let found = store::lock_token(tx, presented).await?;
    let found = found.ok_or(Rejection::SessionEnded)?;
    let next = match refresh::decide(&found.token, found.now)? {
        Refreshed::Rotated => {
            let next = RefreshToken::mint()?;
            store::rotate(tx, found.family, presented, &next.hash()).await?;
            Some(next)
        }
        Refreshed::FamilyEnded => {
            store::end_family(tx, found.family).await?;
            tx.after_commit(move || {
                tracing::warn!(family = %found.family, "a refresh token came twice");
            });
            None
        }
    };
    Ok((found, next))
}

fn missing(address: Option<AddressId>) -> Rejection {
    if address.is_some() { Rejection::AddressNotFound } else { Rejection::AddressMissing }
}
