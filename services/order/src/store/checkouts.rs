//! Orders whose lines have left the cart, and which may never have been written.

use kernel::{OrderId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Result, Row, home};
use crate::domain::checkout::State;

/// The newest of these orders, all of one user, that was not written.
pub(crate) async fn unplaced(
    connection: &mut PgConnection,
    user: UserId,
    ids: &[OrderId],
) -> Result<Option<OrderId>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let unplaced = sqlx::query_scalar!(
        r#"select k.order_id as "order_id!" from unnest($2::uuid[]) k(order_id)
           where not exists (
               select from orders o where o.shard = $1 and o.order_id = k.order_id)
           order by k.order_id desc limit 1"#,
        home(user).column(),
        &ids
    )
    .fetch_optional(connection)
    .await?;
    Ok(unplaced.map(OrderId::from))
}

/// Tries to take the exclusive advisory lock of this order, held until commit. False: a request is placing it now.
pub(crate) async fn try_lock(tx: &mut PgConnection, id: OrderId) -> Result<bool> {
    sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended($1::text, 1)) as "locked!""#,
        id.to_string()
    )
    .fetch_one(tx)
    .await
}

/// Where a locked order stands. One that was never written is abandoned, and never will be.
pub(crate) async fn state_or_abandon(tx: &mut PgConnection, id: OrderId) -> Result<Option<State>> {
    let row = sqlx::query!(
        "with abandoned as (
             insert into abandoned_checkouts (shard, order_id)
             select $1, $2
             where not exists (select from orders where shard = $1 and order_id = $2)
             on conflict do nothing
         )
         select state, cancel_reason from orders where shard = $1 and order_id = $2",
        id.shard().column(),
        id.uuid()
    )
    .fetch_optional(tx)
    .await?;
    row.map(|row| Row::state(&row.state, row.cancel_reason.as_deref())).transpose()
}
