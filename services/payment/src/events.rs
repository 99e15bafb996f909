//! Inbound events to intents, and the one map from what happened to what is published.

use std::collections::{BTreeMap, HashSet};

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
use crate::domain::{Effect, News, Payment, RefundId, Wish};
use crate::store::{self, Heard, NewRefund, Payments};

/// Takes in what order publishes.
pub(crate) struct Events {
    app: App,
}

type Owned = HashSet<(PaymentMethodId, UserId)>;

impl Events {
    pub(crate) fn new(app: App) -> Self {
        Self { app }
    }

    /// Folds the events of a batch over the payments that they speak of.
    async fn take_in(&self, tx: &mut Tx, events: &[Delivered]) -> Result<(), HandlerError> {
        if !self.app.work.has_room() {
            return Err(HandlerError::Transient(anyhow::anyhow!("the provider is not that fast")));
        }
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
            changes.hear(payment, said.news(&owned), said.wish(), event)?;
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
            let Touched { decline_reason, traceparent } = touched.remove(order)?;
            Some(Heard { payment, decline_reason, traceparent })
        });
        let (old, new): (Vec<_>, Vec<_>) =
            rows.partition(|heard| known.contains(&heard.payment.order));
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
        for event in events {
            if event.is::<OrderStockHeld>() {
                self.app.work.hand_over(event.aggregate_id.into());
            } else {
                self.app.work.due();
            }
        }
    }
}

/// What an event says, in our words.
enum Said {
    Pay(Wish),
    Cancelled,
    Returned(ReturnId, kernel::Money),
}

impl Said {
    fn read(event: &Delivered) -> Result<Self, HandlerError> {
        let poison = |what: &str| HandlerError::Poison(format!("{what} is malformed"));
        if event.is::<OrderStockHeld>() {
            let held: OrderStockHeld = event.decode()?;
            Ok(Self::Pay(Wish {
                user: held.user_id.parse().map_err(|_| poison("user_id"))?,
                method: held.payment_method_id.parse().map_err(|_| poison("payment_method_id"))?,
                amount: held
                    .amount
                    .as_ref()
                    .and_then(read_money)
                    .ok_or_else(|| poison("amount"))?,
            }))
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
            Self::Pay(wish) => Some(*wish),
            Self::Cancelled | Self::Returned(..) => None,
        }
    }

    fn news(&self, owned: &Owned) -> News {
        match self {
            Self::Pay(wish) if !owned.contains(&(wish.method, wish.user)) => {
                News::Unpayable(*wish, "payment_method_unknown")
            }
            Self::Pay(wish) if wish.amount.minor <= 0 => {
                News::Unpayable(*wish, "amount_not_positive")
            }
            Self::Pay(wish) => News::CaptureAsked(*wish),
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
}

impl Changes {
    /// Tells the payment, and notes what follows. Each of these events matters to the row, if
    /// only because a tombstone learns what it stands for.
    fn hear(
        &mut self,
        payment: &mut Payment,
        news: News,
        wish: Option<Wish>,
        event: &Delivered,
    ) -> Result<(), HandlerError> {
        let before = (payment.state, payment.wish);
        let effects =
            payment.hear(news).map_err(|refused| HandlerError::Poison(refused.to_string()))?;
        if let Some(wish) = wish {
            payment.remember(wish);
        }
        let traceparent = telemetry::context::of(&event.span);
        if (payment.state, payment.wish) != before || !effects.is_empty() {
            let touched = self.touched.entry(payment.order).or_default();
            if wish.is_some() {
                touched.traceparent.clone_from(&traceparent);
            }
        }
        for effect in effects {
            self.outgoing.extend(published(payment.order, &effect, &event.span));
            match effect {
                Effect::Declined(reason) => {
                    let touched = self.touched.entry(payment.order).or_default();
                    touched.decline_reason = Some(reason);
                }
                Effect::RefundAsked(refund) => {
                    let traceparent = traceparent.clone();
                    self.refunds.push(NewRefund { order: payment.order, refund, traceparent });
                }
                // The provider's news, which no event brings.
                Effect::Captured { .. } | Effect::Refunded { .. } => {}
            }
        }
        Ok(())
    }
}

/// How an effect is published, as part of the trace of `span`.
pub(crate) fn published(order: OrderId, effect: &Effect, span: &Span) -> Option<Outgoing> {
    let order_id = order.to_string();
    span.in_scope(|| match effect {
        Effect::Captured { amount, .. } => {
            let amount = Some(money(*amount));
            Some(Outgoing::new(order, &PaymentCaptured { order_id, amount }))
        }
        Effect::Declined(reason) => {
            let reason = reason.clone();
            Some(Outgoing::new(order, &PaymentDeclined { order_id, reason }))
        }
        Effect::RefundAsked(_) => None,
        Effect::Refunded { refund, .. } => {
            let return_id = match refund.id {
                RefundId::Cancellation => String::new(),
                RefundId::Return(id) => id.to_string(),
            };
            let amount = Some(money(refund.amount));
            Some(Outgoing::new(order, &PaymentRefunded { order_id, return_id, amount }))
        }
    })
}
