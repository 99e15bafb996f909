//! Deliveries, shelves, reservations and returns.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{OrderId, ProductId, ReturnId};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Result;
use crate::domain::stock::{Line, Reservation, State};
use crate::domain::{Shelves, Stock};

/// The constraint that tells a delivery of a product that does not exist.
pub(crate) const RECEIPT_OF_A_PRODUCT: &str = "receipts_product_known";

/// A delivery: what names it, and what came.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub name: String,
    pub product: ProductId,
    pub quantity: i64,
}

/// Notes deliveries. Returns those that were not known, which are to be put on the shelves.
pub(crate) async fn note_receipts(
    tx: &mut PgConnection,
    receipts: &[Receipt],
) -> Result<Vec<(ProductId, i64)>> {
    let names: Vec<&str> = receipts.iter().map(|receipt| &*receipt.name).collect();
    let products: Vec<Uuid> = receipts.iter().map(|receipt| receipt.product.uuid()).collect();
    let quantities: Vec<i64> = receipts.iter().map(|receipt| receipt.quantity).collect();
    let rows = sqlx::query!(
        "insert into receipts (receipt, product_id, quantity)
         select * from unnest($1::text[], $2::uuid[], $3::bigint[])
         on conflict (receipt) do nothing returning product_id, quantity",
        &names as &[&str],
        &products,
        &quantities
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.product_id.into(), row.quantity)).collect())
}

/// What a receipt was booked for.
pub(crate) async fn receipt(tx: &mut PgConnection, name: &str) -> Result<Option<(ProductId, i64)>> {
    let row = sqlx::query!("select product_id, quantity from receipts where receipt = $1", name)
        .fetch_optional(tx)
        .await?;
    Ok(row.map(|row| (row.product_id.into(), row.quantity)))
}

/// The stock of one product.
pub(crate) async fn read(connection: &mut PgConnection, id: ProductId) -> Result<Option<Stock>> {
    sqlx::query_as!(
        Stock,
        "select received, on_hand, reserved, shipped from stock where product_id = $1",
        id.uuid()
    )
    .fetch_optional(connection)
    .await
}

/// Locks the shelves of these products, in the order of their ids.
pub(crate) async fn lock_shelves(
    tx: &mut PgConnection,
    products: &BTreeSet<ProductId>,
) -> Result<Shelves> {
    let ids: Vec<Uuid> = products.iter().map(|id| id.uuid()).collect();
    let shelves = sqlx::query_as!(
        Shelf,
        "select product_id, received, on_hand, reserved, shipped from stock
         where product_id = any($1) order by product_id for update",
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(shelves.into_iter().map(Shelf::of_product).collect())
}

struct Shelf {
    product_id: Uuid,
    received: i64,
    on_hand: i64,
    reserved: i64,
    shipped: i64,
}

impl Shelf {
    fn of_product(self) -> (ProductId, Stock) {
        let Self { product_id, received, on_hand, reserved, shipped } = self;
        (product_id.into(), Stock { received, on_hand, reserved, shipped })
    }
}

/// Writes shelves that were locked and have changed. They all exist; it is an upsert because that
/// finds each row by its key, whatever plan was made while the table was still empty.
pub(crate) async fn write_shelves(tx: &mut PgConnection, shelves: &Shelves) -> Result<()> {
    if shelves.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = shelves.keys().map(|id| id.uuid()).collect();
    let column = |of: fn(&Stock) -> i64| shelves.values().map(of).collect::<Vec<i64>>();
    sqlx::query!(
        "insert into stock (product_id, received, on_hand, reserved, shipped)
         select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
         on conflict (product_id) do update set received = excluded.received,
             on_hand = excluded.on_hand, reserved = excluded.reserved, shipped = excluded.shipped",
        &ids,
        &column(|stock| stock.received),
        &column(|stock| stock.on_hand),
        &column(|stock| stock.reserved),
        &column(|stock| stock.shipped)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A reservation as it is stored; by default, that of an order that is not.
#[derive(Default)]
pub(crate) struct Stored {
    pub reservation: Reservation,
    /// Counts its writes; 0 before the first.
    pub version: i64,
    /// Whether the row has its lines, which then stay as they are.
    pub has_lines: bool,
}

/// The reservations of these orders that exist, locked in the order of their ids; without returns.
///
pub(crate) async fn lock_reservations(
    tx: &mut PgConnection,
    orders: &BTreeSet<OrderId>,
) -> Result<BTreeMap<OrderId, Stored>> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select order_id, state, product_ids, quantities, version from reservations
         where order_id = any($1) order by order_id for update",
        &ids
    )
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|row| {
            let state = State::parse(&row.state)
                .ok_or_else(|| sqlx::Error::Decode("reservations.state".into()))?;
            let lines = lines(row.product_ids, row.quantities);
            let reservation = Reservation { state, lines, ..Reservation::default() };
            let has_lines = !reservation.lines.is_empty();
            Ok((row.order_id.into(), Stored { reservation, version: row.version, has_lines }))
        })
        .collect()
}

fn lines(products: Vec<Uuid>, quantities: Vec<i64>) -> Vec<Line> {
    let pairs = products.into_iter().zip(quantities);
    pairs.map(|(product, quantity)| Line { product: product.into(), quantity }).collect()
}

/// Counts the reservations that were made between `since` (one hour ago when it is none) and ten
/// minutes ago, and are still held. Returns also where the next look begins.
pub(crate) async fn overdue(
    connection: &mut PgConnection,
    since: Option<OffsetDateTime>,
) -> Result<(i64, OffsetDateTime)> {
    let row = sqlx::query!(
        r#"select count(*) filter (where state = 'held') as "held!",
               now() - interval '10 minutes' as "until!"
           from reservations
           where created_at > coalesce($1, now() - interval '1 hour')
               and created_at <= now() - interval '10 minutes'"#,
        since
    )
    .fetch_one(connection)
    .await?;
    Ok((row.held, row.until))
}

/// What came back of one order at once.
pub(crate) type Return = (OrderId, ReturnId, Vec<Line>);

/// What came back of these orders.
pub(crate) async fn returns(tx: &mut PgConnection, orders: &[OrderId]) -> Result<Vec<Return>> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "select order_id, return_id, product_ids, quantities from returns
         where order_id = any($1)",
        &ids
    )
    .fetch_all(tx)
    .await?;
    let came = rows.into_iter().map(|row| {
        let lines = lines(row.product_ids, row.quantities);
        (row.order_id.into(), row.return_id.into(), lines)
    });
    Ok(came.collect())
}

/// A reservation to be written.
pub(crate) struct Changed<'a> {
    pub order: OrderId,
    pub state: State,
    /// None when the row has them.
    pub lines: &'a [Line],
    /// The version that is stored, and locked; 0 of a new one.
    pub from: i64,
}

/// Writes reservations, new and known ones in one statement. False: another transaction has met
/// one of the new ones at the same time, and this one must not be committed.
///
/// The lines of all of them travel as one array, of which each row takes its slice.
pub(crate) async fn write_reservations(
    tx: &mut PgConnection,
    changed: &[Changed<'_>],
) -> Result<bool> {
    if changed.is_empty() {
        return Ok(true);
    }
    let ids: Vec<Uuid> = changed.iter().map(|row| row.order.uuid()).collect();
    let states: Vec<&str> = changed.iter().map(|row| row.state.code()).collect();
    let versions: Vec<i64> = changed.iter().map(|row| row.from + 1).collect();
    let flat = Flat::of(changed.iter().map(|row| row.lines));
    let written = sqlx::query!(
        "insert into reservations as r (order_id, state, version, product_ids, quantities)
         select order_id, state, version, ($4::uuid[])[first:last], ($5::bigint[])[first:last]
         from unnest($1::uuid[], $2::text[], $3::bigint[], $6::integer[], $7::integer[])
             c(order_id, state, version, first, last)
         on conflict (order_id) do update set
             state = excluded.state,
             version = excluded.version,
             product_ids = case when excluded.product_ids = '{}' then r.product_ids
                 else excluded.product_ids end,
             quantities = case when excluded.quantities = '{}' then r.quantities
                 else excluded.quantities end
         where r.version = excluded.version - 1",
        &ids,
        &states as &[&str],
        &versions,
        &flat.products,
        &flat.quantities,
        &flat.first,
        &flat.last
    )
    .execute(tx)
    .await?;
    Ok(written.rows_affected() == changed.len() as u64)
}

/// Notes what came back. The reservations have been written.
pub(crate) async fn insert_returns(tx: &mut PgConnection, returns: &[Return]) -> Result<()> {
    if returns.is_empty() {
        return Ok(());
    }
    let orders: Vec<Uuid> = returns.iter().map(|(order, ..)| order.uuid()).collect();
    let ids: Vec<Uuid> = returns.iter().map(|(_, id, _)| id.uuid()).collect();
    let flat = Flat::of(returns.iter().map(|(_, _, lines)| &lines[..]));
    sqlx::query!(
        "insert into returns (order_id, return_id, product_ids, quantities)
         select order_id, return_id, ($3::uuid[])[first:last], ($4::bigint[])[first:last]
         from unnest($1::uuid[], $2::uuid[], $5::integer[], $6::integer[])
             r(order_id, return_id, first, last)",
        &orders,
        &ids,
        &flat.products,
        &flat.quantities,
        &flat.first,
        &flat.last
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Many lists of lines as columns: PostgreSQL cannot unnest arrays of arrays that differ in length.
#[derive(Default)]
struct Flat {
    products: Vec<Uuid>,
    quantities: Vec<i64>,
    /// Where each list begins, counted from 1, and where it ends; an empty one ends before.
    first: Vec<i32>,
    last: Vec<i32>,
}

impl Flat {
    fn of<'a>(lists: impl Iterator<Item = &'a [Line]>) -> Self {
        let mut flat = Self::default();
        for list in lists {
            // A batch is bounded in bytes, far below 2^31 lines.
            flat.first.push(flat.products.len() as i32 + 1);
            flat.products.extend(list.iter().map(|line| line.product.uuid()));
            flat.quantities.extend(list.iter().map(|line| line.quantity));
            flat.last.push(flat.products.len() as i32);
        }
        flat
    }
}
