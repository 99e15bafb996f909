//! Inbound events to intents, and the one map from what happened to what is published.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use database::Tx;
use futures_util::future::BoxFuture;
use kernel::{OrderId, PaymentMethodId, ReturnId, UserId};
use messaging::{Delivered, Handler, HandlerError, Outgoing};
use proto::event::Event as _;
use proto::order::v1::{OrderCancelled, OrderReturned, OrderStockHeld};
use proto::payment::v1::{PaymentCaptured, PaymentDeclined, PaymentRefunded};
use tracing::Span;

use crate::app::App;
use crate::convert::{money, read_money};
use crate::domain::payment::State;
use crate::domain::{Effect, News, Payment, RefundId, Rejection, Wish, pay_within};
use crate::store::{self, Heard, NewRefund, Payments};

/// Takes in what order publishes.
pub(crate) struct Events {
    app: App,
}

/// The reason of a payment that could not be made in time.
pub(crate) const EXPIRED: &str = "pay_by_passed";

type Owned = HashSet<(PaymentMethodId, UserId)>;

impl Events {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }

    /// Folds the events of a batch over their payments.
    async fn take_in(&self, tx: &mut Tx, events: &[Delivered]) -> Result<(), HandlerError> {
        let said = events.iter().map(Said::read).collect::<Result<Vec<_>, _>>()?;
        let wishes: Vec<Wish> = said.iter().filter_map(Said::wish).collect();
        let owned = store::owned(tx, &wishes).await?;
        let mut orders: Vec<OrderId> = events.iter().map(|e| e.aggregate_id.into()).collect();
        orders.sort_unstable();
        orders.dedup();
        let mut payments = store::lock(tx, &orders).await?;
        if !payments.is_empty() {
            store::load_refunds(tx, &mut payments).await?;
        }
        let known: HashSet<OrderId> = payments.keys().copied().collect();
        let mut changes = Changes::default();
        for (said, event) in said.into_iter().zip(events) {
            let order = OrderId::from(event.aggregate_id);
            let payment = payments.entry(order).or_insert_with(|| Payment::new(order));
            changes.hear(payment, &said, &owned, event)?;
        }
        self.write(tx, &payments, &known, changes).await
    }

    async fn write(
        &self,
        tx: &mut Tx,
        payments: &Payments,
        known: &HashSet<OrderId>,
        changes: Changes,
    ) -> Result<(), HandlerError> {
        let Changes { mut touched, refunds, outgoing } = changes;
        let rows = payments.iter().filter_map(|(order, payment)| {
            let Touched { decline_reason, traceparent, time_left } = touched.remove(order)?;
            let pay_within = time_left.map(|left| pay_within(left, self.app.work.call_max));
            Some(Heard { payment, decline_reason, traceparent, pay_within, leased: false })
        });
        let (old, mut new): (Vec<_>, Vec<_>) =
            rows.partition(|heard| known.contains(&heard.payment.order));
        self.hand_over(tx, &mut new);
        if !new.is_empty() && store::insert(tx, &new, self.app.work.lease).await? < new.len() as u64
        {
            // Another copy has heard of one of them in this very moment: now there is a row to lock.
            return Err(HandlerError::Transient(anyhow::anyhow!(
                "a payment was written meanwhile"
            )));
        }
        if !old.is_empty() {
            store::update(tx, &old).await?;
        }
        if !refunds.is_empty() {
            store::insert_refunds(tx, &refunds).await?;
        }
        Ok(self.app.outbox.publish(tx, &outgoing).await?)
    }

    /// New payments with a free permit are written as leased and handed over to the worker after the commit; the others
    /// wait in the table.
    fn hand_over(&self, tx: &mut Tx, new: &mut [Heard<'_>]) {
        let pending: Vec<_> =
            new.iter_mut().filter(|heard| heard.payment.state == State::Pending).collect();
        if pending.is_empty() {
            return;
        }
        let (work, count) = (self.app.work.clone(), pending.len());
        let permits = work.permits(count);
        let handed = pending.into_iter().zip(permits).map(|(heard, permit)| {
            heard.leased = true;
            (heard.payment.order, permit)
        });
        let handed: Vec<_> = handed.collect();
        tx.after_commit(move || {
            if handed.len() < count {
                work.note_waiting();
            }
            work.hand_over(handed);
        });
    }
}

impl Handler for Events {
    fn wants(&self, kind: &str) -> bool {
        [OrderStockHeld::TYPE, OrderCancelled::TYPE, OrderReturned::TYPE].contains(&kind)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(self.take_in(tx, events))
    }

    fn committed(&self, events: &[Delivered]) {
        if events.iter().any(|event| !event.is::<OrderStockHeld>()) {
            self.app.work.wake();
        }
    }
}

/// What an event says, in our words.
enum Said {
    /// With the time left for the checkout, if the event has it.
    Pay(Wish, Option<Duration>),
    Cancelled,
    Returned(ReturnId, kernel::Money),
}

impl Said {
    fn read(event: &Delivered) -> Result<Self, HandlerError> {
        let poison = |what: &str| HandlerError::Poison(format!("{what} is malformed"));
        if event.is::<OrderStockHeld>() {
            let held: OrderStockHeld = event.decode()?;
            let amount = held.amount.as_ref().and_then(read_money);
            let wish = Wish {
                user: held.user_id.parse().map_err(|_| poison("user_id"))?,
                method: held.payment_method_id.parse().map_err(|_| poison("payment_method_id"))?,
                amount: amount.ok_or_else(|| poison("amount"))?,
            };
            let left = u64::try_from(held.pay_within_ms).ok().filter(|left| *left > 0);
            Ok(Self::Pay(wish, left.map(Duration::from_millis)))
        } else if event.is::<OrderReturned>() {
            let returned: OrderReturned = event.decode()?;
            let id = returned.return_id.parse().map_err(|_| poison("return_id"))?;
            let refund = returned.refund.as_ref().and_then(read_money);
            Ok(Self::Returned(id, refund.ok_or_else(|| poison("refund"))?))
        } else if event.is::<OrderCancelled>() {
            Ok(Self::Cancelled)
        } else {
            Err(poison("type"))
        }
    }

    fn wish(&self) -> Option<Wish> {
        match self {
            Self::Pay(wish, _) => Some(*wish),
            Self::Cancelled | Self::Returned(..) => None,
        }
    }

    fn time_left(&self) -> Option<Duration> {
        match self {
            Self::Pay(_, left) => *left,
            Self::Cancelled | Self::Returned(..) => None,
        }
    }

    fn news(&self, owned: &Owned) -> News {
        match self {
            Self::Pay(wish, _) if !owned.contains(&(wish.method, wish.user)) => {
                News::Unpayable(*wish, "payment_method_unknown")
            }
            Self::Pay(wish, _) if wish.amount.minor <= 0 => {
                News::Unpayable(*wish, "amount_not_positive")
            }
            Self::Pay(wish, _) => News::CaptureAsked(*wish),
            Self::Cancelled => News::Cancelled,
            Self::Returned(id, amount) => News::Returned(*id, *amount),
        }
    }
}

/// What a batch of events is to write.
#[derive(Default)]
struct Changes {
    touched: BTreeMap<OrderId, Touched>,
    refunds: Vec<NewRefund>,
    outgoing: Vec<Outgoing>,
}

#[derive(Default)]
struct Touched {
    decline_reason: Option<String>,
    traceparent: Option<String>,
    time_left: Option<Duration>,
}

impl Changes {
    /// Tells the payment, and notes what follows. Each of these events matters to the row, if
    /// only because a tombstone learns what it stands for.
    fn hear(
        &mut self,
        payment: &mut Payment,
        said: &Said,
        owned: &Owned,
        event: &Delivered,
    ) -> Result<(), HandlerError> {
        let before = (payment.state, payment.wish);
        let poison = |refused: Rejection| HandlerError::Poison(refused.to_string());
        let effects = payment.hear(said.news(owned)).map_err(poison)?;
        let wish = said.wish();
        if let Some(wish) = wish {
            payment.remember(wish);
        }
        let traceparent = telemetry::context::of(&event.span);
        if (payment.state, payment.wish) != before || !effects.is_empty() {
            let touched = self.touched.entry(payment.order).or_default();
            if wish.is_some() {
                touched.traceparent.clone_from(&traceparent);
                touched.time_left = said.time_left();
            }
        }
        for effect in effects {
            self.outgoing.extend(to_outgoing(payment.order, &effect, &event.span));
            match effect {
                Effect::Declined(reason) => {
                    let touched = self.touched.entry(payment.order).or_default();
                    touched.decline_reason = Some(reason);
                }
                Effect::RefundAsked(refund) => {
                    let traceparent = traceparent.clone();
                    self.refunds.push(NewRefund { order: payment.order, refund, traceparent });
                }
                // Of the provider, the clock and staff, which no event brings.
                Effect::Captured { .. }
                | Effect::Refunded { .. }
                | Effect::Settled(_)
                | Effect::Expired => {}
            }
        }
        Ok(())
    }
}

/// How an effect is published, as part of the trace of `span`.
pub(crate) fn to_outgoing(order: OrderId, effect: &Effect, span: &Span) -> Option<Outgoing> {
    let order_id = order.to_string();
    span.in_scope(|| match effect {
        Effect::Captured { amount, .. } => {
            let amount = Some(money(*amount));
            Some(Outgoing::new(order, &PaymentCaptured { order_id, amount }))
        }
        Effect::Declined(reason) => {
            let reason = reason.clone();
            Some(Outgoing::new(order, &PaymentDeclined { order_id, reason, expired: false }))
        }
        Effect::Expired => {
            let reason = EXPIRED.to_owned();
            Some(Outgoing::new(order, &PaymentDeclined { order_id, reason, expired: true }))
        }
        Effect::RefundAsked(_) => None,
        Effect::Refunded { refund, .. } | Effect::Settled(refund) => {
            let return_id = match refund.id {
                RefundId::Cancellation => String::new(),
                RefundId::Return(id) => id.to_string(),
            };
            let amount = Some(money(refund.amount));
            Some(Outgoing::new(order, &PaymentRefunded { order_id, return_id, amount }))
        }
    })
}
