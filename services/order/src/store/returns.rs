//! Returns and their refunds.

use kernel::{OrderId, ReturnId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Result;
use crate::domain::Return;

/// Whether this return was accepted before.
pub(crate) async fn exists(tx: &mut PgConnection, order: OrderId, id: ReturnId) -> Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from returns
             where shard = $1 and order_id = $2 and return_id = $3) as "exists!""#,
        order.shard().column(),
        order.uuid(),
        id.uuid()
    )
    .fetch_one(tx)
    .await
}

/// Writes an accepted return, and what has come back of each line.
pub(crate) async fn insert(tx: &mut PgConnection, order: OrderId, accepted: &Return) -> Result<()> {
    let products: Vec<Uuid> = accepted.items.iter().map(|(product, _)| product.uuid()).collect();
    let quantities: Vec<i64> = accepted.items.iter().map(|(_, quantity)| *quantity).collect();
    let items = serde_json::json!(accepted.items);
    sqlx::query!(
        "with new_return as (
             insert into returns (shard, order_id, return_id, items, refund_minor)
             values ($1, $2, $3, $4, $5)
         ), grown as (
             update orders set version = version + 1 where shard = $1 and order_id = $2
         )
         update order_lines l set returned = returned + r.quantity
         from unnest($6::uuid[], $7::bigint[]) r(product_id, quantity)
         where l.shard = $1 and l.order_id = $2 and l.product_id = r.product_id",
        order.shard().column(),
        order.uuid(),
        accepted.id.uuid(),
        items,
        accepted.refund.minor,
        &products,
        &quantities
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// One refund that arrived: which return of which order.
pub(crate) type Refund = (OrderId, ReturnId);

/// Books refunds that payment has made, each once.
pub(crate) async fn book(tx: &mut PgConnection, refunds: &[Refund]) -> Result<()> {
    let shards: Vec<i16> = refunds.iter().map(|(order, _)| order.shard().column()).collect();
    let orders: Vec<Uuid> = refunds.iter().map(|(order, _)| order.uuid()).collect();
    let returns: Vec<Uuid> = refunds.iter().map(|(_, id)| id.uuid()).collect();
    sqlx::query!(
        "with booked as (
             update returns r set refunded_at = now()
             from unnest($1::smallint[], $2::uuid[], $3::uuid[]) b(shard, order_id, return_id)
             where r.shard = b.shard and r.order_id = b.order_id and r.return_id = b.return_id
                 and r.refunded_at is null
             returning r.shard, r.order_id, r.refund_minor
         )
         update orders o set refunded_minor = refunded_minor + b.refund, version = version + 1
         from (select shard, order_id, sum(refund_minor)::bigint as refund
               from booked group by shard, order_id) b
         where o.shard = b.shard and o.order_id = b.order_id",
        &shards,
        &orders,
        &returns
    )
    .execute(tx)
    .await?;
    Ok(())
}
