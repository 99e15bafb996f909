//! Money on its way back. Its state is a row, and this table is all it does:
//!
//! | state \ signal | Refunded   | Refused   | Retry                | Settle                   |
//! |----------------|------------|-----------|----------------------|--------------------------|
//! | owed           | → refunded | → refused | –                    | no: refund_under_way     |
//! | refused        | → refunded | –         | → owed               | → settled                |
//! | refunded       | –          | –         | no: refund_ended     | no: refund_ended         |
//! | settled        | –          | –         | no: refund_ended     | –                        |
//!
//! A dash is a signal that came twice or too late, and changes nothing. Only what the provider has
//! refused can be settled, because a call for anything else may be in flight: it would go back twice.

use kernel::{Money, OrderId, ReturnId};

use super::{News, Rejection};

const NOTE_MAX: usize = 500;

/// Which refund of an order. It is also the second half of the provider's key, so that asking
/// again is the same refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefundId {
    /// The order was cancelled.
    Cancellation,
    /// Items came back.
    Return(ReturnId),
}

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The provider is to give it back.
    Owed,
    /// The provider will not. Staff are to decide.
    Refused,
    /// The provider has given it back.
    Refunded,
    /// Staff have given it back without the provider.
    Settled,
}

/// What a refund hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The provider has given it back.
    Refunded,
    /// The provider refuses, with a code of its own.
    Refused,
    /// Staff want it to be tried again.
    Retry,
    /// Staff have given it back themselves.
    Settle,
}

/// The table. `None` is its dash.
pub fn decide(state: State, signal: Signal) -> Result<Option<State>, Rejection> {
    match (state, signal) {
        (State::Owed | State::Refused, Signal::Refunded) => Ok(Some(State::Refunded)),
        (State::Owed, Signal::Refused) => Ok(Some(State::Refused)),
        (State::Refused, Signal::Retry) => Ok(Some(State::Owed)),
        (State::Refused, Signal::Settle) => Ok(Some(State::Settled)),
        (State::Owed, Signal::Settle) => Err(Rejection::RefundUnderWay),
        (State::Refunded, Signal::Retry | Signal::Settle) | (State::Settled, Signal::Retry) => {
            Err(Rejection::RefundEnded)
        }
        (State::Owed, Signal::Retry)
        | (State::Refused, Signal::Refused)
        | (State::Refunded | State::Settled, Signal::Refunded | Signal::Refused)
        | (State::Settled, Signal::Settle) => Ok(None),
    }
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Owed, Self::Refused, Self::Refunded, Self::Settled];

    /// Whether the customer has the money.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Refunded | Self::Settled)
    }
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

/// The provider's key for a refund, under which staff know it, too.
pub fn key(order: OrderId, refund: RefundId) -> String {
    format!("{order}.{}", refund.code())
}

/// Reads what [`key`] wrote.
pub fn parse_key(text: &str) -> Option<(OrderId, RefundId)> {
    let (order, refund) = text.split_once('.')?;
    Some((order.parse().ok()?, RefundId::parse(refund)?))
}

/// What staff may decide about a refund that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The provider is asked again.
    Retry,
    /// The customer got the money some other way.
    SettleByHand,
}

impl Choice {
    /// As stored and shown.
    pub fn code(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::SettleByHand => "settled_by_hand",
        }
    }

    /// Reads what [`Choice::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Retry, Self::SettleByHand].into_iter().find(|choice| choice.code() == code)
    }

    /// What the payment hears of it.
    pub fn news(self, refund: RefundId) -> News {
        match self {
            Self::Retry => News::RetryRefund(refund),
            Self::SettleByHand => News::SettleRefund(refund),
        }
    }
}

/// Why somebody decided so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// One line of 1 to 500 characters.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=NOTE_MAX).contains(&text.chars().count());
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Money that is asked back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refund {
    /// Which.
    pub id: RefundId,
    /// How much; above 0.
    pub amount: Money,
    /// Where it stands.
    pub state: State,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNALS: [Signal; 4] = [Signal::Refunded, Signal::Refused, Signal::Retry, Signal::Settle];

    #[test]
    fn the_code_is_the_table_in_the_documentation() {
        let header: Vec<&str> = table().next().unwrap();
        let mut cells = 0;
        for row in table().skip(2) {
            let state = State::ALL.into_iter().find(|state| word(*state) == row[0]).unwrap();
            for (column, cell) in row.iter().enumerate().skip(1) {
                let signal = SIGNALS.iter().find(|s| format!("{s:?}") == header[column]).unwrap();
                assert_eq!(said(state, *signal), *cell, "{state:?} and {signal:?}");
                cells += 1;
            }
        }
        assert_eq!(cells, State::ALL.len() * SIGNALS.len());
    }

    fn table() -> impl Iterator<Item = Vec<&'static str>> {
        let rows = include_str!("refund.rs").lines().filter_map(|l| l.strip_prefix("//! |"));
        rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect())
    }

    fn said(state: State, signal: Signal) -> String {
        match decide(state, signal) {
            Err(refused) => format!("no: {}", refused.code()),
            Ok(None) => "–".to_owned(),
            Ok(Some(to)) => format!("→ {}", word(to)),
        }
    }

    fn word(state: State) -> String {
        format!("{state:?}").to_lowercase()
    }

    #[test]
    fn a_note_is_one_line() {
        assert_eq!(Note::parse(" paid by bank transfer ").unwrap().text(), "paid by bank transfer");
        assert_eq!(Note::parse(&"ä".repeat(500)).unwrap().text().chars().count(), 500);
        for wrong in ["", "  ", "two\nlines", &"ä".repeat(501)] {
            assert_eq!(Note::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_refund_reads_back_as_it_was_stored() {
        for id in [RefundId::Cancellation, RefundId::Return(ReturnId::mint())] {
            let order = OrderId::mint();
            assert_eq!(RefundId::parse(&id.code()), Some(id));
            assert_eq!(parse_key(&key(order, id)), Some((order, id)));
        }
        for wrong in ["", ".", "cancellation", "x.cancellation", &OrderId::mint().to_string()] {
            assert_eq!(parse_key(wrong), None, "{wrong}");
        }
    }
}
