//! New orders, many at once: the answers that their keys have already, the locks, and the rows.

use std::collections::HashMap;
use std::time::Duration;

use kernel::{OrderId, UserId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Result;
use crate::domain::Order;

/// Unique constraints whose violation means that these lines of a cart are in an order already: written by another copy
/// at the same time, or by a release that did not take them out of the cart yet.
pub(crate) const ORDERED_BEFORE: [&str; 3] =
    ["orders_pkey", "order_lines_pkey", "orders_once_per_cart_version"];

/// The constraint that tells a key that was answered meanwhile.
pub(crate) const KEY: &str = "idempotency_keys_pkey";

/// The kept answer to a checkout.
pub(crate) struct KeptReply {
    pub fingerprint: Vec<u8>,
    pub reply: Vec<u8>,
}

/// Looks for the answers that idempotency keys of users have already, in their order.
pub(crate) async fn kept_replies(
    connection: &mut PgConnection,
    keys: &[(UserId, String)],
) -> Result<Vec<Option<KeptReply>>> {
    let shards: Vec<i16> = keys.iter().map(|(user, _)| user.shard().column()).collect();
    let users: Vec<Uuid> = keys.iter().map(|(user, _)| user.uuid()).collect();
    let names: Vec<&str> = keys.iter().map(|(_, key)| &**key).collect();
    let rows = sqlx::query!(
        r#"select k.at as "at!", fingerprint, reply
           from unnest($1::smallint[], $2::uuid[], $3::text[])
               with ordinality k(shard, user_id, key, at)
           join idempotency_keys i using (shard, user_id, key)"#,
        &shards,
        &users,
        &names as &[&str]
    )
    .fetch_all(connection)
    .await?;
    let mut kept: Vec<_> = keys.iter().map(|_| None).collect();
    for row in rows {
        let reply = KeptReply { fingerprint: row.fingerprint, reply: row.reply };
        *database::nth(&mut kept, row.at)? = Some(reply);
    }
    Ok(kept)
}

/// An idempotency key and an order in the hands of one transaction.
pub(crate) struct Locked {
    /// False: another transaction has the key.
    pub key: bool,
    /// False: the order is being abandoned at this moment.
    pub order: bool,
    /// The database's clock, which all steps of an order are told by.
    pub now: OffsetDateTime,
    /// The stored reply, if there is one.
    pub kept: Option<KeptReply>,
}

/// For each order, tries to take the exclusive advisory lock of its idempotency key and the shared one of the order, and
/// reads the stored reply. Nobody waits. The locks are held until commit; the shared one keeps the order from being
/// abandoned ([`super::checkouts::try_lock`]). The seeds 0 and 1 of the hash keep the locks of keys and of orders apart. A reply
/// that commits after our snapshot and before our lock is missed; then [`insert`] fails on the unique [`KEY`].
///
/// A transaction gets a lock again that it has: no key and no order is named twice.
pub(crate) async fn try_lock_keys_and_orders(
    tx: &mut PgConnection,
    keys: &[(UserId, &str, OrderId)],
) -> Result<Vec<Locked>> {
    let shards: Vec<i16> = keys.iter().map(|(user, ..)| user.shard().column()).collect();
    let users: Vec<Uuid> = keys.iter().map(|(user, ..)| user.uuid()).collect();
    let names: Vec<&str> = keys.iter().map(|(_, key, _)| *key).collect();
    let orders: Vec<Uuid> = keys.iter().map(|(.., order)| order.uuid()).collect();
    let rows = sqlx::query!(
        r#"select pg_try_advisory_xact_lock(hashtextextended(k.user_id::text || k.key, 0)) as "key!",
               pg_try_advisory_xact_lock_shared(hashtextextended(k.order_id::text, 1)) as "order!",
               now() as "now!", fingerprint as "fingerprint?", reply as "reply?"
           from unnest($1::smallint[], $2::uuid[], $3::text[], $4::uuid[])
               with ordinality k(shard, user_id, key, order_id, at)
           left join idempotency_keys i
               on i.shard = k.shard and i.user_id = k.user_id and i.key = k.key
           order by k.at"#,
        &shards,
        &users,
        &names as &[&str],
        &orders
    )
    .fetch_all(tx)
    .await?;
    let locked = rows.into_iter().map(|row| {
        let kept = row.fingerprint.zip(row.reply);
        let kept = kept.map(|(fingerprint, reply)| KeptReply { fingerprint, reply });
        Locked { key: row.key, order: row.order, now: row.now, kept }
    });
    Ok(locked.collect())
}

/// An order that is new, with the reply that its key will always get.
pub(crate) struct NewOrder<'a> {
    pub order: &'a Order,
    pub ship_to: &'a serde_json::Value,
    pub key: &'a str,
    pub fingerprint: Vec<u8>,
    pub reply: &'a [u8],
}

/// What became of a new order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Written,
    /// Its lines are in an order already.
    OrderedBefore,
}

/// Writes orders, lines and keys in one statement, in the order of the orders' ids. One that is missing in what it returns
/// was abandoned before.
#[expect(clippy::too_many_lines, reason = "one statement, and its columns")]
pub(crate) async fn insert(
    tx: &mut PgConnection,
    new: &[NewOrder<'_>],
    deadline: Duration,
) -> Result<HashMap<OrderId, Inserted>> {
    let shards: Vec<i16> = new.iter().map(|it| it.order.id.shard().column()).collect();
    let ids: Vec<Uuid> = new.iter().map(|it| it.order.id.uuid()).collect();
    let users: Vec<Uuid> = new.iter().map(|it| it.order.user.uuid()).collect();
    let carts: Vec<Uuid> = new.iter().map(|it| it.order.cart.0.uuid()).collect();
    let versions: Vec<i64> = new.iter().map(|it| it.order.cart.1).collect();
    let methods: Vec<Uuid> = new.iter().map(|it| it.order.payment_method.uuid()).collect();
    let currencies: Vec<&str> = new.iter().map(|it| it.order.total.currency.code()).collect();
    let totals: Vec<i64> = new.iter().map(|it| it.order.total.minor).collect();
    let addresses: Vec<String> = new.iter().map(|it| it.ship_to.to_string()).collect();
    let placed: Vec<OffsetDateTime> = new.iter().map(|it| it.order.placed_at).collect();
    let keys: Vec<&str> = new.iter().map(|it| it.key).collect();
    let fingerprints: Vec<&[u8]> = new.iter().map(|it| &*it.fingerprint).collect();
    let replies: Vec<&[u8]> = new.iter().map(|it| it.reply).collect();
    let lines =
        || new.iter().flat_map(|it| it.order.lines.iter().zip(1..).map(|line| (it.order.id, line)));
    let line_orders: Vec<Uuid> = lines().map(|(id, _)| id.uuid()).collect();
    let numbers: Vec<i32> = lines().map(|(_, (_, number))| number).collect();
    let products: Vec<Uuid> = lines().map(|(_, (line, _))| line.product.uuid()).collect();
    let skus: Vec<&str> = lines().map(|(_, (line, _))| &*line.sku).collect();
    let names: Vec<&str> = lines().map(|(_, (line, _))| &*line.name).collect();
    let quantities: Vec<i64> = lines().map(|(_, (line, _))| line.quantity).collect();
    let prices: Vec<i64> = lines().map(|(_, (line, _))| line.unit_price.minor).collect();
    let rows = sqlx::query!(
        r#"with new as (
             select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[],
                 $6::uuid[], $7::text[], $8::bigint[], $9::text[], $10::timestamptz[], $11::text[],
                 $12::bytea[], $13::bytea[])
                 n(shard, order_id, user_id, cart_id, cart_version, payment_method_id, currency,
                     total_minor, ship_to, placed_at, key, fingerprint, reply)
             where not exists (select from abandoned_checkouts a
                 where a.shard = n.shard and a.order_id = n.order_id)
         ), new_order as (
             insert into orders (shard, order_id, user_id, cart_id, cart_version,
                 payment_method_id, currency, total_minor, ship_to, placed_at, deadline_at)
             select shard, order_id, user_id, cart_id, cart_version, payment_method_id, currency,
                 total_minor, ship_to::jsonb, placed_at, placed_at + make_interval(secs => $14)
             from new order by order_id
             on conflict do nothing returning order_id
         ), new_key as (
             insert into idempotency_keys (shard, user_id, key, fingerprint, reply)
             select shard, user_id, key, fingerprint, reply from new join new_order using (order_id)
         ), new_line as (
             insert into order_lines (shard, order_id, line_no, product_id, sku, name, quantity,
                 unit_price_minor)
             select n.shard, l.order_id, l.line_no, l.product_id, l.sku, l.name, l.quantity,
                 l.unit_price_minor
             from unnest($15::uuid[], $16::integer[], $17::uuid[], $18::text[], $19::text[],
                 $20::bigint[], $21::bigint[])
                 l(order_id, line_no, product_id, sku, name, quantity, unit_price_minor)
             join new n using (order_id) join new_order using (order_id)
         )
         select n.order_id as "order_id!", o.order_id is not null as "written!"
         from new n left join new_order o using (order_id)"#,
        &shards,
        &ids,
        &users,
        &carts,
        &versions,
        &methods,
        &currencies as &[&str],
        &totals,
        &addresses,
        &placed,
        &keys as &[&str],
        &fingerprints as &[&[u8]],
        &replies as &[&[u8]],
        deadline.as_secs_f64(),
        &line_orders,
        &numbers,
        &products,
        &skus as &[&str],
        &names as &[&str],
        &quantities,
        &prices
    )
    .fetch_all(tx)
    .await?;
    let inserted = |written| if written { Inserted::Written } else { Inserted::OrderedBefore };
    Ok(rows.into_iter().map(|row| (row.order_id.into(), inserted(row.written))).collect())
}
