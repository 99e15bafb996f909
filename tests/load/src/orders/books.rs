//! What the records say about a phase. The SQL of this benchmark but for its customers'.

use std::str::FromStr as _;

use anyhow::Result;
use audit::Places;
use hdrhistogram::Histogram;
use kernel::OrderId;
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{Connection as _, FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::sender::times;

type Moment = OffsetDateTime;

/// Connections to the databases of the shop.
pub(super) struct Books {
    orders: Vec<PgConnection>,
    payments: Vec<PgConnection>,
    all: Vec<PgConnection>,
}

/// An order that was confirmed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) order: OrderId,
    /// The beginning of the transaction that wrote it.
    pub(super) placed: Moment,
    /// The beginning of the transaction that confirmed it.
    pub(super) ended: Moment,
    /// When the bus had acknowledged that it is confirmed: certainly after the commit.
    pub(super) told: Moment,
}

/// How an order ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) confirmed: bool,
    pub(super) at: Moment,
}

/// What makes a commit of this PostgreSQL durable.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct Durability {
    /// Of PostgreSQL.
    pub version: String,
    /// Whether the log is forced to the disk at all.
    pub fsync: String,
    /// Whether a commit waits for that.
    pub synchronous_commit: String,
}

impl Books {
    /// Of this shop.
    pub(super) async fn open(places: &Places) -> Result<Self> {
        let (mut orders, mut payments, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (context, urls) in &places.databases {
            for url in urls {
                all.push(open(url).await?);
                match context.as_str() {
                    "order" => orders.push(open(url).await?),
                    "payment" => payments.push(open(url).await?),
                    _ => {}
                }
            }
        }
        Ok(Self { orders, payments, all })
    }

    /// The orders that ended between these moments, and how.
    pub(super) async fn ended(
        &mut self,
        from: Moment,
        to: Moment,
    ) -> Result<Vec<(OrderId, Ended)>> {
        let query = "select order_id, state = 'confirmed', ended_at from orders
             where ended_at >= $1 and ended_at < $2";
        let mut ended = Vec::new();
        for database in &mut self.orders {
            let rows: Vec<(Uuid, bool, Moment)> = rows(database, query, (from, to)).await?;
            ended.extend(
                rows.into_iter()
                    .map(|(id, confirmed, at)| (OrderId::from(id), Ended { confirmed, at })),
            );
        }
        Ok(ended)
    }

    /// The orders whose charge was sent between these moments, and when.
    pub(super) async fn charged(
        &mut self,
        from: Moment,
        to: Moment,
    ) -> Result<Vec<(OrderId, Moment)>> {
        let query = "select order_id, called_at from payments
             where capture_id is not null and called_at >= $1 and called_at < $2";
        let mut charged = Vec::new();
        for database in &mut self.payments {
            let rows: Vec<(Uuid, Moment)> = rows(database, query, (from, to)).await?;
            charged.extend(rows.into_iter().map(|(id, at)| (OrderId::from(id), at)));
        }
        Ok(charged)
    }

    /// How many orders are placed and not settled now.
    pub(super) async fn open_orders(&mut self) -> Result<usize> {
        let mut open = 0;
        for database in &mut self.orders {
            // The index has every order that was ever open: only its end is looked at.
            let count = sqlx::query_scalar::<_, i64>(
                "select count(*) from orders
                 where state in ('placed', 'stock_held') and deadline_at > now()",
            );
            open += usize::try_from(count.fetch_one(database).await?)?;
        }
        Ok(open)
    }

    /// The orders that were confirmed between these moments.
    pub(super) async fn settled(&mut self, from: Moment, to: Moment) -> Result<Vec<Settled>> {
        let mut settled = Vec::new();
        for database in &mut self.orders {
            let found: Vec<(Uuid, Moment, Moment, Moment)> = rows(
                database,
                "select o.order_id, o.placed_at, o.ended_at, e.published_at
                 from orders o join messaging.outbox e on e.aggregate_id = o.order_id
                     and e.type = 'souk.order.v1.OrderConfirmed' and e.published_at is not null
                 where o.state = 'confirmed' and o.ended_at >= $1 and o.ended_at < $2",
                (from, to),
            )
            .await?;
            settled.extend(found.into_iter().map(|(order, placed, ended, told)| Settled {
                order: order.into(),
                placed,
                ended,
                told,
            }));
        }
        Ok(settled)
    }

    /// Of every event that was written between these moments, how long it took from the beginning of
    /// its transaction until its outbox noted that the bus has it, in microseconds.
    pub(super) async fn publish_lag(&mut self, from: Moment, to: Moment) -> Result<Histogram<u64>> {
        let mut lag = times()?;
        for database in &mut self.all {
            let found: Vec<(i64,)> = rows(
                database,
                "select (extract(epoch from published_at - occurred_at) * 1000000)::bigint
                 from messaging.outbox
                 where occurred_at >= $1 and occurred_at < $2 and published_at is not null",
                (from, to),
            )
            .await?;
            let micros = found.iter().map(|(micros,)| u64::try_from(*micros).unwrap_or_default());
            micros.for_each(|micros| lag.saturating_record(micros.max(1)));
        }
        Ok(lag)
    }

    /// What is set, of what makes a commit durable.
    #[expect(clippy::disallowed_methods, reason = "settings, which belong to no crate's database")]
    pub(super) async fn durability(&mut self) -> Result<Durability> {
        let asked = sqlx::query_as(
            "select current_setting('server_version') as version, current_setting('fsync') as fsync,
                 current_setting('synchronous_commit') as synchronous_commit",
        );
        let database = self.orders.first_mut().ok_or_else(|| anyhow::anyhow!("no orders"))?;
        Ok(asked.fetch_one(database).await?)
    }
}

/// Tables that have just grown have no statistics yet, and a nested loop over ten thousand orders would take half a minute.
async fn open(url: &str) -> Result<PgConnection> {
    let options = PgConnectOptions::from_str(url)?.options([("enable_nestloop", "off")]);
    Ok(PgConnection::connect_with(&options).await?)
}

#[expect(clippy::disallowed_methods, reason = "the macros check against one database per crate")]
async fn rows<T>(
    database: &mut PgConnection,
    query: &'static str,
    (from, to): (Moment, Moment),
) -> Result<Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    Ok(sqlx::query_as(query).bind(from).bind(to).fetch_all(database).await?)
}
