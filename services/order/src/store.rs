//! Every SQL statement of the order context.

pub(crate) mod checkouts;
pub(crate) mod placing;
pub(crate) mod returns;
mod retention;

use std::collections::HashMap;
use std::time::Duration;

use kernel::{Currency, Money, OrderId, Shard, UserId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::checkout::{Event, State};
use crate::domain::{Line, Order};

pub(crate) use retention::RETENTION;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// An order's row.
struct Row {
    order_id: Uuid,
    user_id: Uuid,
    cart_id: Uuid,
    cart_version: i64,
    state: String,
    cancel_reason: Option<String>,
    payment_method_id: Uuid,
    currency: String,
    total_minor: i64,
    refunded_minor: i64,
    version: i64,
    placed_at: OffsetDateTime,
    stock_held_at: Option<OffsetDateTime>,
    ended_at: Option<OffsetDateTime>,
}

impl Row {
    fn state(state: &str, reason: Option<&str>) -> Result<State> {
        State::parse(state, reason).ok_or_else(|| sqlx::Error::Decode("orders.state".into()))
    }

    /// The order without its lines. An error is a row that no version of this code wrote.
    fn order(self) -> Result<Order> {
        let decode = |what: &str| sqlx::Error::Decode(format!("orders.{what}").into());
        let state = Self::state(&self.state, self.cancel_reason.as_deref())?;
        let currency = Currency::parse(&self.currency).map_err(|_| decode("currency"))?;
        Ok(Order {
            id: self.order_id.into(),
            user: self.user_id.into(),
            cart: (self.cart_id.into(), self.cart_version),
            state,
            payment_method: self.payment_method_id.into(),
            total: Money { currency, minor: self.total_minor },
            refunded: Money { currency, minor: self.refunded_minor },
            lines: Vec::new(),
            returns: Vec::new(),
            version: self.version,
            placed_at: self.placed_at,
            stock_held_at: self.stock_held_at,
            ended_at: self.ended_at,
        })
    }
}

/// Locks the orders that exist among these, in id order, without their lines.
pub(crate) async fn lock(tx: &mut PgConnection, ids: &[OrderId]) -> Result<Vec<Order>> {
    let shards: Vec<i16> = ids.iter().map(|id| id.shard().column()).collect();
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    sqlx::query_as!(
        Row,
        "select o.order_id, user_id, cart_id, cart_version, state, cancel_reason,
             payment_method_id, currency, total_minor, refunded_minor, version, placed_at,
             stock_held_at, ended_at
         from orders o
         join unnest($1::smallint[], $2::uuid[]) k(shard, order_id)
             on o.shard = k.shard and o.order_id = k.order_id
         order by o.order_id for update of o",
        &shards,
        &ids
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(Row::order)
    .collect()
}

/// Locks up to `limit` open orders whose deadline is over, by the database's clock. Other
/// copies skip them.
pub(crate) async fn lock_due(tx: &mut PgConnection, limit: i64) -> Result<Vec<Order>> {
    sqlx::query_as!(
        Row,
        "select order_id, user_id, cart_id, cart_version, state, cancel_reason,
             payment_method_id, currency, total_minor, refunded_minor, version, placed_at,
             stock_held_at, ended_at
         from orders where state in ('placed', 'stock_held') and deadline_at < now()
         order by deadline_at limit $1 for update skip locked",
        limit
    )
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(Row::order)
    .collect()
}

/// One step of one order.
pub(crate) type Step = (OrderId, Event);

/// What each checkout has left until its deadline, by the database's clock; 0 once it is over.
pub(crate) type TimeLeft = HashMap<OrderId, Duration>;

/// Writes the steps that a batch made: of each order only where it ended up, its version grown
/// by the number of its steps, and the time of each.
pub(crate) async fn advance(tx: &mut PgConnection, steps: &[Step]) -> Result<TimeLeft> {
    let shards: Vec<i16> = steps.iter().map(|(id, _)| id.shard().column()).collect();
    let ids: Vec<Uuid> = steps.iter().map(|(id, _)| id.uuid()).collect();
    let states: Vec<&str> = steps.iter().map(|(_, event)| event.state().code()).collect();
    let reasons: Vec<Option<&str>> =
        steps.iter().map(|(_, event)| event.state().reason().map(|r| r.code())).collect();
    let rows = sqlx::query!(
        r#"update orders o set
             state = s.states[array_upper(s.states, 1)],
             cancel_reason = s.reasons[array_upper(s.reasons, 1)],
             version = version + array_length(s.states, 1),
             stock_held_at = case when 'stock_held' = any(s.states) then now()
                 else stock_held_at end,
             ended_at = case when s.states && array['confirmed', 'cancelled'] then now()
                 else ended_at end
         from (
             select shard, order_id, array_agg(state order by at) as states,
                 array_agg(reason order by at) as reasons
             from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[])
                 with ordinality s(shard, order_id, state, reason, at)
             group by shard, order_id
         ) s
         where o.shard = s.shard and o.order_id = s.order_id
         returning o.order_id,
             greatest(extract(epoch from o.deadline_at - clock_timestamp()), 0)::float8
                 as "seconds_left!""#,
        &shards,
        &ids,
        &states as &[&str],
        &reasons as &[Option<&str>]
    )
    .fetch_all(tx)
    .await?;
    let left = rows.into_iter().map(|row| (row.order_id, row.seconds_left));
    Ok(left.map(|(id, seconds)| (id.into(), Duration::from_secs_f64(seconds))).collect())
}

/// One order with its lines and returns, if it exists.
pub(crate) async fn order(connection: &mut PgConnection, id: OrderId) -> Result<Option<Order>> {
    let row = sqlx::query_as!(
        Row,
        "select order_id, user_id, cart_id, cart_version, state, cancel_reason,
             payment_method_id, currency, total_minor, refunded_minor, version, placed_at,
             stock_held_at, ended_at
         from orders where shard = $1 and order_id = $2",
        id.shard().column(),
        id.uuid()
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let mut order = row.order()?;
    order.lines = lines(connection, &order).await?;
    if order.state == State::Confirmed {
        order.returns = returns::of(connection, id).await?;
    }
    Ok(Some(order))
}

async fn lines(connection: &mut PgConnection, order: &Order) -> Result<Vec<Line>> {
    let rows = sqlx::query!(
        "select product_id, sku, name, quantity, unit_price_minor, returned, return_requested
         from order_lines where shard = $1 and order_id = $2 order by line_no",
        order.id.shard().column(),
        order.id.uuid()
    )
    .fetch_all(connection)
    .await?;
    let currency = order.total.currency;
    Ok(rows
        .into_iter()
        .map(|row| Line {
            product: row.product_id.into(),
            sku: row.sku,
            name: row.name,
            quantity: row.quantity,
            unit_price: Money { currency, minor: row.unit_price_minor },
            returned: row.returned,
            return_requested: row.return_requested,
        })
        .collect())
}

/// A user's orders below `before` (the last id of the page before), newest first, without lines.
pub(crate) async fn list(
    connection: &mut PgConnection,
    user: UserId,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<Order>> {
    sqlx::query_as!(
        Row,
        "select order_id, user_id, cart_id, cart_version, state, cancel_reason,
             payment_method_id, currency, total_minor, refunded_minor, version, placed_at,
             stock_held_at, ended_at
         from orders where shard = $1 and user_id = $2 and ($3::uuid is null or order_id < $3)
         order by order_id desc limit $4",
        user.shard().column(),
        user.uuid(),
        before.map(OrderId::uuid),
        limit
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(Row::order)
    .collect()
}

/// Forgets where the orders of erased users were sent.
pub(crate) async fn anonymise(tx: &mut PgConnection, users: &[UserId]) -> Result<()> {
    let shards: Vec<i16> = users.iter().map(|user| user.shard().column()).collect();
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    sqlx::query!(
        "update orders o set ship_to = null
         from unnest($1::smallint[], $2::uuid[]) u(shard, user_id)
         where o.shard = u.shard and o.user_id = u.user_id",
        &shards,
        &users
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The shard that all rows of this user are on.
pub(crate) fn home(user: UserId) -> Shard {
    user.shard()
}
