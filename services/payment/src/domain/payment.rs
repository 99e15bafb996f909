//! A payment from the wish to the end. Its state is a row, and this table is all it does:
//!
//! | state \ signal | CaptureAsked | Unpayable             | Captured                             | Declined              | Voided                | Unknown | Cancelled                 | Returned                  | RefundedPart           | RefundedAll           | Withdrawn | Expired             |
//! |----------------|--------------|-----------------------|--------------------------------------|-----------------------|-----------------------|---------|---------------------------|---------------------------|------------------------|-----------------------|-----------|---------------------|
//! | new            | → pending    | → declined: declined  | –                                    | –                     | –                     | –       | → voided                  | → new: refund part        | –                      | –                     | –         | –                   |
//! | pending        | –            | –                     | → captured: captured                 | → declined: declined  | → declined: declined  | –       | → cancelling              | → pending: refund part    | –                      | –                     | → voided  | → declined: expired |
//! | cancelling     | –            | –                     | → refunding: captured, refund rest   | → declined: declined  | → voided              | –       | –                         | –                         | –                      | –                     | –         | → voided            |
//! | captured       | –            | –                     | –                                    | –                     | –                     | –       | → refunding: refund rest  | → captured: refund part   | → captured: refunded   | → refunded: refunded  | –         | –                   |
//! | declined       | –            | –                     | → refunding: captured, refund rest   | –                     | –                     | –       | –                         | –                         | –                      | –                     | –         | –                   |
//! | voided         | –            | –                     | → refunding: captured, refund rest   | –                     | –                     | –       | –                         | –                         | –                      | –                     | –         | –                   |
//! | refunding      | –            | –                     | –                                    | –                     | –                     | –       | –                         | –                         | → refunding: refunded  | → refunded: refunded  | –         | –                   |
//! | refunded       | –            | –                     | –                                    | –                     | –                     | –       | –                         | –                         | –                      | –                     | –         | –                   |
//!
//! `captured`, `declined`, `expired` and `refunded` are published; `refund …` is an intent that the
//! worker carries out. A dash is a signal that came twice or too late, and changes nothing. Four
//! things to see: a lost answer (`Unknown`) decides nothing, so the provider is asked until it has
//! decided; a cancellation that comes first leaves a tombstone (`voided`) that no later wish gets
//! past; one that comes before the first call (`Withdrawn`) costs no call; and money that arrives
//! although nobody wants it any more always goes back.

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
    /// The same, and the provider has not been called yet.
    Withdrawn,
    /// Pay-by has passed, and the provider never was, or never will be, asked for the money.
    Expired,
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
    /// Published as `PaymentDeclined`, which says that it was too late to ask.
    Expired,
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
#[expect(clippy::too_many_lines, reason = "the table, a line for each arrow")]
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
        (Pending, S::Withdrawn) => (Voided, &[]),
        (Pending, S::Expired) => (Declined, &[Event::Expired]),
        (New | Pending | Captured, S::Returned) => (state, &[RefundPart]),
        (Cancelling | Declined | Voided, S::Captured) => {
            (Refunding, &[Event::Captured, RefundRest])
        }
        (Cancelling, S::Declined) => (Declined, &[Event::Declined]),
        (Cancelling, S::Voided | S::Expired) => (Voided, &[]),
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
        | (New | Cancelling | Captured | Declined | Voided | Refunding, S::Withdrawn)
        | (New | Captured | Declined | Voided | Refunding, S::Expired)
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

#[cfg(test)]
mod tests;
