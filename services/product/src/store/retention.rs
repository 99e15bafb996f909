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
    RetentionRule {
        what: "what was bought together",
        delete: |db, most| expired(db, most).boxed(),
    },
    RetentionRule { what: "changes", delete: |db, most| taken_in(db, most).boxed() },
    RetentionRule { what: "imports that have ended", delete: |db, most| ended(db, most).boxed() },
    RetentionRule {
        what: "items that no import wants",
        delete: |db, most| unwanted(db, most).boxed(),
    },
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

/// Months of which nobody reads any more.
async fn expired(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from bought_together where (month, product_id, with_id) in (
             select month, product_id, with_id from bought_together where month < date_trunc('month', now() - interval '2 months')
             order by month, product_id, with_id limit $1
         )",
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

async fn ended(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from imports where import_id in (
             select import_id from imports where created_at < now() - interval '30 days' and state <> 'running' limit $1
         )",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Of uploads that broke off, and of imports that were cancelled or failed. An upload takes much less time.
async fn unwanted(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from import_items where ctid = any(array(
             select ctid from import_items where staged_at < now() - interval '1 hour'
                 and not exists (select from imports i where i.import_id = import_items.import_id and i.state = 'running') limit $1
         ))",
        most
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
