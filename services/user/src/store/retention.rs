//! What is kept for a time, and for how long: `docs/operations.md` says why.

use database::RetentionRule;
use futures_util::FutureExt as _;
use sqlx::PgConnection;

use super::Result;

/// In this order.
pub(crate) const RETENTION: &[RetentionRule] = &[
    RetentionRule { what: "refresh tokens", delete: |db, most| tokens(db, most).boxed() },
    RetentionRule { what: "families", delete: |db, most| families(db, most).boxed() },
    RetentionRule { what: "revocations", delete: |db, most| revocations(db, most).boxed() },
];

/// Refused by their age already.
async fn tokens(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from refresh_tokens where ctid = any(array(
             select ctid from refresh_tokens where expires_at < now() limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Those whose last token is gone.
async fn families(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from families where family_id = any(array(
             select family_id from families f
             where expires_at < now()
                 and not exists (select from refresh_tokens t where t.family_id = f.family_id)
             limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Those whose access tokens have expired long ago.
async fn revocations(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from revocations where ctid = any(array(
             select ctid from revocations where revoked_at < now() - interval '1 hour' limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
