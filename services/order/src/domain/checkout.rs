//! The checkout saga. Its state is the order's row, and this table is all it does:
//!
//! | state \ signal | StockReserved  | StockRejected             | PaymentCaptured | PaymentDeclined               | DeadlinePassed        | CancelRequested       |
//! |----------------|----------------|---------------------------|-----------------|-------------------------------|-----------------------|-----------------------|
//! | placed         | → stock_held   | → cancelled(out_of_stock) | –               | –                             | → cancelled(deadline) | → cancelled(customer) |
//! | stock_held     | –              | –                         | → confirmed     | → cancelled(payment_declined) | → cancelled(deadline) | → cancelled(customer) |
//! | confirmed      | –              | –                         | –               | –                             | –                     | refused               |
//! | cancelled      | –              | –                         | –               | –                             | –                     | –                     |
//!
//! Each arrow publishes its event: `OrderStockHeld` asks for payment, `OrderConfirmed` ships,
//! `OrderCancelled` undoes whatever was done. A dash is a signal that came twice or too late, and
//! changes nothing. A payment that was not called for in time counts as DeadlinePassed.
//!
//! Undoing needs no state here: product answers `OrderCancelled` by releasing what it holds or will be
//! asked to hold, payment by refunding what it captured or will capture. So a capture or a reservation
//! that arrives after the cancellation is undone by its owner, and only this row ends a checkout.

use super::Rejection;

/// Where a checkout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Written; stock has been asked for.
    Placed,
    /// Stock is held; payment has been asked for.
    StockHeld,
    /// Paid: the goods leave. The pivot of the saga (its point of no return).
    Confirmed,
    /// Ended without a sale.
    Cancelled(Reason),
}

/// Why a checkout was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// At least one line could not be held.
    OutOfStock,
    /// The provider refused the card.
    PaymentDeclined,
    /// It took too long.
    Deadline,
    /// The customer asked for it.
    Customer,
}

/// What a checkout hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Product holds every line.
    StockReserved,
    /// Product holds nothing.
    StockRejected,
    /// The money is there.
    PaymentCaptured,
    /// The card was refused.
    PaymentDeclined,
    /// The order's deadline is over, by the clock of its database.
    DeadlinePassed,
    /// The customer wants out.
    CancelRequested,
}

/// What happened: a change of state that is published in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Published as `OrderStockHeld`.
    StockHeld,
    /// Published as `OrderConfirmed`.
    Confirmed,
    /// Published as `OrderCancelled`.
    Cancelled(Reason),
}

/// The table. `None` is its dash; the only refusal is a cancellation that comes after the sale.
pub fn decide(state: State, signal: Signal) -> Result<Option<Event>, Rejection> {
    use {Reason::*, Signal::*, State::*};
    Ok(match (state, signal) {
        (Placed, StockReserved) => Some(Event::StockHeld),
        (Placed, StockRejected) => Some(Event::Cancelled(OutOfStock)),
        (StockHeld, PaymentCaptured) => Some(Event::Confirmed),
        (StockHeld, Signal::PaymentDeclined) => Some(Event::Cancelled(Reason::PaymentDeclined)),
        (Placed | StockHeld, DeadlinePassed) => Some(Event::Cancelled(Deadline)),
        (Placed | StockHeld, CancelRequested) => Some(Event::Cancelled(Customer)),
        (Confirmed, CancelRequested) => return Err(Rejection::OrderConfirmed),
        (Placed, PaymentCaptured | Signal::PaymentDeclined)
        | (StockHeld, StockReserved | StockRejected)
        | (
            Confirmed,
            StockReserved
            | StockRejected
            | PaymentCaptured
            | Signal::PaymentDeclined
            | DeadlinePassed,
        )
        | (Cancelled(_), _) => None,
    })
}

impl Event {
    /// The state that the event leads to.
    pub fn state(self) -> State {
        match self {
            Self::StockHeld => State::StockHeld,
            Self::Confirmed => State::Confirmed,
            Self::Cancelled(reason) => State::Cancelled(reason),
        }
    }
}

impl State {
    /// Whether the checkout is over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Cancelled(_))
    }

    /// As stored, without the reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::StockHeld => "stock_held",
            Self::Confirmed => "confirmed",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// Why it was cancelled, if it was.
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Cancelled(reason) => Some(reason),
            Self::Placed | Self::StockHeld | Self::Confirmed => None,
        }
    }

    /// Reads what [`State::code`] and [`Reason::code`] wrote.
    pub fn parse(state: &str, reason: Option<&str>) -> Option<Self> {
        Some(match (state, reason) {
            ("placed", None) => Self::Placed,
            ("stock_held", None) => Self::StockHeld,
            ("confirmed", None) => Self::Confirmed,
            ("cancelled", Some(reason)) => Self::Cancelled(Reason::parse(reason)?),
            _ => return None,
        })
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 4] =
        [Self::OutOfStock, Self::PaymentDeclined, Self::Deadline, Self::Customer];

    /// The stable code: stored, published, shown.
    pub fn code(self) -> &'static str {
        match self {
            Self::OutOfStock => "out_of_stock",
            Self::PaymentDeclined => "payment_declined",
            Self::Deadline => "deadline",
            Self::Customer => "customer",
        }
    }

    /// Whether what was ordered goes back into the cart: the customer still wants it.
    pub fn returns_to_cart(self) -> bool {
        match self {
            Self::OutOfStock | Self::PaymentDeclined | Self::Deadline => true,
            Self::Customer => false,
        }
    }

    fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIGNALS: [Signal; 6] = [
        Signal::StockReserved,
        Signal::StockRejected,
        Signal::PaymentCaptured,
        Signal::PaymentDeclined,
        Signal::DeadlinePassed,
        Signal::CancelRequested,
    ];

    fn states() -> Vec<State> {
        let open = [State::Placed, State::StockHeld, State::Confirmed];
        open.into_iter().chain(Reason::ALL.map(State::Cancelled)).collect()
    }

    /// The state after a signal; a refusal changes nothing.
    fn after(state: State, signal: Signal) -> State {
        decide(state, signal).ok().flatten().map_or(state, Event::state)
    }

    #[test]
    fn the_code_is_the_table_in_the_documentation() {
        let header: Vec<&str> = table().next().unwrap();
        let mut cells = 0;
        for row in table().skip(2) {
            for (column, cell) in row.iter().enumerate().skip(1) {
                let signal = SIGNALS.iter().find(|s| format!("{s:?}") == header[column]).unwrap();
                for state in states().into_iter().filter(|state| state.code() == row[0]) {
                    assert_eq!(said(state, *signal), *cell, "{state:?} and {signal:?}");
                    cells += 1;
                }
            }
        }
        assert_eq!(cells, states().len() * SIGNALS.len());
    }

    fn table() -> impl Iterator<Item = Vec<&'static str>> {
        let rows = include_str!("checkout.rs").lines().filter_map(|l| l.strip_prefix("//! |"));
        rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect())
    }

    fn said(state: State, signal: Signal) -> String {
        match decide(state, signal) {
            Err(_) => "refused".to_owned(),
            Ok(None) => "–".to_owned(),
            Ok(Some(event)) => match event.state() {
                State::Cancelled(reason) => format!("→ cancelled({})", reason.code()),
                other => format!("→ {}", other.code()),
            },
        }
    }

    #[test]
    fn a_signal_that_comes_twice_changes_nothing_the_second_time() {
        for state in states() {
            for signal in SIGNALS {
                let once = after(state, signal);
                assert_eq!(after(once, signal), once, "{state:?} and {signal:?}");
            }
        }
    }

    #[test]
    fn every_state_reads_back_as_it_was_stored() {
        for state in states() {
            assert_eq!(State::parse(state.code(), state.reason().map(Reason::code)), Some(state));
        }
    }

    proptest! {
        #[test]
        fn nothing_leaves_a_final_state(signals in proptest::collection::vec(0..6usize, 0..40)) {
            let mut state = State::Placed;
            for signal in signals {
                let next = after(state, SIGNALS[signal]);
                prop_assert!(!state.is_final() || next == state);
                state = next;
            }
        }

        #[test]
        fn the_deadline_ends_whatever_came_before(signals in proptest::collection::vec(0..6usize, 0..40)) {
            let state = signals.iter().fold(State::Placed, |state, at| after(state, SIGNALS[*at]));
            prop_assert!(after(state, Signal::DeadlinePassed).is_final());
        }
    }
}
