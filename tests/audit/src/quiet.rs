//! Waiting until nothing is under way. Cheap to ask again and again: every question has an index, or
//! a small table, to answer it.

use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::PgConnection;

use crate::Places;
use crate::gather::{open, rows};

const POLL: Duration = Duration::from_millis(100);

const ORDERS: &str = "select (select count(*) from orders where state in ('placed', 'stock_held'))
          + (select count(*) from messaging.outbox where published_at is null)";
const PRODUCT: &str = "select (select count(*) from reservations where state = 'held')
          + (select count(*) from messaging.outbox where published_at is null)";
const PAYMENT: &str =
    "select (select count(*) from payments where state in ('pending', 'cancelling'))
          + (select count(*) from refunds where refunded_at is null and refused_at is null)
          + (select count(*) from messaging.outbox where published_at is null)";

const CART: &str = "select count(*) from checkouts";

/// Waits until every checkout has ended, what it held and owed is settled, and every event is sent;
/// `patience` at most. Tells whether it came to that.
///
/// # Errors
/// When a database cannot be read.
pub async fn wait(places: &Places, patience: Duration) -> Result<bool> {
    let deadline = Instant::now() + patience;
    let mut open_things = Vec::new();
    let questions = [("order", ORDERS), ("product", PRODUCT), ("payment", PAYMENT), ("cart", CART)];
    for (context, question) in questions {
        for url in places.of_context(context)? {
            open_things.push((open(url).await?, question));
        }
    }
    loop {
        let mut open = 0;
        for (database, question) in &mut open_things {
            open += count(database, question).await?;
        }
        if open == 0 || Instant::now() >= deadline {
            return Ok(open == 0);
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn count(database: &mut PgConnection, question: &'static str) -> Result<i64> {
    let counts: Vec<(i64,)> = rows(database, question).await?;
    Ok(counts.iter().map(|(count,)| count).sum())
}
