//! A payment with its particulars, and what it makes of news: the table of [`super::payment`] with
//! amounts and ids.

use kernel::{Money, OrderId, PaymentMethodId, ReturnId, UserId};

use super::payment::{Event, Signal, State, decide};
use super::{Refund, RefundId, Rejection, refund};

/// What the order asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Who pays.
    pub user: UserId,
    /// With what.
    pub method: PaymentMethodId,
    /// How much.
    pub amount: Money,
}

/// The payment of one order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payment {
    /// Of which order. It is the provider's key for the capture.
    pub order: OrderId,
    /// Where it stands.
    pub state: State,
    /// Whether the provider may have been called for it. It never becomes false again.
    pub called: bool,
    /// What was asked for; `None` as long as only a cancellation or a return was heard of.
    pub wish: Option<Wish>,
    /// What is to go back, or went back.
    pub refunds: Vec<Refund>,
}

/// What a payment hears, with the particulars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// See [`Signal::CaptureAsked`].
    CaptureAsked(Wish),
    /// See [`Signal::Unpayable`].
    Unpayable(Wish, &'static str),
    /// See [`Signal::Captured`]; with the provider's id.
    Captured(String),
    /// See [`Signal::Declined`]; with the provider's reason.
    Declined(String),
    /// See [`Signal::Voided`].
    Voided,
    /// See [`Signal::Unknown`].
    Unknown,
    /// See [`Signal::Cancelled`] and [`Signal::Withdrawn`].
    Cancelled,
    /// See [`Signal::Expired`].
    Expired,
    /// See [`Signal::Returned`].
    Returned(ReturnId, Money),
    /// The provider has given a refund back; with its own id for that.
    Refunded(RefundId, String),
    /// The provider refuses a refund; with its code for that.
    RefundRefused(RefundId, String),
    /// Staff want a refund to be tried again.
    RetryRefund(RefundId),
    /// Staff have given a refund back themselves.
    SettleRefund(RefundId),
}

/// What is to be written and published because of news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The capture is booked and published.
    Captured {
        /// How much.
        amount: Money,
        /// The provider's id of it.
        capture_id: String,
    },
    /// Published.
    Declined(String),
    /// Published.
    Expired,
    /// A new intent.
    RefundAsked(Refund),
    /// The refund is booked and published.
    Refunded {
        /// Which.
        refund: Refund,
        /// The provider's id of it.
        transfer_id: String,
    },
    /// The same, by hand.
    Settled(Refund),
}

/// The reason of a declined payment whose key was voided by somebody else.
const VOIDED: &str = "voided";

impl Payment {
    /// The payment of an order that nothing was heard of yet.
    pub fn new(order: OrderId) -> Self {
        Self { order, state: State::New, called: false, wish: None, refunds: Vec::new() }
    }

    /// What has gone back, in minor units.
    pub fn refunded_minor(&self) -> i64 {
        let ended = self.refunds.iter().filter(|refund| refund.state.is_ended());
        ended.map(|refund| refund.amount.minor).sum()
    }

    /// Applies news: to the table of its refund if it is about one, then to the table of the payment; the step's events
    /// become effects, to be written and published. Repeated and late news have no effect. An error changes nothing,
    /// and is the same for the same news.
    pub fn hear(&mut self, news: News) -> Result<Vec<Effect>, Rejection> {
        if self.knows(&news) || !self.apply_to_refund(&news)? {
            return Ok(Vec::new());
        }
        let Some(step) = decide(self.state, self.signal(&news)) else { return Ok(Vec::new()) };
        if let News::Returned(_, amount) = &news {
            self.check_refund(*amount)?;
        }
        if let News::CaptureAsked(wish) | News::Unpayable(wish, _) = &news {
            self.wish = Some(*wish);
        }
        self.state = step.to;
        Ok(step.events.iter().filter_map(|event| self.effect(*event, &news)).collect())
    }

    /// A tombstone learns later what it stands for, and stays one.
    pub fn remember(&mut self, wish: Wish) {
        self.wish.get_or_insert(wish);
    }

    fn knows(&self, news: &News) -> bool {
        match news {
            News::Returned(id, _) => self.refund(RefundId::Return(*id)).is_some(),
            _ => false,
        }
    }

    /// First of two state machines: applies news of a refund to the refund. Returns whether the payment's own table
    /// decides as well: about all other news, and about a refund that ends.
    fn apply_to_refund(&mut self, news: &News) -> Result<bool, Rejection> {
        let (id, signal) = match news {
            News::Refunded(id, _) => (id, refund::Signal::Refunded),
            News::RefundRefused(id, _) => (id, refund::Signal::Refused),
            News::RetryRefund(id) => (id, refund::Signal::Retry),
            News::SettleRefund(id) => (id, refund::Signal::Settle),
            _ => return Ok(true),
        };
        let refund = self.refunds.iter_mut().find(|refund| refund.id == *id);
        let refund = refund.ok_or(Rejection::RefundNotFound)?;
        let Some(next) = refund::decide(refund.state, signal)? else { return Ok(false) };
        if !next.is_ended() {
            refund.state = next;
        }
        Ok(next.is_ended())
    }

    fn refund(&self, id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.id == id)
    }

    fn signal(&self, news: &News) -> Signal {
        match news {
            News::CaptureAsked(_) => Signal::CaptureAsked,
            News::Unpayable(..) => Signal::Unpayable,
            News::Captured(_) => Signal::Captured,
            News::Declined(_) => Signal::Declined,
            News::Voided => Signal::Voided,
            News::Unknown => Signal::Unknown,
            News::Cancelled if self.state == State::Pending && !self.called => Signal::Withdrawn,
            News::Cancelled => Signal::Cancelled,
            News::Expired => Signal::Expired,
            News::Returned(..) => Signal::Returned,
            News::Refunded(id, _)
            | News::SettleRefund(id)
            | News::RefundRefused(id, _)
            | News::RetryRefund(id) => {
                let part = self.refund(*id).map_or(0, |refund| refund.amount.minor);
                let paid = self.wish.map_or(0, |wish| wish.amount.minor);
                match self.refunded_minor() + part < paid {
                    true => Signal::RefundedPart,
                    false => Signal::RefundedAll,
                }
            }
        }
    }

    /// An early return, before the amount is known, is the provider's to check.
    fn check_refund(&self, amount: Money) -> Result<(), Rejection> {
        let fits = self.wish.is_none_or(|wish| {
            let room = self.rest(wish.amount);
            amount.currency == wish.amount.currency && (1..=room).contains(&amount.minor)
        });
        if fits { Ok(()) } else { Err(Rejection::RefundExceedsPayment) }
    }

    /// What was not asked back of this amount, in minor units.
    fn rest(&self, of: Money) -> i64 {
        self.refunds.iter().fold(of.minor, |rest, refund| rest.saturating_sub(refund.amount.minor))
    }

    fn effect(&mut self, event: Event, news: &News) -> Option<Effect> {
        match (event, news) {
            (Event::Captured, News::Captured(id)) => {
                Some(Effect::Captured { amount: self.wish?.amount, capture_id: id.clone() })
            }
            (Event::Declined, News::Declined(reason)) => Some(Effect::Declined(reason.clone())),
            (Event::Declined, News::Unpayable(_, reason)) => {
                Some(Effect::Declined((*reason).to_owned()))
            }
            (Event::Declined, _) => Some(Effect::Declined(VOIDED.to_owned())),
            (Event::Expired, _) => Some(Effect::Expired),
            (Event::RefundPart, News::Returned(id, amount)) => {
                Some(self.ask_back(RefundId::Return(*id), *amount))
            }
            (Event::RefundRest, _) => {
                let amount = self.wish?.amount;
                let minor = self.rest(amount);
                (minor > 0)
                    .then(|| self.ask_back(RefundId::Cancellation, Money { minor, ..amount }))
            }
            (Event::Refunded, News::Refunded(id, transfer_id)) => {
                let refund = self.end(*id, refund::State::Refunded)?;
                Some(Effect::Refunded { refund, transfer_id: transfer_id.clone() })
            }
            (Event::Refunded, News::SettleRefund(id)) => {
                Some(Effect::Settled(self.end(*id, refund::State::Settled)?))
            }
            (Event::Captured | Event::RefundPart | Event::Refunded, _) => None, // not of this news
        }
    }

    fn end(&mut self, id: RefundId, state: refund::State) -> Option<Refund> {
        let refund = self.refunds.iter_mut().find(|refund| refund.id == id)?;
        refund.state = state;
        Some(*refund)
    }

    fn ask_back(&mut self, id: RefundId, amount: Money) -> Effect {
        let refund = Refund { id, amount, state: refund::State::Owed };
        self.refunds.push(refund);
        Effect::RefundAsked(refund)
    }
}

#[cfg(test)]
mod tests;
