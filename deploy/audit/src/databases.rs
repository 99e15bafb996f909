//! Reading the databases: the one place with SQL. Sums are made where the rows are; the rest comes
//! as it was written.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kernel::ProductId;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::facts::{
    Balance, Basket, DeadLetter, Facts, Order, Refund, Repeated, Return, Sent, Shelf, State,
    Unpublished,
};

/// Events that happen once in the life of their aggregate.
const ONCE: [&str; 8] = [
    "souk.order.v1.OrderPlaced",
    "souk.order.v1.OrderStockHeld",
    "souk.order.v1.OrderConfirmed",
    "souk.order.v1.OrderCancelled",
    "souk.product.v1.StockReserved",
    "souk.product.v1.StockRejected",
    "souk.payment.v1.PaymentCaptured",
    "souk.payment.v1.PaymentDeclined",
];

/// Adds what one database says.
pub(crate) async fn read(
    database: &mut PgConnection,
    context: &str,
    name: &str,
    facts: &mut Facts,
) -> Result<()> {
    match context {
        "order" => {
            orders(database, facts).await?;
            baskets(database, facts).await?;
            returns(database, facts).await?;
        }
        "cart" => carts(database, facts).await?,
        "product" => stock(database, facts).await?,
        "payment" => payments(database, facts).await?,
        _ => {}
    }
    events(database, name, facts).await
}

/// Not the checking macros: they look into one database for each crate, and these are five.
#[expect(clippy::disallowed_methods, reason = "the macros check against one database per crate")]
pub(crate) async fn rows<T>(database: &mut PgConnection, query: &'static str) -> Result<Vec<T>>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    Ok(sqlx::query_as(query).fetch_all(database).await?)
}

type OrderRow = (Uuid, String, String, i64, i64, OffsetDateTime, Option<OffsetDateTime>);

async fn orders(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let orders: Vec<OrderRow> = rows(
        database,
        "select order_id, state, currency, total_minor, refunded_minor, placed_at, ended_at
         from orders",
    )
    .await?;
    let mut groups = BTreeMap::<OffsetDateTime, u64>::new();
    for (id, state, currency, total, refunded, placed_at, ended_at) in orders {
        *groups.entry(placed_at).or_default() += 1; // the time of their transaction
        let state = match state.as_str() {
            "confirmed" => State::Confirmed,
            "cancelled" => State::Cancelled,
            _ => State::Open,
        };
        let settled_after = ended_at.map(|ended_at| {
            Duration::try_from(ended_at - placed_at).unwrap_or_default() // a clock set back: 0
        });
        let order = Order { state, currency, total, refunded, settled_after };
        facts.orders.insert(id.into(), order);
    }
    for size in groups.into_values() {
        *facts.groups.entry(size).or_default() += 1;
    }
    let sold: Vec<(Uuid, i64)> = rows(
        database,
        "select l.product_id, sum(l.quantity - l.returned)::bigint
         from order_lines l join orders o using (shard, order_id)
         where o.state = 'confirmed' group by l.product_id",
    )
    .await?;
    for (product, pieces) in sold {
        shelf(facts, product).sold += pieces; // of every shard
    }
    Ok(())
}

async fn returns(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let returns: Vec<(Uuid, Uuid, bool, bool)> = rows(
        database,
        "select order_id, return_id, state = 'received', refunded_at is not null from returns",
    )
    .await?;
    for (order, id, received, refunded) in returns {
        let state = match (received, refunded) {
            (true, true) => Return::Refunded,
            (true, false) => Return::Received,
            (false, _) => Return::NotReceived,
        };
        facts.returns.insert((order.into(), id.into()), state);
    }
    Ok(())
}

type BasketRow = (Uuid, Uuid, bool, Vec<Uuid>, Vec<i64>);

async fn baskets(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let baskets: Vec<BasketRow> = rows(
        database,
        "select order_id, user_id,
             coalesce(state = 'cancelled' and cancel_reason <> 'customer', false),
             array_agg(product_id order by line_no), array_agg(quantity order by line_no)
         from orders join order_lines using (shard, order_id)
         group by shard, order_id",
    )
    .await?;
    for (id, user, unsold, products, quantities) in baskets {
        let products = products.into_iter().map(ProductId::from);
        let lines = products.zip(quantities).collect();
        facts.baskets.insert(id.into(), Basket { user, unsold, lines });
    }
    Ok(())
}

async fn carts(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let lines: Vec<(Uuid, Uuid, i64)> =
        rows(database, "select cart_id, product_id, quantity from cart_lines where owner = 'user'")
            .await?;
    for (user, product, quantity) in lines {
        facts.carts.entry(user).or_default().insert(product.into(), quantity);
    }
    let checkouts: Vec<(Uuid,)> = rows(database, "select order_id from checkouts").await?;
    facts.checkouts.extend(checkouts.into_iter().map(|(order,)| kernel::OrderId::from(order)));
    Ok(())
}

fn shelf(facts: &mut Facts, product: Uuid) -> &mut Shelf {
    facts.shelves.entry(product.into()).or_default()
}

async fn stock(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let stock: Vec<(Uuid, i64, i64, i64, i64, i64)> = rows(
        database,
        "select product_id, received, on_hand, reserved, shipped,
             coalesce((select sum(quantity)::bigint from receipts r
                 where r.product_id = s.product_id), 0)
         from stock s",
    )
    .await?;
    for (product, received, on_hand, reserved, shipped, delivered) in stock {
        let sold = shelf(facts, product).sold;
        *shelf(facts, product) =
            Shelf { received, on_hand, reserved, shipped, delivered, sold, ..Shelf::default() };
    }
    let reserved: Vec<(Uuid, i64, i64)> = rows(
        database,
        "select l.product_id, coalesce(sum(l.quantity) filter (where state = 'held'), 0)::bigint,
             coalesce(sum(l.quantity) filter (where state = 'shipped'), 0)::bigint
         from reservations, unnest(product_ids, quantities) l (product_id, quantity)
         where state in ('held', 'shipped') group by l.product_id",
    )
    .await?;
    for (product, held, sent) in reserved {
        let shelf = shelf(facts, product);
        (shelf.held, shelf.sent) = (held, sent);
    }
    // What came back before its order was placed is noted and not counted yet.
    let returned: Vec<(Uuid, i64)> = rows(
        database,
        "select l.product_id, sum(l.quantity)::bigint
         from returns t join reservations r using (order_id),
             unnest(t.product_ids, t.quantities) l (product_id, quantity)
         where r.state = 'shipped' group by l.product_id",
    )
    .await?;
    for (product, pieces) in returned {
        shelf(facts, product).returned = pieces;
    }
    let restocked: Vec<(Uuid, Uuid)> =
        rows(database, "select order_id, return_id from returns").await?;
    facts.restocked.extend(restocked.into_iter().map(|(order, id)| (order.into(), id.into())));
    let holding: Vec<(Uuid,)> =
        rows(database, "select order_id from reservations where state = 'held'").await?;
    facts.holding.extend(holding.into_iter().map(|(order,)| kernel::OrderId::from(order)));
    Ok(())
}

async fn payments(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let ledger: Vec<(Uuid, String, i64, i64, i64, i64)> = rows(
        database,
        "select order_id, currency, count(*) filter (where debit_account = 'psp_clearing'),
             coalesce(sum(amount_minor) filter (where debit_account = 'psp_clearing'), 0)::bigint,
             coalesce(sum(amount_minor) filter (where credit_account = 'psp_clearing'), 0)::bigint,
             coalesce(sum(amount_minor) filter (where credit_account = 'paid_by_hand'), 0)::bigint
         from ledger group by order_id, currency",
    )
    .await?;
    for (order, currency, captures, captured, refunded, by_hand) in ledger {
        let booked = facts.booked.entry(order.into()).or_default();
        booked.add(&currency, captures.unsigned_abs(), captured, refunded);
        booked.by_hand += by_hand;
    }
    let awaiting: Vec<(Uuid, i64)> = rows(
        database,
        "select order_id, sum(amount_minor)::bigint from refunds
         where refused_at is not null and refunded_at is null group by order_id",
    )
    .await?;
    facts.awaiting.extend(awaiting.into_iter().map(|(order, minor)| (order.into(), minor)));
    let sent: Vec<(Uuid, bool)> = rows(
        database,
        "select order_id, called_at > pay_by from payments
         where called_at is not null and pay_by is not null",
    )
    .await?;
    let sent = sent.into_iter();
    facts.sent.extend(sent.map(|(order, late)| Sent { order: order.into(), after_pay_by: late }));
    refunds_of_returns(database, facts).await?;
    let balances: Vec<(String, String, i64)> =
        rows(database, "select account, currency, balance_minor::bigint from balances").await?;
    let balance = |(account, currency, minor)| Balance { account, currency, minor };
    facts.balances.extend(balances.into_iter().map(balance));
    Ok(())
}

async fn refunds_of_returns(database: &mut PgConnection, facts: &mut Facts) -> Result<()> {
    let refunds: Vec<(Uuid, String, bool, bool)> = rows(
        database,
        "select order_id, refund_id, refunded_at is not null, refused_at is not null from refunds
         where refund_id <> 'cancellation'",
    )
    .await?;
    for (order, id, given, refused) in refunds {
        let id = id.parse().with_context(|| format!("the refund {id:?} is of no return"))?;
        let refund = match (given, refused) {
            (true, _) => Refund::Given,
            (false, true) => Refund::WaitsForStaff,
            (false, false) => Refund::UnderWay,
        };
        facts.refunds.insert((order.into(), id), refund);
    }
    Ok(())
}

async fn events(database: &mut PgConnection, name: &str, facts: &mut Facts) -> Result<()> {
    facts.databases += 1;
    let written: Vec<(i64, i64)> = rows(
        database,
        "select count(*), count(*) filter (where published_at is null) from messaging.outbox",
    )
    .await?;
    for (all, waiting) in written {
        facts.events += all.unsigned_abs();
        if waiting > 0 {
            let (database, events) = (name.to_owned(), waiting.unsigned_abs());
            facts.unpublished.push(Unpublished { database, events });
        }
    }
    let repeated: Vec<(String, Uuid, i64)> = rows(
        database,
        "select type, aggregate_id, count(*) from messaging.outbox
         group by type, aggregate_id having count(*) > 1",
    )
    .await?;
    let repeated = repeated.into_iter().filter(|(kind, ..)| ONCE.contains(&kind.as_str()));
    facts.repeated.extend(repeated.map(|(kind, aggregate, times)| Repeated {
        kind,
        aggregate,
        times: times.unsigned_abs(),
    }));
    let parked: Vec<(String, String)> =
        rows(database, "select type, error from messaging.dead_letters order by parked_at").await?;
    let letter = |(kind, error)| DeadLetter { database: name.to_owned(), kind, error };
    facts.dead_letters.extend(parked.into_iter().map(letter));
    Ok(())
}
