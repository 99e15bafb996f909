//! The newest orders, read from the order databases.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::database::Databases;

/// So many are shown.
const ORDERS_MAX: usize = 50;
/// So long an answer is good for whoever asks next.
const GOOD_FOR: Duration = Duration::from_secs(1);
/// What an order can be.
const STATES: [&str; 4] = ["placed", "stock_held", "confirmed", "cancelled"];

/// Ids begin with their time, and each shard has them in order.
const NEWEST: &str = "select o.order_id, o.state, o.cancel_reason, o.currency, o.total_minor,
         o.placed_at, o.stock_held_at, o.ended_at, now()
     from generate_series(0, 255) as s(shard)
     cross join lateral (
         select * from orders
         where shard = s.shard and ($1 = '' or state = $1)
         order by order_id desc limit 50
     ) o
     order by o.order_id desc limit 50";

type Time = OffsetDateTime;
type Columns = (Uuid, String, Option<String>, String, i64, Time, Option<Time>, Option<Time>, Time);

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Order {
    /// Its id.
    pub order_id: Uuid,
    /// `placed`, `stock_held`, `confirmed` or `cancelled`.
    pub state: String,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// What it costs.
    pub total: Amount,
    /// Since it was placed.
    pub age_ms: i64,
    /// From its placing until its stock was held.
    pub stock_held_after_ms: Option<i64>,
    /// From its placing until its end.
    pub ended_after_ms: Option<i64>,
}

/// Money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// An ISO 4217 code.
    pub currency: String,
    /// Of that currency.
    pub minor_units: i64,
}

/// A state that orders can be in; empty is any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted(String);

impl Wanted {
    /// None for a state that there is not.
    pub fn parse(text: &str) -> Option<Self> {
        (text.is_empty() || STATES.contains(&text)).then(|| Self(text.to_owned()))
    }
}

#[derive(Debug, Default)]
struct Known {
    databases: Databases,
    answers: BTreeMap<String, (Instant, Vec<Order>)>,
}

/// Reads them, for everybody who asks within a second once.
#[derive(Debug, Default)]
pub struct Newest(Mutex<Known>);

impl Newest {
    /// The newest orders in this state, newest first.
    ///
    /// # Errors
    /// When a database does not answer.
    pub async fn read(&self, urls: &[String], wanted: &Wanted) -> Result<Vec<Order>> {
        let mut known = self.0.lock().await;
        if let Some((at, orders)) = known.answers.get(&wanted.0)
            && at.elapsed() < GOOD_FOR
        {
            return Ok(orders.clone());
        }
        let mut orders = Vec::new();
        for url in urls {
            let state = wanted.0.clone();
            let asked = known.databases.ask(url, |database| Box::pin(newest(database, state)));
            orders.extend(asked.await?.into_iter().map(order));
        }
        orders.sort_by_key(|order| std::cmp::Reverse(order.order_id));
        orders.truncate(ORDERS_MAX);
        known.answers.insert(wanted.0.clone(), (Instant::now(), orders.clone()));
        Ok(orders)
    }
}

/// Not the checking macro: this crate has no database of its own to check against.
#[expect(clippy::disallowed_methods, reason = "the macros check against one database per crate")]
async fn newest(database: &mut PgConnection, state: String) -> Result<Vec<Columns>, sqlx::Error> {
    sqlx::query_as(NEWEST).bind(state).fetch_all(database).await
}

fn order(columns: Columns) -> Order {
    let (order_id, state, cancel_reason, currency, minor_units, placed, held, ended, now) = columns;
    let after = |at: Time| i64::try_from((at - placed).whole_milliseconds()).unwrap_or_default();
    Order {
        order_id,
        state,
        cancel_reason,
        total: Amount { currency, minor_units },
        age_ms: after(now),
        stock_held_after_ms: held.map(after),
        ended_after_ms: ended.map(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_states_that_there_are_can_be_wanted() {
        for text in ["", "placed", "stock_held", "confirmed", "cancelled"] {
            assert!(Wanted::parse(text).is_some(), "{text}");
        }
        assert_eq!(Wanted::parse("open'; --"), None);
    }

    #[test]
    fn times_are_since_the_order_was_placed() {
        let placed = Time::UNIX_EPOCH;
        let at = |ms: i64| placed + time::Duration::milliseconds(ms);
        let (state, reason) = ("cancelled".to_owned(), Some("deadline".to_owned()));
        let id = Uuid::from_bytes([7; 16]);
        let columns =
            (id, state, reason, "GBP".to_owned(), 250, placed, None, Some(at(20_000)), at(21_500));
        let order = order(columns);
        assert_eq!((order.age_ms, order.ended_after_ms), (21_500, Some(20_000)));
        assert_eq!(order.stock_held_after_ms, None);
    }
}
