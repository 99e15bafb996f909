//! Lines that have left carts for orders.

use std::collections::HashMap;

use kernel::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, columns, user_key};
use crate::domain::{Checkout, Key, Outcome};

/// A checkout's row.
struct CheckoutRow {
    cart_id: Uuid,
    order_id: Uuid,
    cart_version: i64,
    product_ids: Vec<Uuid>,
    quantities: Vec<i64>,
    changed: Vec<Uuid>,
}

impl CheckoutRow {
    fn checkout(self) -> (Key, Checkout) {
        let products = self.product_ids.into_iter().map(Into::into);
        let checkout = Checkout {
            order: self.order_id.into(),
            cart_version: self.cart_version,
            lines: products.zip(self.quantities).collect(),
            changed: self.changed.into_iter().map(Into::into).collect(),
        };
        (user_key(self.cart_id), checkout)
    }
}

/// An order, and the user's cart at the version whose lines it wants.
pub(crate) type Wanted = (Key, OrderId, i64);

/// Moves every line of each user's cart into a checkout, if the cart has this version. Returns the checkouts, also those
/// that were begun before. One that is missing: its cart has another version, or no line.
///
/// No cart is named twice. They come in the order of their ids: two batches that meet wait one way, and where PostgreSQL
/// chooses another order, one of them fails with a deadlock, which is transient.
#[expect(clippy::too_many_lines, reason = "one statement, and its columns")]
pub(crate) async fn begin(
    connection: &mut PgConnection,
    wanted: &[Wanted],
) -> Result<HashMap<(Key, OrderId), Checkout>> {
    let (shards, ids) = columns(wanted.iter().map(|(key, ..)| key));
    let orders: Vec<Uuid> = wanted.iter().map(|(_, order, _)| order.uuid()).collect();
    let versions: Vec<i64> = wanted.iter().map(|(.., version)| *version).collect();
    let rows = sqlx::query_as!(
        CheckoutRow,
        r#"with wanted as (
               select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::bigint[])
                   w(shard, cart_id, order_id, version)
           ), moved as (
               update carts c set version = c.version + 1, changed_at = now()
               from wanted w
               where c.shard = w.shard and c.owner = 'user' and c.cart_id = w.cart_id
                   and c.version = w.version and c.state = 'open'
                   and exists (select from cart_lines l where l.shard = w.shard
                       and l.owner = 'user' and l.cart_id = w.cart_id)
                   and not exists (select from checkouts k where k.shard = w.shard
                       and k.cart_id = w.cart_id and k.order_id = w.order_id)
               returning w.shard, w.cart_id, w.order_id, w.version
           ), taken as (
               delete from cart_lines l using moved m
               where l.shard = m.shard and l.owner = 'user' and l.cart_id = m.cart_id
               returning m.shard, m.cart_id, m.order_id, m.version, l.product_id, l.quantity,
                   l.position
           ), begun as (
               insert into checkouts
                   (shard, cart_id, order_id, cart_version, product_ids, quantities)
               select shard, cart_id, order_id, version, array_agg(product_id order by position),
                   array_agg(quantity order by position)
               from taken group by shard, cart_id, order_id, version
               returning cart_id, order_id, cart_version, product_ids, quantities, changed
           )
           select cart_id as "cart_id!", order_id as "order_id!", cart_version as "cart_version!",
               product_ids as "product_ids!", quantities as "quantities!", changed as "changed!"
           from begun
           union all
           select k.cart_id, k.order_id, k.cart_version, k.product_ids, k.quantities, k.changed
           from wanted w join checkouts k
               on k.shard = w.shard and k.cart_id = w.cart_id and k.order_id = w.order_id"#,
        &shards,
        &ids,
        &orders,
        &versions,
    )
    .fetch_all(connection)
    .await?;
    let checkouts = rows.into_iter().map(CheckoutRow::checkout);
    Ok(checkouts.map(|(key, checkout)| ((key, checkout.order), checkout)).collect())
}

/// Removes checkouts that have ended. Returns those whose lines go back.
pub(crate) async fn end(
    connection: &mut PgConnection,
    ended: &[(Key, OrderId, Outcome)],
) -> Result<Vec<(Key, Checkout)>> {
    let (shards, ids) = columns(ended.iter().map(|(key, ..)| key));
    let orders: Vec<Uuid> = ended.iter().map(|(_, order, _)| order.uuid()).collect();
    let returned: Vec<bool> =
        ended.iter().map(|(.., outcome)| *outcome == Outcome::Returned).collect();
    let rows = sqlx::query!(
        r#"delete from checkouts c
           using unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::boolean[])
               e(shard, cart_id, order_id, returned)
           where c.shard = e.shard and c.cart_id = e.cart_id and c.order_id = e.order_id
           returning c.cart_id, c.order_id, c.cart_version, c.product_ids, c.quantities,
               c.changed, e.returned as "returned!""#,
        &shards,
        &ids,
        &orders,
        &returned,
    )
    .fetch_all(connection)
    .await?;
    let unsold = rows.into_iter().filter(|row| row.returned).map(|row| {
        let row = CheckoutRow {
            cart_id: row.cart_id,
            order_id: row.order_id,
            cart_version: row.cart_version,
            product_ids: row.product_ids,
            quantities: row.quantities,
            changed: row.changed,
        };
        row.checkout()
    });
    Ok(unsold.collect())
}

/// Checkouts whose outcome has been unknown for too long, oldest first.
pub(crate) async fn unresolved(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(Key, OrderId)>> {
    let rows = sqlx::query!(
        "select cart_id, order_id from checkouts where resolve_at < now()
         order by resolve_at limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (user_key(row.cart_id), row.order_id.into())).collect())
}

/// The order is still open: its last event will end this checkout. Order is asked again in ten minutes, in case that
/// event is lost.
pub(crate) async fn resolve_later(
    connection: &mut PgConnection,
    key: Key,
    order: OrderId,
) -> Result<()> {
    sqlx::query!(
        "update checkouts set resolve_at = now() + interval '10 minutes'
         where shard = $1 and cart_id = $2 and order_id = $3",
        key.shard().column(),
        key.id.uuid(),
        order.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
