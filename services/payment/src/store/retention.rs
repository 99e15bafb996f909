//! What is kept for a time, and for how long: `docs/operations.md` says why.

use database::RetentionRule;
use futures_util::FutureExt as _;
use sqlx::PgConnection;

use super::Result;

/// In this order.
pub(crate) const RETENTION: &[RetentionRule] =
    &[RetentionRule { what: "webhooks", delete: |db, most| webhooks(db, most).boxed() }];

/// Ids of webhooks: the provider repeats none after this time.
async fn webhooks(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from webhooks where ctid = any(array(
             select ctid from webhooks where received_at < now() - interval '7 days' limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
