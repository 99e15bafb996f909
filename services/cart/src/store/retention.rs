//! What is kept for a time, and for how long: `docs/operations.md` says why.

use database::RetentionRule;
use futures_util::FutureExt as _;
use sqlx::PgConnection;

use super::Result;

/// In this order.
pub(crate) const RETENTION: &[RetentionRule] = &[
    RetentionRule { what: "merges", delete: |db, most| merges(db, most).boxed() },
    RetentionRule { what: "guests' carts", delete: |db, most| guest_carts(db, most).boxed() },
];

/// A merge that was cut off is finished long before. They go before the guests' carts, whose versions begin anew.
async fn merges(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from merges where ctid = any(array(
             select ctid from merges where merged_at < now() - interval '30 days' limit $1
             for update skip locked
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Guests' carts that were not changed for this time.
async fn guest_carts(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "with old as (
             delete from carts where ctid = any(array(
                 select ctid from carts
                 where owner = 'guest' and state = 'open' and changed_at < now() - interval '31 days'
                 limit $1
             for update skip locked
             ))
             returning shard, cart_id
         ), lines as (
             delete from cart_lines l using old
             where l.shard = old.shard and l.owner = 'guest' and l.cart_id = old.cart_id
         )
         select from old",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
