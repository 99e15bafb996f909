//! What orders do to the stock, and the one map from what happened to what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use database::{Database, Freshness, ONLY_SHARD, Tx};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::{Money, OrderId, ProductId, ReturnId};
use messaging::{Delivered, Handler, HandlerError, Outbox, Outgoing};
use proto::event::Event as _;
use proto::order::v1::{OrderCancelled, OrderConfirmed, OrderPlaced, OrderReturned};
use proto::product::v1::{
    PriceChanged, ProductAdded, ProductRetired, ProductRevised, StockRejected, StockReserved,
    stock_rejected,
};
use telemetry::catalogue::RESERVATIONS_OVERDUE;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::app::Offers;
use crate::convert::money;
use crate::domain::stock::{Event, Line, Shortage, Signal, State, fold, lines};
use crate::domain::{Product, basket, product};
use crate::store::sales;
use crate::store::stock::{self, Changed, Stored};

/// Takes in what order publishes.
pub(crate) struct Events {
    outbox: Outbox,
    offers: Offers,
}

/// One event of a batch.
type Told<'a> = (OrderId, Signal, &'a Delivered);

impl Events {
    pub(crate) fn new(outbox: &Outbox, offers: &Offers) -> Self {
        Self { outbox: outbox.clone(), offers: offers.clone() }
    }

    /// Locks every reservation and every shelf that the batch touches, folds the rules over them
    /// event by event, and writes each row once, however many of the events touched it.
    async fn apply(&self, tx: &mut Tx, told: Vec<Told<'_>>) -> Result<(), HandlerError> {
        let mut known = known(tx, &told).await?;
        let mut shelves = stock::lock_shelves(tx, &products(&known, &told)).await?;
        let shelves_before = shelves.clone();
        let mut changes = Changes::default();
        for (id, signal, cause) in told {
            let reservation = &mut known.entry(id).or_default().reservation;
            for event in fold(reservation, &mut shelves, signal) {
                if event == Event::Shipped {
                    changes.note_bought(id, &reservation.lines);
                }
                changes.note(id, event, cause);
            }
        }
        let changed = changes.orders.iter().filter_map(|id| Some(changed(*id, known.get(id)?)));
        if !stock::write_reservations(tx, &changed.collect::<Vec<_>>()).await? {
            return Err(overtaken());
        }
        stock::insert_returns(tx, &changes.returns).await?;
        sales::add_bought_together(tx, &changes.bought_together).await?;
        shelves.retain(|id, stock| shelves_before.get(id) != Some(stock));
        stock::write_shelves(tx, &shelves).await?;
        self.offers.changed_by(tx, shelves.into_keys());
        Ok(self.outbox.publish(tx, &changes.outgoing).await?)
    }
}

impl Handler for Events {
    fn wants(&self, kind: &str) -> bool {
        [OrderPlaced::TYPE, OrderConfirmed::TYPE, OrderCancelled::TYPE, OrderReturned::TYPE]
            .contains(&kind)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let told =
                events.iter().map(|event| Ok((event.aggregate_id.into(), signal(event)?, event)));
            let told = told.collect::<Result<Vec<Told<'_>>, HandlerError>>()?;
            self.apply(tx, told).await
        })
    }
}

/// What a batch has to write.
#[derive(Default)]
struct Changes {
    orders: BTreeSet<OrderId>,
    returns: Vec<stock::Return>,
    /// Pairs of products, with in how many of the orders.
    bought_together: BTreeMap<(ProductId, ProductId), i64>,
    outgoing: Vec<Outgoing>,
}

impl Changes {
    fn note_bought(&mut self, id: OrderId, lines: &[Line]) {
        for pair in basket::pairs(id, lines) {
            *self.bought_together.entry(pair).or_default() += 1;
        }
    }

    fn note(&mut self, id: OrderId, event: Event, cause: &Delivered) {
        if let Some(outgoing) = to_outgoing(id, &event) {
            self.outgoing.push(outgoing.caused_by(cause));
        }
        match event {
            // Returns have rows of their own, and the shelves are compared at the end.
            Event::Returned(return_id, lines) => self.returns.push((id, return_id, lines)),
            Event::Restocked(_) => {}
            Event::Held(_)
            | Event::Rejected(_)
            | Event::Sold
            | Event::Shipped
            | Event::Released => {
                self.orders.insert(id);
            }
        }
    }
}

fn changed(order: OrderId, stored: &Stored) -> Changed<'_> {
    let Stored { reservation, version, has_lines } = stored;
    let lines = if *has_lines { &[] } else { &reservation.lines[..] };
    Changed { order, state: reservation.state, lines, from: *version }
}

/// The reservations of a batch that exist, locked; with their returns where these matter.
async fn known(tx: &mut Tx, told: &[Told<'_>]) -> Result<BTreeMap<OrderId, Stored>, sqlx::Error> {
    let orders: BTreeSet<OrderId> = told.iter().map(|(id, ..)| *id).collect();
    let mut known = stock::lock_reservations(tx, &orders).await?;
    let returned = told.iter().filter(|(_, signal, _)| matches!(signal, Signal::Returned(..)));
    let mut with_returns: BTreeSet<OrderId> = returned.map(|(id, ..)| *id).collect();
    let sold = known.iter().filter(|(_, stored)| stored.reservation.state == State::Sold);
    with_returns.extend(sold.map(|(id, _)| *id));
    if !with_returns.is_empty() {
        let ids: Vec<OrderId> = with_returns.into_iter().collect();
        for (order, id, lines) in stock::returns(tx, &ids).await? {
            known.entry(order).or_default().reservation.returns.insert(id, lines);
        }
    }
    Ok(known)
}

/// Every product whose shelf the batch may change.
fn products(known: &BTreeMap<OrderId, Stored>, told: &[Told<'_>]) -> BTreeSet<ProductId> {
    let placed = told.iter().flat_map(|(_, signal, _)| match signal {
        Signal::Placed(lines) => &lines[..],
        Signal::Confirmed | Signal::Cancelled | Signal::Returned(..) => &[],
    });
    let known = known.values().flat_map(|stored| &stored.reservation.lines);
    placed.chain(known).map(|line| line.product).collect()
}

/// Two copies of the service have handled the first events of one order concurrently: the second transaction is retried,
/// and finds the reservation of the first.
fn overtaken() -> HandlerError {
    HandlerError::Transient(anyhow::anyhow!("another copy has met the same order"))
}

fn signal(event: &Delivered) -> Result<Signal, HandlerError> {
    Ok(match &*event.kind {
        OrderPlaced::TYPE => {
            let placed: OrderPlaced = event.decode()?;
            let pairs = placed.lines.iter().map(|line| pair(&line.product_id, line.quantity));
            Signal::Placed(lines(pairs.collect::<Result<Vec<_>, _>>()?))
        }
        OrderConfirmed::TYPE => Signal::Confirmed,
        OrderCancelled::TYPE => Signal::Cancelled,
        OrderReturned::TYPE => {
            let returned: OrderReturned = event.decode()?;
            let id: ReturnId = returned.return_id.parse().map_err(|_| malformed("return_id"))?;
            let pairs = returned.lines.iter().map(|line| pair(&line.product_id, line.quantity));
            Signal::Returned(id, lines(pairs.collect::<Result<Vec<_>, _>>()?))
        }
        _ => return Err(malformed("type")),
    })
}

fn pair(product: &str, quantity: i64) -> Result<(ProductId, i64), HandlerError> {
    let product = product.parse().map_err(|_| malformed("product_id"))?;
    if quantity > 0 { Ok((product, quantity)) } else { Err(malformed("quantity")) }
}

fn malformed(what: &str) -> HandlerError {
    HandlerError::Poison(format!("malformed {what}"))
}

/// How a change of a reservation is published, if it matters to others.
fn to_outgoing(order: OrderId, event: &Event) -> Option<Outgoing> {
    let order_id = order.to_string();
    match event {
        Event::Held(_) => Some(Outgoing::new(order, &StockReserved { order_id })),
        Event::Rejected(shortages) => {
            let shortages = shortages.iter().map(shortage).collect();
            Some(Outgoing::new(order, &StockRejected { order_id, shortages }))
        }
        Event::Sold
        | Event::Shipped
        | Event::Released
        | Event::Returned(..)
        | Event::Restocked(_) => None,
    }
}

fn shortage(shortage: &Shortage) -> stock_rejected::Shortage {
    let Shortage { product, wanted, available } = *shortage;
    stock_rejected::Shortage { product_id: product.to_string(), wanted, available }
}

/// How a change of the catalogue is published. `product` is as the event has left it.
pub(crate) fn catalogued(product: &Product, event: &product::Event) -> Outgoing {
    let (product_id, version) = (product.id.to_string(), product.version);
    let price = |price: Money| Some(money(price));
    match event {
        product::Event::Added => {
            let sku = product.sku.clone();
            Outgoing::new(product.id, &ProductAdded { product_id, version, sku })
        }
        product::Event::Revised(_) => {
            Outgoing::new(product.id, &ProductRevised { product_id, version })
        }
        product::Event::PriceChanged(to) => {
            Outgoing::new(product.id, &PriceChanged { product_id, version, price: price(*to) })
        }
        product::Event::Retired => {
            Outgoing::new(product.id, &ProductRetired { product_id, version })
        }
    }
}

/// Counts reservations that no event has ended in ten minutes, each once, until `stop`.
/// Counting is all that it does: only the order context ends a checkout.
pub(crate) async fn count_overdue(
    database: Database,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (mut look, mut since) = (interval(Duration::from_secs(60)), None);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let overdue = database
            .read(ONLY_SHARD, Freshness::Primary, move |db| stock::overdue(db, since).boxed());
        match overdue.await {
            Ok((held, until)) => {
                RESERVATIONS_OVERDUE.inc_by(held.unsigned_abs());
                since = Some(until);
                if held > 0 {
                    tracing::warn!(held, "reservations have been held for ten minutes");
                }
            }
            Err(error) => tracing::warn!(%error, "old reservations: will look again"),
        }
    }
    Ok(())
}
