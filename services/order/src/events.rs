//! Inbound events to the saga, and the one map from what happened to what is published.

use std::collections::BTreeMap;

use database::Tx;
use futures_util::future::BoxFuture;
use kernel::{InvalidId, OrderId, UserId};
use messaging::{Delivered, Handler, HandlerError, Outgoing};
use proto::event::Event as _;
use proto::order::v1::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderReturned, OrderStockHeld, order_placed,
    order_returned,
};
use proto::payment::v1::{PaymentCaptured, PaymentDeclined, PaymentRefunded};
use proto::product::v1::{StockRejected, StockReserved};
use proto::user::v1::UserErased;

use crate::app::App;
use crate::convert::money;
use crate::domain::Order;
use crate::domain::checkout::{Event, Signal, decide};
use crate::domain::returns::{self, Decided};
use crate::store::{self, TimeLeft};

/// Takes in what product, payment and user publish.
pub(crate) struct Events {
    app: App,
}

impl Events {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }

    /// Folds the signals of a batch over their orders. A signal of an unknown order (the database was restored to an
    /// earlier day) is ignored.
    async fn apply(
        &self,
        tx: &mut Tx,
        orders: &mut Orders,
        events: &[Delivered],
    ) -> Result<(), HandlerError> {
        let (mut steps, mut causes) = (Vec::new(), Vec::new());
        for cause in events {
            let Some(signal) = signal(cause)? else { continue };
            let id = OrderId::from(cause.aggregate_id);
            let Some(order) = orders.get_mut(&id) else { continue };
            // Only a customer's wish can be refused, and that is no event.
            if let Ok(Some(event)) = decide(order.state, signal) {
                steps.push((id, event));
                causes.push(cause);
                order.state = event.state();
            }
        }
        if steps.is_empty() {
            return Ok(());
        }
        let time_left = store::advance(tx, &steps).await?;
        let published = |(id, event): &store::Step| to_outgoing(&orders[id], *event, &time_left);
        let outgoing = steps.iter().map(published).zip(causes);
        let outgoing: Vec<_> = outgoing.map(|(event, cause)| event.caused_by(cause)).collect();
        Ok(self.app.outbox.publish(tx, &outgoing).await?)
    }

    /// Ends the returns whose money is back.
    async fn refund(&self, tx: &mut Tx, events: &[Delivered]) -> Result<(), HandlerError> {
        let mut refunds = Vec::new();
        for event in events.iter().filter(|event| event.is::<PaymentRefunded>()) {
            let refund: PaymentRefunded = event.decode()?;
            if !refund.return_id.is_empty() {
                let id = refund.return_id.parse().map_err(poison)?;
                refunds.push((OrderId::from(event.aggregate_id), id));
            }
        }
        if refunds.is_empty() {
            return Ok(());
        }
        let states = store::returns::states(tx, &refunds).await?.into_iter();
        let refunded = states.filter(|(_, state)| {
            matches!(returns::next(*state, returns::Input::Refunded), Ok(Some(_)))
        });
        let refunded: Vec<_> = refunded.map(|(refund, _)| refund).collect();
        Ok(store::returns::book(tx, &refunded).await?)
    }

    /// Forgets the addresses of users who were erased (GDPR: right to erasure).
    async fn anonymise(&self, tx: &mut Tx, events: &[Delivered]) -> Result<(), HandlerError> {
        let erased = events.iter().filter(|event| event.is::<UserErased>());
        let users: Vec<UserId> = erased.map(|event| event.aggregate_id.into()).collect();
        if !users.is_empty() {
            store::anonymise(tx, &users).await?;
        }
        Ok(())
    }
}

impl Handler for Events {
    fn wants(&self, kind: &str) -> bool {
        const WANTED: [&str; 6] = [
            StockReserved::TYPE,
            StockRejected::TYPE,
            PaymentCaptured::TYPE,
            PaymentDeclined::TYPE,
            PaymentRefunded::TYPE,
            UserErased::TYPE,
        ];
        WANTED.contains(&kind)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let mut orders = lock(tx, events).await?;
            self.apply(tx, &mut orders, events).await?;
            self.refund(tx, events).await?;
            self.anonymise(tx, events).await
        })
    }

    fn committed(&self, events: &[Delivered]) {
        for event in events.iter().filter(|event| !event.is::<UserErased>()) {
            self.app.watch.notify(event.aggregate_id.into());
        }
    }
}

/// The orders that a batch is about, by id.
type Orders = BTreeMap<OrderId, Order>;

/// Locks all of them in one statement and in id order, so that two batches never wait for each other.
async fn lock(tx: &mut Tx, events: &[Delivered]) -> Result<Orders, HandlerError> {
    let about_orders = events.iter().filter(|event| !event.is::<UserErased>());
    let mut ids: Vec<OrderId> = about_orders.map(|event| event.aggregate_id.into()).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(Orders::new());
    }
    let locked = store::lock(tx, &ids).await?;
    Ok(locked.into_iter().map(|order| (order.id, order)).collect())
}

fn signal(event: &Delivered) -> Result<Option<Signal>, HandlerError> {
    let signals = [
        (StockReserved::TYPE, Signal::StockReserved),
        (StockRejected::TYPE, Signal::StockRejected),
        (PaymentCaptured::TYPE, Signal::PaymentCaptured),
        (PaymentDeclined::TYPE, Signal::PaymentDeclined),
    ];
    // There is nothing wrong with the card: it was too late to charge it before the deadline.
    if event.is::<PaymentDeclined>() && event.decode::<PaymentDeclined>()?.expired {
        return Ok(Some(Signal::DeadlinePassed));
    }
    Ok(signals.iter().find(|(kind, _)| *kind == event.kind).map(|(_, signal)| *signal))
}

fn poison(error: InvalidId) -> HandlerError {
    HandlerError::Poison(format!("return_id: {error}"))
}

/// How a step of the checkout is published.
pub(crate) fn to_outgoing(order: &Order, event: Event, time_left: &TimeLeft) -> Outgoing {
    let order_id = order.id.to_string();
    match event {
        Event::StockHeld => {
            let user_id = order.user.to_string();
            let payment_method_id = order.payment_method.to_string();
            let amount = Some(money(order.total));
            let left = time_left.get(&order.id).copied().unwrap_or_default();
            let pay_within_ms = left.as_millis().clamp(1, i64::MAX as u128) as i64; // 0: not told
            let event =
                OrderStockHeld { order_id, user_id, payment_method_id, amount, pay_within_ms };
            Outgoing::new(order.id, &event)
        }
        Event::Confirmed => {
            let user_id = order.user.to_string();
            Outgoing::new(order.id, &OrderConfirmed { order_id, user_id })
        }
        Event::Cancelled(reason) => {
            let (user_id, back_to_cart) = (order.user.to_string(), reason.returns_to_cart());
            let reason = reason.code().to_owned();
            Outgoing::new(order.id, &OrderCancelled { order_id, reason, user_id, back_to_cart })
        }
    }
}

/// How a new order is published.
pub(crate) fn order_placed(order: &Order) -> OrderPlaced {
    let line = |line: &crate::domain::Line| order_placed::Line {
        product_id: line.product.to_string(),
        quantity: line.quantity,
    };
    OrderPlaced {
        order_id: order.id.to_string(),
        user_id: order.user.to_string(),
        cart_id: order.cart.0.to_string(),
        cart_version: order.cart.1,
        lines: order.lines.iter().map(line).collect(),
        left_cart: true,
    }
}

/// How the receipt of a return is published.
pub(crate) fn order_returned(order: OrderId, decided: &Decided) -> Outgoing {
    let lines = decided.received.iter().map(|(product, quantity)| order_returned::Line {
        product_id: product.to_string(),
        quantity: *quantity,
    });
    let event = OrderReturned {
        order_id: order.to_string(),
        return_id: decided.id.to_string(),
        lines: lines.collect(),
        refund: Some(money(decided.refund)),
    };
    Outgoing::new(order, &event)
}
