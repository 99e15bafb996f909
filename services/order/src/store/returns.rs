//! Returns and their refunds.

use kernel::{Currency, Money, OrderId, ProductId, ReturnId, UserId};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Result;
use crate::domain::returns::{Decided, Decision, Pieces, Request, Return, State};

/// Pieces as they are stored.
type Items = Vec<(ProductId, i64)>;

/// A return's row.
struct Row {
    order_id: Uuid,
    return_id: Uuid,
    state: String,
    currency: String,
    items: Json<Items>,
    refund_minor: i64,
    requested_at: OffsetDateTime,
    received: Option<Json<Items>>,
    reason: Option<String>,
    decided_by: Option<Uuid>,
    decided_at: Option<OffsetDateTime>,
    refunded_at: Option<OffsetDateTime>,
}

impl Row {
    /// An error is a row that no version of this code wrote.
    fn read(self) -> Result<(OrderId, Return)> {
        let decode = |what: &str| sqlx::Error::Decode(format!("returns.{what}").into());
        let state = State::parse(&self.state, self.refunded_at.is_some());
        let currency = Currency::parse(&self.currency).map_err(|_| decode("currency"))?;
        let facts = self.received.zip(self.reason).zip(self.decided_by.zip(self.decided_at));
        let found = Return {
            id: self.return_id.into(),
            state: state.ok_or_else(|| decode("state"))?,
            requested: Pieces::from_iter(self.items.0),
            refund: Money { currency, minor: self.refund_minor },
            requested_at: self.requested_at,
            decision: facts.map(|((received, reason), (by, at))| Decision {
                received: Pieces::from_iter(received.0),
                reason,
                by: by.into(),
                at,
            }),
            refunded_at: self.refunded_at,
        };
        Ok((self.order_id.into(), found))
    }
}

/// The returns of an order, oldest first.
pub(crate) async fn of(connection: &mut PgConnection, order: OrderId) -> Result<Vec<Return>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.order_id, return_id, r.state, currency, items as "items: Json<Items>",
               refund_minor, requested_at, received as "received: Json<Items>", reason, decided_by,
               decided_at, refunded_at
           from returns r join orders o using (shard, order_id)
           where r.shard = $1 and r.order_id = $2 order by requested_at, return_id"#,
        order.shard().column(),
        order.uuid()
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok(row.read()?.1)).collect()
}

/// A page cursor in the list of returns on their way back: after this return.
pub(crate) type Cursor = (OffsetDateTime, OrderId, ReturnId);

/// Up to `limit` returns of one database that are on their way back, oldest first.
pub(crate) async fn on_their_way(
    connection: &mut PgConnection,
    after: Option<Cursor>,
    limit: i64,
) -> Result<Vec<(OrderId, Return)>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.order_id, return_id, r.state, currency, items as "items: Json<Items>",
               refund_minor, requested_at, received as "received: Json<Items>", reason, decided_by,
               decided_at, refunded_at
           from returns r join orders o using (shard, order_id)
           where r.state = 'requested'
               and ($1::timestamptz is null or (requested_at, r.order_id, return_id) > ($1, $2, $3))
           order by requested_at, r.order_id, return_id limit $4"#,
        after.map(|(at, ..)| at),
        after.map(|(_, order, _)| order.uuid()),
        after.map(|(.., id)| id.uuid()),
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// Writes a return that was requested, and what is on its way back of each line.
pub(crate) async fn insert(tx: &mut PgConnection, order: OrderId, new: &Request) -> Result<()> {
    let products: Vec<Uuid> = new.pieces.keys().map(|product| product.uuid()).collect();
    let quantities: Vec<i64> = new.pieces.values().copied().collect();
    sqlx::query!(
        "with new_return as (
             insert into returns (shard, order_id, return_id, items, refund_minor, state)
             values ($1, $2, $3, $4, $5, 'requested')
         ), grown as (
             update orders set version = version + 1 where shard = $1 and order_id = $2
         )
         update order_lines l set return_requested = return_requested + r.quantity
         from unnest($6::uuid[], $7::bigint[]) r(product_id, quantity)
         where l.shard = $1 and l.order_id = $2 and l.product_id = r.product_id",
        order.shard().column(),
        order.uuid(),
        new.id.uuid(),
        items(&new.pieces),
        new.refund.minor,
        &products,
        &quantities
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes what staff decided, and of each line what is back and no longer on its way.
pub(crate) async fn decide(
    tx: &mut PgConnection,
    order: OrderId,
    decided: &Decided,
    by: UserId,
) -> Result<()> {
    let products: Vec<Uuid> = decided.requested.keys().map(|product| product.uuid()).collect();
    let requested: Vec<i64> = decided.requested.values().copied().collect();
    let received = |product| decided.received.get(product).copied().unwrap_or_default();
    let received: Vec<i64> = decided.requested.keys().map(received).collect();
    sqlx::query!(
        "with decided as (
             update returns set state = $4, received = $5, refund_minor = $6, reason = $7,
                 decided_by = $8, decided_at = now()
             where shard = $1 and order_id = $2 and return_id = $3
         ), grown as (
             update orders set version = version + 1 where shard = $1 and order_id = $2
         )
         update order_lines l set return_requested = return_requested - r.requested,
             returned = returned + r.received
         from unnest($9::uuid[], $10::bigint[], $11::bigint[]) r(product_id, requested, received)
         where l.shard = $1 and l.order_id = $2 and l.product_id = r.product_id",
        order.shard().column(),
        order.uuid(),
        decided.id.uuid(),
        decided.state.code(),
        items(&decided.received),
        decided.refund.minor,
        decided.reason,
        by.uuid(),
        &products,
        &requested,
        &received
    )
    .execute(tx)
    .await?;
    Ok(())
}

fn items(pieces: &Pieces) -> serde_json::Value {
    serde_json::json!(pieces.iter().collect::<Vec<_>>())
}

/// One refund: of which return of which order.
pub(crate) type Refund = (OrderId, ReturnId);

/// The states of those returns that exist. Their orders are locked.
pub(crate) async fn states(
    tx: &mut PgConnection,
    refunds: &[Refund],
) -> Result<Vec<(Refund, State)>> {
    let shards: Vec<i16> = refunds.iter().map(|(order, _)| order.shard().column()).collect();
    let orders: Vec<Uuid> = refunds.iter().map(|(order, _)| order.uuid()).collect();
    let returns: Vec<Uuid> = refunds.iter().map(|(_, id)| id.uuid()).collect();
    let rows = sqlx::query!(
        r#"select order_id, return_id, state, refunded_at is not null as "refunded!"
           from returns join unnest($1::smallint[], $2::uuid[], $3::uuid[])
               k(shard, order_id, return_id) using (shard, order_id, return_id)"#,
        &shards,
        &orders,
        &returns
    )
    .fetch_all(tx)
    .await?;
    let read = |state: &str, refunded| {
        State::parse(state, refunded).ok_or_else(|| sqlx::Error::Decode("returns.state".into()))
    };
    rows.into_iter()
        .map(|row| {
            let refund = (row.order_id.into(), row.return_id.into());
            Ok((refund, read(&row.state, row.refunded)?))
        })
        .collect()
}

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
