//! Every SQL statement of accounts.

use std::time::Duration;

use database::constraint;
use kernel::{AddressId, FamilyId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::domain::refresh::{self, Token};
use crate::domain::{Address, Email, Role, User};

mod retention;

pub(crate) use retention::RETENTION;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// An account to be written.
pub(crate) struct NewUser<'a> {
    pub id: UserId,
    pub email: &'a Email,
    pub name: &'a str,
    pub role: Role,
    pub password_hash: &'a SecretString,
}

/// Opens an account. False: the e-mail is taken.
pub(crate) async fn insert(connection: &mut PgConnection, user: &NewUser<'_>) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into users (user_id, email, name, role, password_hash) values ($1, $2, $3, $4, $5)",
        user.id.uuid(),
        user.email.expose(),
        user.name,
        user.role.code(),
        user.password_hash.expose_secret(),
    )
    .execute(connection)
    .await;
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if constraint(&error) == Some("users_email_unique") => Ok(false),
        Err(error) => Err(error),
    }
}

/// What signing in needs to know of an account.
pub(crate) struct Credentials {
    pub user: UserId,
    pub role: Role,
    pub password_hash: SecretString,
}

/// The account with this e-mail.
pub(crate) async fn credentials(
    connection: &mut PgConnection,
    email: &Email,
) -> Result<Option<Credentials>> {
    let row = sqlx::query!(
        r#"select user_id, role, password_hash as "password_hash!" from users where email = $1"#,
        email.expose()
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let password_hash = row.password_hash.into();
        Ok(Credentials { user: row.user_id.into(), role: role(&row.role)?, password_hash })
    })
    .transpose()
}

/// An account that is not erased, with its addresses in the order in which they were added.
pub(crate) async fn user(connection: &mut PgConnection, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query!(
        r#"select email as "email!", name as "name!", role from users
           where user_id = $1 and erased_at is null"#,
        id.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let addresses = addresses(connection, id).await?;
    let (email, role) = (Email::stored(row.email), role(&row.role)?);
    Ok(Some(User { id, email, name: row.name, role, addresses }))
}

/// Changes the name of an account. False: there is none, or it was erased.
pub(crate) async fn rename(connection: &mut PgConnection, id: UserId, name: &str) -> Result<bool> {
    let renamed = sqlx::query!(
        "update users set name = $2 where user_id = $1 and erased_at is null",
        id.uuid(),
        name
    )
    .execute(connection)
    .await?;
    Ok(renamed.rows_affected() == 1)
}

struct AddressRow {
    /// Which of the rows that were asked for.
    place: i64,
    address_id: uuid::Uuid,
    recipient: String,
    line1: String,
    line2: String,
    city: String,
    postcode: String,
    country: String,
}

impl From<AddressRow> for Address {
    fn from(row: AddressRow) -> Self {
        Self {
            id: row.address_id.into(),
            recipient: row.recipient,
            line1: row.line1,
            line2: row.line2,
            city: row.city,
            postcode: row.postcode,
            country: row.country,
        }
    }
}

async fn addresses(connection: &mut PgConnection, user: UserId) -> Result<Vec<Address>> {
    let rows = sqlx::query_as!(
        AddressRow,
        r#"select position as "place!", address_id, recipient, line1, line2, city, postcode, country
           from addresses where user_id = $1 order by position"#,
        user.uuid()
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(Address::from).collect())
}

/// An address of a user: the one with this id, or without an id the first.
pub(crate) type Wanted = (UserId, Option<AddressId>);

/// Addresses, in their order, as far as they are there.
pub(crate) async fn wanted_addresses(
    connection: &mut PgConnection,
    wanted: &[Wanted],
) -> Result<Vec<Option<Address>>> {
    let users: Vec<uuid::Uuid> = wanted.iter().map(|(user, _)| user.uuid()).collect();
    let ids: Vec<Option<uuid::Uuid>> =
        wanted.iter().map(|(_, id)| id.map(AddressId::uuid)).collect();
    let rows = sqlx::query_as!(
        AddressRow,
        r#"select w.at as "place!", a.*
           from unnest($1::uuid[], $2::uuid[]) with ordinality w(user_id, address_id, at)
           cross join lateral (
               select address_id, recipient, line1, line2, city, postcode, country
               from addresses
               where user_id = w.user_id and (w.address_id is null or address_id = w.address_id)
               order by position limit 1
           ) a"#,
        &users,
        &ids as &[Option<uuid::Uuid>],
    )
    .fetch_all(connection)
    .await?;
    let mut addresses = vec![None; wanted.len()];
    for row in rows {
        let place = database::nth(&mut addresses, row.place)?;
        *place = Some(row.into());
    }
    Ok(addresses)
}

/// Locks an account that is not erased and counts its addresses.
pub(crate) async fn lock_and_count_addresses(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Option<i64>> {
    sqlx::query_scalar!(
        r#"with account as (
               select user_id from users where user_id = $1 and erased_at is null for update
           )
           select (select count(*) from addresses a where a.user_id = account.user_id) as "count!"
           from account"#,
        user.uuid()
    )
    .fetch_optional(connection)
    .await
}

/// Adds an address behind the others.
pub(crate) async fn insert_address(
    connection: &mut PgConnection,
    user: UserId,
    address: &Address,
) -> Result<()> {
    sqlx::query!(
        "insert into addresses
             (user_id, address_id, recipient, line1, line2, city, postcode, country)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        user.uuid(),
        address.id.uuid(),
        address.recipient,
        address.line1,
        address.line2,
        address.city,
        address.postcode,
        address.country,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Starts a family with its first token, and forgets those of the user that have run out.
/// False: the account was erased meanwhile.
pub(crate) async fn start_family(
    connection: &mut PgConnection,
    user: UserId,
    family: FamilyId,
    token_hash: &[u8],
) -> Result<bool> {
    let started = sqlx::query!(
        "with account as (
             select user_id from users where user_id = $1 and erased_at is null for share
         ), over as (
             delete from families where user_id = $1 and expires_at < now()
         ), started as (
             insert into families (family_id, user_id, expires_at)
             select $2, user_id, now() + make_interval(secs => $4) from account
             returning family_id, expires_at
         )
         insert into refresh_tokens (token_hash, family_id, expires_at)
         select $3, family_id, expires_at from started",
        user.uuid(),
        family.uuid(),
        token_hash,
        refresh::VALID.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(started.rows_affected() == 1)
}

/// A refresh token that somebody presents, at this moment of the database's clock.
pub(crate) struct Presented {
    pub token: Token,
    pub now: OffsetDateTime,
    pub family: FamilyId,
    pub user: UserId,
    pub role: Role,
}

/// Locks a refresh token and its family.
pub(crate) async fn lock_token(
    connection: &mut PgConnection,
    token_hash: &[u8],
) -> Result<Option<Presented>> {
    let row = sqlx::query!(
        r#"select t.used_at is not null as "used!", t.expires_at, now() as "now!",
               f.revoked_at is not null as "ended!", f.family_id, f.user_id, u.role
           from refresh_tokens t join families f using (family_id) join users u using (user_id)
           where t.token_hash = $1 for update of t, f"#,
        token_hash
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let token = Token { used: row.used, expires_at: row.expires_at, family_ended: row.ended };
        let (family, user) = (row.family_id.into(), row.user_id.into());
        Ok(Presented { token, now: row.now, family, user, role: role(&row.role)? })
    })
    .transpose()
}

/// Marks a token as used and gives its family the next. Forgets those that nobody could use any
/// more: a session that is never left does not grow for ever.
pub(crate) async fn rotate(
    connection: &mut PgConnection,
    family: FamilyId,
    used_hash: &[u8],
    next_hash: &[u8],
) -> Result<()> {
    sqlx::query!(
        "with used as (
             update refresh_tokens set used_at = now() where token_hash = $2
         ), extended as (
             update families set expires_at = now() + make_interval(secs => $4)
             where family_id = $1
             returning family_id, expires_at
         ), over as (
             delete from refresh_tokens where family_id = $1 and expires_at < now()
         )
         insert into refresh_tokens (token_hash, family_id, expires_at)
         select $3, family_id, expires_at from extended",
        family.uuid(),
        used_hash,
        next_hash,
        refresh::VALID.as_secs_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a family; its tokens are good for nothing from now on.
pub(crate) async fn end_family(connection: &mut PgConnection, family: FamilyId) -> Result<()> {
    sqlx::query!(
        "with ended as (
             update families set revoked_at = coalesce(revoked_at, now()) where family_id = $1
             returning family_id
         )
         insert into revocations (family_id) select family_id from ended on conflict do nothing",
        family.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The families that were ended within this time.
pub(crate) async fn ended_families(
    connection: &mut PgConnection,
    within: Duration,
) -> Result<Vec<FamilyId>> {
    let families = sqlx::query_scalar!(
        "select family_id from revocations where revoked_at > now() - make_interval(secs => $1)",
        within.as_secs_f64()
    );
    Ok(families.fetch_all(connection).await?.into_iter().map(FamilyId::from).collect())
}

/// One sign-in of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    GoesOn,
    Ended,
}

/// Locks an account that is not erased: what others wrote before is seen, and nothing can come after. None: there is none.
pub(crate) async fn lock_for_erasing(
    connection: &mut PgConnection,
    user: UserId,
    family: FamilyId,
) -> Result<Option<SignIn>> {
    let locked = sqlx::query_scalar!(
        "select user_id from users where user_id = $1 and erased_at is null for update",
        user.uuid()
    );
    if locked.fetch_optional(&mut *connection).await?.is_none() {
        return Ok(None);
    }
    let goes_on = sqlx::query_scalar!(
        r#"select exists (
               select from families where family_id = $2 and user_id = $1 and revoked_at is null
           ) as "goes_on!""#,
        user.uuid(),
        family.uuid()
    );
    let goes_on = goes_on.fetch_one(connection).await?;
    Ok(Some(if goes_on { SignIn::GoesOn } else { SignIn::Ended }))
}

/// Erases what is personal of an account that is locked, and ends every sign-in.
pub(crate) async fn erase(connection: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "with gone as (
             delete from families where user_id = $1 returning family_id
         ), revoked as (
             insert into revocations (family_id) select family_id from gone
             on conflict do nothing -- signed out before
         ), forgotten as (
             delete from addresses where user_id = $1
         )
         update users set email = null, name = null, password_hash = null, erased_at = now()
         where user_id = $1",
        user.uuid()
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn role(code: &str) -> Result<Role> {
    Role::parse(code).ok_or_else(|| sqlx::Error::Decode(format!("no role: {code}").into()))
}
