//! What can happen next, and what comes of it.

use kernel::{Money, PaymentMethodId, UserId};
use order::domain::checkout::{Event, Signal, State};
use order::domain::returns;
use payment::domain::payment::State as Paying;
use payment::domain::{News as Heard, Payment, RefundId, Wish};
use product::domain::stock;
use stateright::{Model, Property};
use uuid::Uuid;

use crate::claims;
use crate::sale::{Context, Decision, News, PRICE, Sale};
use crate::world::World;

/// The model: what is in stock, who buys, and what else may happen.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// Pieces of each order.
    pub orders: Vec<i64>,
    /// Pieces there are.
    pub stock: i64,
    /// Whether news may come again although they were heard.
    pub repeats: bool,
    /// Whether customers cancel and send pieces back, which staff receives or refuses.
    pub second_thoughts: bool,
    /// A mistake that must be found.
    pub bug: Option<Bug>,
}

/// Mistakes that others have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A capture whose answer was lost is sent again under another key.
    BlindRetry,
    /// Product forgets a cancellation of an order that it has not heard of.
    NoTombstoneInStock,
    /// Payment forgets a cancellation of an order that it has not heard of.
    NoTombstoneInPayment,
    /// Money that arrives after the cancellation is kept.
    LateCaptureIsKept,
    /// Product lets go of a reservation by itself.
    ReservationsExpire,
    /// Money that arrives after the cancellation confirms the order.
    PaidIsConfirmed,
    /// The database forgets, in a crash, that a payment was leased for its first call.
    ForgottenLease,
    /// A message is acknowledged before its effect is committed, and there is a crash.
    AckBeforeCommit,
    /// What is on its way back is refunded and on the shelf already.
    ReturnsUnseen,
    /// That the money of a return is back does not reach the order.
    RefundUnheard,
}

/// One transaction, or one thing that the provider does. The number is the order's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// News are delivered.
    Deliver(usize, Context, News),
    /// The order's deadline passes.
    Deadline(usize),
    /// The customer cancels.
    Cancel(usize),
    /// The customer sends a piece back.
    Return(usize),
    /// Staff receives it.
    Receive(usize),
    /// Staff refuses it.
    Refuse(usize),
    /// Payment sends the capture.
    Ask(usize),
    /// Pay-by passes: payment gives up, and makes the key void if it was called for.
    GiveUp(usize),
    /// The provider takes the money, or does not.
    Decide(usize, bool),
    /// Payment voids the key.
    Void(usize),
    /// Payment hears what the provider decided: an answer, a webhook, or because it asked.
    Learn(usize),
    /// The provider gives money back.
    Refund(usize, RefundId),
    /// Payment hears of that.
    LearnRefund(usize, RefundId),
    /// Product lets go of what it holds ([`Bug::ReservationsExpire`]).
    Expire(usize),
    /// News are lost ([`Bug::AckBeforeCommit`]).
    Lose(usize, Context, News),
}

impl Model for Checkout {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(&self.orders, self.stock)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (at, sale) in world.sales.iter().enumerate() {
            self.deliveries(at, sale, actions);
            self.payments(at, sale, actions);
            actions.push(Action::Deadline(at));
            if self.second_thoughts {
                actions.extend([Action::Cancel(at), Action::Return(at)]);
                actions.extend([Action::Receive(at), Action::Refuse(at)]);
            }
            if self.bug == Some(Bug::ReservationsExpire) {
                actions.push(Action::Expire(at));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        self.act(&mut next, action);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        claims::all()
    }
}

impl Checkout {
    fn deliveries(&self, at: usize, sale: &Sale, actions: &mut Vec<Action>) {
        for news in &sale.published {
            for reader in news.readers() {
                let heard = sale.heard.contains(&(*reader, *news));
                if !heard || self.repeats {
                    actions.push(Action::Deliver(at, *reader, *news));
                }
                if !heard && self.bug == Some(Bug::AckBeforeCommit) {
                    actions.push(Action::Lose(at, *reader, *news));
                }
            }
        }
    }

    fn payments(&self, at: usize, sale: &Sale, actions: &mut Vec<Action>) {
        if sale.payment.state == Paying::Pending {
            actions.extend([Action::Ask(at), Action::GiveUp(at)]);
        }
        if sale.payment.state == Paying::Cancelling {
            actions.push(Action::Void(at));
        }
        if sale.provider.asked {
            actions.extend([Action::Decide(at, true), Action::Decide(at, false)]);
        }
        actions.push(Action::Learn(at));
        for refund in &sale.payment.refunds {
            actions.push(Action::Refund(at, refund.id));
            actions.push(Action::LearnRefund(at, refund.id));
        }
    }

    fn act(&self, world: &mut World, action: Action) {
        let World { sales, shelves } = world;
        match action {
            Action::Deliver(at, context, news) => {
                let sale = &mut sales[at];
                sale.heard.insert((context, news));
                match context {
                    Context::Order => self.order_hears(sale, news),
                    Context::Product => self.product_hears(sale, shelves, news),
                    Context::Payment => self.payment_hears(sale, news),
                }
            }
            Action::Lose(at, context, news) => drop(sales[at].heard.insert((context, news))),
            Action::Deadline(at) => sales[at].signal(Signal::DeadlinePassed),
            Action::Cancel(at) => sales[at].signal(Signal::CancelRequested),
            Action::Return(at) => self.send_back(&mut sales[at]),
            Action::Receive(at) => sales[at].turn(returns::Input::Receive),
            Action::Refuse(at) => sales[at].turn(returns::Input::Refuse),
            Action::Ask(at) => {
                // Its lease, before the call.
                sales[at].payment.called |= self.bug != Some(Bug::ForgottenLease);
                sales[at].provider.asked = true;
            }
            Action::GiveUp(at) if !sales[at].payment.called => sales[at].pay(Heard::Expired),
            Action::GiveUp(at) => sales[at].provider.make_void(),
            Action::Decide(at, takes) => self.provider_decides(&mut sales[at], takes),
            Action::Void(at) => sales[at].provider.make_void(),
            Action::Learn(at) => self.payment_learns(&mut sales[at]),
            Action::Refund(at, id) => give_back(&mut sales[at], id),
            Action::LearnRefund(at, id) => {
                if sales[at].provider.refunds.contains_key(&id) {
                    sales[at].pay(Heard::Refunded(id, String::new()));
                }
            }
            Action::Expire(at) => {
                let sale = &mut sales[at];
                if sale.reservation.state == stock::State::Held {
                    stock::fold(&mut sale.reservation, shelves, stock::Signal::Cancelled);
                }
            }
        }
    }

    fn order_hears(&self, sale: &mut Sale, news: News) {
        let cancelled = matches!(sale.state, State::Cancelled(_));
        match news {
            News::StockReserved => sale.signal(Signal::StockReserved),
            News::StockRejected => sale.signal(Signal::StockRejected),
            News::PaymentCaptured if cancelled && self.bug == Some(Bug::PaidIsConfirmed) => {
                sale.happened(Event::Confirmed);
            }
            News::PaymentCaptured => sale.signal(Signal::PaymentCaptured),
            News::PaymentDeclined => sale.signal(Signal::PaymentDeclined),
            News::PaymentExpired => sale.signal(Signal::DeadlinePassed),
            News::PaymentRefunded if self.bug != Some(Bug::RefundUnheard) => {
                sale.turn(returns::Input::Refunded);
            }
            _ => {}
        }
    }

    fn product_hears(&self, sale: &mut Sale, shelves: &mut product::domain::Shelves, news: News) {
        let signal = match news {
            News::Placed => stock::Signal::Placed(Sale::line(sale.pieces)),
            News::Confirmed => stock::Signal::Confirmed,
            News::Cancelled => stock::Signal::Cancelled,
            News::Returned => stock::Signal::Returned(sale.return_id(), Sale::line(1)),
            _ => return,
        };
        let unknown = sale.reservation.state == stock::State::Unknown;
        if news == News::Cancelled && unknown && self.bug == Some(Bug::NoTombstoneInStock) {
            return;
        }
        for event in stock::fold(&mut sale.reservation, shelves, signal) {
            match event {
                stock::Event::Held(_) => drop(sale.published.insert(News::StockReserved)),
                stock::Event::Rejected(_) => drop(sale.published.insert(News::StockRejected)),
                _ => {}
            }
        }
    }

    fn payment_hears(&self, sale: &mut Sale, news: News) {
        match news {
            News::StockHeld => {
                let wish = wish(sale.total());
                sale.pay(Heard::CaptureAsked(wish));
                sale.payment.remember(wish);
            }
            News::Cancelled => {
                let unknown = sale.payment.state == Paying::New;
                if !(unknown && self.bug == Some(Bug::NoTombstoneInPayment)) {
                    sale.pay(Heard::Cancelled);
                }
            }
            News::Returned => {
                let id = sale.return_id();
                sale.pay(Heard::Returned(id, Money::gbp(PRICE)));
            }
            _ => {}
        }
    }

    fn send_back(&self, sale: &mut Sale) {
        if sale.state == State::Confirmed && sale.back.is_none() {
            sale.back = Some(returns::State::Requested);
            if self.bug == Some(Bug::ReturnsUnseen) {
                sale.published.insert(News::Returned);
            }
        }
    }

    fn provider_decides(&self, sale: &mut Sale, takes: bool) {
        let again = self.bug == Some(Bug::BlindRetry) && sale.provider.captures == 1;
        let pending = sale.payment.state == Paying::Pending;
        if sale.provider.decision == Decision::None || (again && takes && pending) {
            sale.provider.decision = if takes { Decision::Captured } else { Decision::Declined };
            sale.provider.captures += u8::from(takes);
        }
    }

    fn payment_learns(&self, sale: &mut Sale) {
        let late = !matches!(sale.payment.state, Paying::Pending);
        match sale.provider.decision {
            Decision::None => {}
            Decision::Captured if late && self.bug == Some(Bug::LateCaptureIsKept) => {
                if sale.payment.state == Paying::Cancelling {
                    sale.payment.state = Paying::Voided;
                }
            }
            Decision::Captured => sale.pay(Heard::Captured(String::new())),
            Decision::Declined => sale.pay(Heard::Declined(String::new())),
            Decision::Voided => sale.pay(Heard::Voided),
        }
    }
}

fn wish(amount: Money) -> Wish {
    let nobody = Uuid::nil();
    Wish { user: UserId::from(nobody), method: PaymentMethodId::from(nobody), amount }
}

fn give_back(sale: &mut Sale, id: RefundId) {
    let Payment { refunds, .. } = &sale.payment;
    let amount = refunds.iter().find(|refund| refund.id == id).map(|refund| refund.amount.minor);
    if let (Decision::Captured, Some(amount)) = (sale.provider.decision, amount) {
        sale.provider.refunds.entry(id).or_insert(amount);
    }
}
