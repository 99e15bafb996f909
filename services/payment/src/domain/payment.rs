//! A payment from the wish to the end. Its state is a row, and this table is all it does:
//!
//! | state \ signal | CaptureAsked | Unpayable             | Captured                             | Declined              | Voided                | Unknown | Cancelled                 | Returned                  | RefundedPart           | RefundedAll           |
//! |----------------|--------------|-----------------------|--------------------------------------|-----------------------|-----------------------|---------|---------------------------|---------------------------|------------------------|-----------------------|
//! | new            | → pending    | → declined: declined  | –                                    | –                     | –                     | –       | → voided                  | → new: refund part        | –                      | –                     |
//! | pending        | –            | –                     | → captured: captured                 | → declined: declined  | → declined: declined  | –       | → cancelling              | → pending: refund part    | –                      | –                     |
//! | cancelling     | –            | –                     | → refunding: captured, refund rest   | → declined: declined  | → voided              | –       | –                         | –                         | –                      | –                     |
//! | captured       | –            | –                     | –                                    | –                     | –                     | –       | → refunding: refund rest  | → captured: refund part   | → captured: refunded   | → refunded: refunded  |
//! | declined       | –            | –                     | → refunding: captured, refund rest   | –                     | –                     | –       | –                         | –                         | –                      | –                     |
//! | voided         | –            | –                     | → refunding: captured, refund rest   | –                     | –                     | –       | –                         | –                         | –                      | –                     |
//! | refunding      | –            | –                     | –                                    | –                     | –                     | –       | –                         | –                         | → refunding: refunded  | → refunded: refunded  |
//! | refunded       | –            | –                     | –                                    | –                     | –                     | –       | –                         | –                         | –                      | –                     |
//!
//! `captured`, `declined` and `refunded` are published; `refund …` is an intent that the worker
//! carries out. A dash is a signal that came twice or too late, and changes nothing. Three things
//! to see: a lost answer (`Unknown`) decides nothing, so the provider is asked until it has
//! decided; a cancellation that comes first leaves a tombstone (`voided`) that no later wish gets
//! past; and money that arrives although nobody wants it any more always goes back.

use kernel::{Money, OrderId, PaymentMethodId, ReturnId, UserId};

use super::Rejection;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not asked for yet; stored only when a return was heard of before the wish to pay.
    New,
    /// To be captured; the provider has not decided, as far as we know.
    Pending,
    /// Cancelled before the outcome was known: to be voided, or refunded when that is too late.
    Cancelling,
    /// The money is there.
    Captured,
    /// The money will never be there.
    Declined,
    /// Cancelled before anything was captured, which now never will be.
    Voided,
    /// Captured and cancelled: the money is on its way back.
    Refunding,
    /// Everything has gone back.
    Refunded,
}

/// What a payment hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The order holds its stock and wants the money.
    CaptureAsked,
    /// The same, but with a payment method that cannot pay.
    Unpayable,
    /// The provider has taken the money.
    Captured,
    /// The provider refuses the card.
    Declined,
    /// The provider will never capture under this key.
    Voided,
    /// The provider's answer was lost.
    Unknown,
    /// The order was cancelled.
    Cancelled,
    /// Items of the order came back.
    Returned,
    /// The provider has given a part back, and some of the money is left.
    RefundedPart,
    /// The provider has given a part back, and nothing is left.
    RefundedAll,
}

/// What a step does beside changing the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Booked, and published as `PaymentCaptured`.
    Captured,
    /// Published as `PaymentDeclined`.
    Declined,
    /// The return is to be refunded.
    RefundPart,
    /// Whatever was not asked back yet is to be refunded.
    RefundRest,
    /// Booked, and published as `PaymentRefunded`.
    Refunded,
}

/// One arrow of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The state that it leads to.
    pub to: State,
    /// What happens on the way, in this order.
    pub events: &'static [Event],
}

/// The table. `None` is its dash.
pub fn decide(state: State, signal: Signal) -> Option<Step> {
    use Event::{RefundPart, RefundRest};
    use Signal as S;
    use State::*;
    let (to, events): (State, &'static [Event]) = match (state, signal) {
        (New, S::CaptureAsked) => (Pending, &[]),
        (New, S::Unpayable) => (Declined, &[Event::Declined]),
        (New, S::Cancelled) => (Voided, &[]),
        (Pending, S::Captured) => (Captured, &[Event::Captured]),
        (Pending, S::Declined | S::Voided) => (Declined, &[Event::Declined]),
        (Pending, S::Cancelled) => (Cancelling, &[]),
        (New | Pending | Captured, S::Returned) => (state, &[RefundPart]),
        (Cancelling | Declined | Voided, S::Captured) => {
            (Refunding, &[Event::Captured, RefundRest])
        }
        (Cancelling, S::Declined) => (Declined, &[Event::Declined]),
        (Cancelling, S::Voided) => (Voided, &[]),
        (Captured, S::Cancelled) => (Refunding, &[RefundRest]),
        (Captured | Refunding, S::RefundedPart) => (state, &[Event::Refunded]),
        (Captured | Refunding, S::RefundedAll) => (Refunded, &[Event::Refunded]),
        (New, S::Captured | S::Declined | S::Voided)
        | (Pending, S::CaptureAsked | S::Unpayable)
        | (Cancelling, S::CaptureAsked | S::Unpayable | S::Cancelled | S::Returned)
        | (Captured, S::CaptureAsked | S::Unpayable | S::Captured | S::Declined | S::Voided)
        | (
            Declined | Voided,
            S::CaptureAsked | S::Unpayable | S::Declined | S::Voided | S::Cancelled | S::Returned,
        )
        | (
            Refunding,
            S::CaptureAsked
            | S::Unpayable
            | S::Captured
            | S::Declined
            | S::Voided
            | S::Cancelled
            | S::Returned,
        )
        | (New | Pending | Cancelling | Declined | Voided, S::RefundedPart | S::RefundedAll)
        | (Refunded, _)
        | (_, S::Unknown) => return None,
    };
    Some(Step { to, events })
}

impl State {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Pending,
        Self::Cancelling,
        Self::Captured,
        Self::Declined,
        Self::Voided,
        Self::Refunding,
        Self::Refunded,
    ];

    /// Whether the provider has yet to decide on the capture.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Cancelling)
    }

    /// As stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Pending => "pending",
            Self::Cancelling => "cancelling",
            Self::Captured => "captured",
            Self::Declined => "declined",
            Self::Voided => "voided",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        }
    }

    /// Reads what [`State::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

/// What the order asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who pays.
    pub user: UserId,
    /// With what.
    pub method: PaymentMethodId,
    /// How much.
    pub amount: Money,
}

/// Which refund of an order. It is also the second half of the provider's key, so that asking
/// again is the same refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefundId {
    /// The order was cancelled.
    Cancellation,
    /// Items came back.
    Return(ReturnId),
}

impl RefundId {
    const CANCELLATION: &'static str = "cancellation";

    /// As stored, and as the provider sees it.
    pub fn code(self) -> String {
        match self {
            Self::Cancellation => Self::CANCELLATION.to_owned(),
            Self::Return(id) => id.to_string(),
        }
    }

    /// Reads what [`RefundId::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        match code {
            Self::CANCELLATION => Some(Self::Cancellation),
            id => id.parse().ok().map(Self::Return),
        }
    }
}

/// Money that is asked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Which.
    pub id: RefundId,
    /// How much; above 0.
    pub amount: Money,
    /// Whether the provider has given it back.
    pub done: bool,
}

/// The payment of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Of which order. It is the provider's key for the capture.
    pub order: OrderId,
    /// Where it stands.
    pub state: State,
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
    /// See [`Signal::Cancelled`].
    Cancelled,
    /// See [`Signal::Returned`].
    Returned(ReturnId, Money),
    /// The provider has given a refund back; with its own id for that.
    Refunded(RefundId, String),
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
    /// A new intent.
    RefundAsked(Refund),
    /// The refund is booked and published.
    Refunded {
        /// Which.
        refund: Refund,
        /// The provider's id of it.
        transfer_id: String,
    },
}

/// The reason of a declined payment whose key was voided by somebody else.
const VOIDED: &str = "voided";

impl Payment {
    /// The payment of an order that nothing was heard of yet.
    pub fn new(order: OrderId) -> Self {
        Self { order, state: State::New, wish: None, refunds: Vec::new() }
    }

    /// What has gone back, in minor units.
    pub fn refunded_minor(&self) -> i64 {
        self.refunds.iter().filter(|refund| refund.done).map(|refund| refund.amount.minor).sum()
    }

    /// Takes news in. Repeated and late news have no effect. An error changes nothing, and would
    /// be the same again.
    pub fn hear(&mut self, news: News) -> Result<Vec<Effect>, Rejection> {
        if self.knows(&news) {
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
            News::Refunded(id, _) => self.refund(*id).is_none_or(|refund| refund.done),
            _ => false,
        }
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
            News::Cancelled => Signal::Cancelled,
            News::Returned(..) => Signal::Returned,
            News::Refunded(id, _) => {
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
                let refund = self.refunds.iter_mut().find(|refund| refund.id == *id)?;
                refund.done = true;
                Some(Effect::Refunded { refund: *refund, transfer_id: transfer_id.clone() })
            }
            (Event::Captured | Event::RefundPart | Event::Refunded, _) => None, // not of this news
        }
    }

    fn ask_back(&mut self, id: RefundId, amount: Money) -> Effect {
        let refund = Refund { id, amount, done: false };
        self.refunds.push(refund);
        Effect::RefundAsked(refund)
    }
}

#[cfg(test)]
mod tests;
