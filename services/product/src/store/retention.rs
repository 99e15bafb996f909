//! What is kept for a time, and for how long: `docs/operations.md` says why.

use database::RetentionRule;
use futures_util::FutureExt as _;
use sqlx::PgConnection;

use super::Result;

/// In this order.
pub(crate) const RETENTION: &[RetentionRule] = &[
    RetentionRule {
        what: "reservations that ended without a sale",
        delete: |db, most| unsold(db, most).boxed(),
    },
    RetentionRule { what: "changes", delete: |db, most| taken_in(db, most).boxed() },
];

/// Longer than events can be delivered again, so that none of an order's comes after its end is forgotten.
async fn unsold(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from reservations where ctid = any(array(
             select ctid from reservations where created_at < now() - interval '60 days' and state in ('released', 'rejected')
                 and not exists (select from returns r where r.order_id = reservations.order_id) limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Much longer than a copy may be silent before it reads everything again.
async fn taken_in(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from changes where (changed_in, position) in (
             select changed_in, position from changes where changed_at < now() - interval '1 hour'
             order by changed_in, position limit $1
         )",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
