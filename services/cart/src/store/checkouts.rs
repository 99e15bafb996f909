//! Lines that have left carts for orders.

use kernel::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, columns, user_key};
use crate::domain::{Checkout, Key, Outcome};

/// A checkout's row.
struct CheckoutRow {
    order_id: Uuid,
    cart_version: i64,
    product_ids: Vec<Uuid>,
    quantities: Vec<i64>,
    changed: Vec<Uuid>,
}

impl CheckoutRow {
    fn checkout(self) -> Checkout {
        let products = self.product_ids.into_iter().map(Into::into);
        Checkout {
            order: self.order_id.into(),
            cart_version: self.cart_version,
            lines: products.zip(self.quantities).collect(),
            changed: self.changed.into_iter().map(Into::into).collect(),
        }
    }
}

/// Moves every line of a user's cart into a checkout, if the cart has this version. Returns the
/// checkout, also when it was begun before; none: the cart has another version, or no line.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    key: Key,
    order: OrderId,
    version: i64,
) -> Result<Option<Checkout>> {
    let row = sqlx::query_as!(
        CheckoutRow,
        r#"with moved as (
               update carts c set version = version + 1, changed_at = now()
               where shard = $1 and owner = 'user' and cart_id = $2 and version = $4
                   and state = 'open'
                   and exists (select from cart_lines l where l.shard = c.shard
                       and l.owner = c.owner and l.cart_id = c.cart_id)
                   and not exists (select from checkouts k where k.shard = $1
                       and k.cart_id = $2 and k.order_id = $3)
               returning version
           ), taken as (
               delete from cart_lines
               where shard = $1 and owner = 'user' and cart_id = $2
                   and exists (select from moved)
               returning product_id, quantity, position
           ), begun as (
               insert into checkouts
                   (shard, cart_id, order_id, cart_version, product_ids, quantities)
               select $1, $2, $3, $4, array_agg(product_id order by position),
                   array_agg(quantity order by position)
               from taken having count(*) > 0
               returning order_id, cart_version, product_ids, quantities, changed
           )
           select order_id as "order_id!", cart_version as "cart_version!",
               product_ids as "product_ids!", quantities as "quantities!", changed as "changed!"
           from begun
           union all
           select order_id, cart_version, product_ids, quantities, changed from checkouts
           where shard = $1 and cart_id = $2 and order_id = $3"#,
        key.shard().column(),
        key.id.uuid(),
        order.uuid(),
        version,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(CheckoutRow::checkout))
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
        let key = user_key(row.cart_id);
        let row = CheckoutRow {
            order_id: row.order_id,
            cart_version: row.cart_version,
            product_ids: row.product_ids,
            quantities: row.quantities,
            changed: row.changed,
        };
        (key, row.checkout())
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
