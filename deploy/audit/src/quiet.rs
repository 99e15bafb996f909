//! Whether anything is under way. Cheap to ask again and again: every question has an index, or a
//! small table, to answer it.

use anyhow::Result;
use sqlx::PgConnection;

use crate::databases::rows;

const ORDERS: &str = "select (select count(*) from orders where state in ('placed', 'stock_held'))
          + (select count(*) from messaging.outbox where published_at is null)";
const PRODUCT: &str = "select (select count(*) from reservations where state = 'held')
          + (select count(*) from messaging.outbox where published_at is null)";
const PAYMENT: &str =
    "select (select count(*) from payments where state in ('pending', 'cancelling'))
          + (select count(*) from refunds where refunded_at is null and refused_at is null)
          + (select count(*) from messaging.outbox where published_at is null)";

const CART: &str = "select count(*) from checkouts";

/// How many things are under way by the records of a context.
pub(crate) async fn under_way(context: &str, database: &mut PgConnection) -> Result<i64> {
    let question = match context {
        "order" => ORDERS,
        "product" => PRODUCT,
        "payment" => PAYMENT,
        "cart" => CART,
        _ => return Ok(0),
    };
    let counts: Vec<(i64,)> = rows(database, question).await?;
    Ok(counts.iter().map(|(count,)| count).sum())
}
