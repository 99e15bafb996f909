//! What is kept for a time, and for how long: `docs/operations.md` says why.

use database::RetentionRule;
use futures_util::FutureExt as _;
use sqlx::PgConnection;

use super::Result;

/// In this order.
pub(crate) const RETENTION: &[RetentionRule] = &[
    RetentionRule { what: "idempotency keys", delete: |db, most| keys(db, most).boxed() },
    RetentionRule { what: "abandoned checkouts", delete: |db, most| abandoned(db, most).boxed() },
];

/// Idempotency keys: callers are promised a day.
async fn keys(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from idempotency_keys where ctid = any(array(
             select ctid from idempotency_keys where created_at < now() - interval '48 hours' limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Abandoned checkouts: no request can still be placing one after this time.
async fn abandoned(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from abandoned_checkouts where ctid = any(array(
             select ctid from abandoned_checkouts where abandoned_at < now() - interval '48 hours' limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
