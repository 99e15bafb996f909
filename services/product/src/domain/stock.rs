//! What an order does to the stock. The state is the order's reservation, and this table is all
//! that happens to it:
//!
//! | state \ signal | Placed                     | Confirmed | Cancelled  | Returned             |
//! |----------------|----------------------------|-----------|------------|----------------------|
//! | unknown        | → held, or → rejected      | → sold    | → released | → sold, noted        |
//! | held           | –                          | → shipped | → released | → shipped, restocked |
//! | shipped        | –                          | –         | –          | restocked            |
//! | released       | –                          | –         | –          | –                    |
//! | rejected       | –                          | –         | –          | –                    |
//! | sold           | → shipped, or → rejected   | –         | –          | noted                |
//!
//! An order is held whole or not at all, so nothing is oversold: *or* tells what happens when a product falls short.
//! A dash is a signal that came twice or too late; so is a return whose id was seen before. Only
//! `→ held` and `→ rejected` are news to others (`StockReserved`, `StockRejected`).
//!
//! Signals may come in any order, for a consumer that has to try again is overtaken. A
//! cancellation that comes first leaves `released`, on which the order finds its end already. A
//! confirmation that comes first leaves `sold`, and a return says that the order was confirmed.
//! Which of two orders gets the last piece depends on who comes first; nothing else does.

use std::collections::BTreeMap;

use kernel::{ProductId, ReturnId};

use super::Shelves;

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was heard of the order.
    #[default]
    Unknown,
    /// Its lines are held.
    Held,
    /// Its lines are gone.
    Shipped,
    /// Nothing is held, and never will be.
    Released,
    /// Nothing was held: a product fell short.
    Rejected,
    /// Confirmed, but not placed yet.
    Sold,
}

/// A quantity of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    /// Of which product.
    pub product: ProductId,
    /// How many pieces.
    pub quantity: i64,
}

/// One line for each product, in the order of their ids.
pub fn lines(pairs: impl IntoIterator<Item = (ProductId, i64)>) -> Vec<Line> {
    let mut sums = BTreeMap::<ProductId, i64>::new();
    for (product, quantity) in pairs {
        let sum = sums.entry(product).or_default();
        *sum = sum.saturating_add(quantity); // more than can be there: rejected
    }
    sums.into_iter().map(|(product, quantity)| Line { product, quantity }).collect()
}

/// What is known of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reservation {
    /// Where it stands.
    pub state: State,
    /// What is held, was held or was shipped.
    pub lines: Vec<Line>,
    /// What came back.
    pub returns: BTreeMap<ReturnId, Vec<Line>>,
}

/// What an order does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It wants these.
    Placed(Vec<Line>),
    /// It is paid.
    Confirmed,
    /// It ended without a sale.
    Cancelled,
    /// These came back.
    Returned(ReturnId, Vec<Line>),
}

/// A product of which there is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Which.
    pub product: ProductId,
    /// Pieces that the order wants.
    pub wanted: i64,
    /// Pieces that there are for it.
    pub available: i64,
}

/// What happened to a reservation and to the stock of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The lines are held. Published as `StockReserved`.
    Held(Vec<Line>),
    /// Nothing is held. Published as `StockRejected`.
    Rejected(Vec<Shortage>),
    /// Confirmed before it was placed.
    Sold,
    /// What was held is gone.
    Shipped,
    /// What was held, if anything, can be sold again.
    Released,
    /// A return was noted.
    Returned(ReturnId, Vec<Line>),
    /// These are on the shelf again.
    Restocked(Vec<Line>),
}

/// Decides on a signal and applies what comes of it.
pub fn fold(reservation: &mut Reservation, shelves: &mut Shelves, signal: Signal) -> Vec<Event> {
    let events = decide(reservation, shelves, signal);
    events.iter().for_each(|event| apply(reservation, shelves, event));
    events
}

/// The table.
pub fn decide(reservation: &Reservation, shelves: &Shelves, signal: Signal) -> Vec<Event> {
    use State::*;
    match (reservation.state, signal) {
        (Unknown, Signal::Placed(lines)) => place(shelves, lines),
        (Sold, Signal::Placed(lines)) => catch_up(reservation, shelves, lines),
        (Unknown, Signal::Confirmed) => vec![Event::Sold],
        (Held, Signal::Confirmed) => vec![Event::Shipped],
        (Unknown | Held, Signal::Cancelled) => vec![Event::Released],
        (_, Signal::Returned(id, _)) if reservation.returns.contains_key(&id) => Vec::new(),
        (Unknown, Signal::Returned(id, lines)) => vec![Event::Sold, Event::Returned(id, lines)],
        (Sold, Signal::Returned(id, lines)) => vec![Event::Returned(id, lines)],
        (Held, Signal::Returned(id, lines)) => {
            let restocked = restockable(reservation, &lines);
            vec![Event::Shipped, Event::Returned(id, lines), Event::Restocked(restocked)]
        }
        (Shipped, Signal::Returned(id, lines)) => {
            let restocked = restockable(reservation, &lines);
            vec![Event::Returned(id, lines), Event::Restocked(restocked)]
        }
        (Held | Shipped | Released | Rejected, Signal::Placed(_))
        | (Shipped | Released | Rejected | Sold, Signal::Confirmed | Signal::Cancelled)
        | (Released | Rejected, Signal::Returned(..)) => Vec::new(),
    }
}

/// The whole order, or nothing of it.
fn place(shelves: &Shelves, lines: Vec<Line>) -> Vec<Event> {
    let available = |product| shelves.get(product).map_or(0, |stock| stock.available());
    let shortages: Vec<Shortage> = lines
        .iter()
        .map(|line| Shortage {
            product: line.product,
            wanted: line.quantity,
            available: available(&line.product),
        })
        .filter(|line| line.wanted > line.available)
        .collect();
    if shortages.is_empty() { vec![Event::Held(lines)] } else { vec![Event::Rejected(shortages)] }
}

/// The order comes after its confirmation, and perhaps after returns.
fn catch_up(reservation: &Reservation, shelves: &Shelves, lines: Vec<Line>) -> Vec<Event> {
    let mut events = place(shelves, lines);
    if let [Event::Held(lines)] = &events[..] {
        let came = reservation.returns.values().flatten();
        let came = self::lines(came.map(|line| (line.product, line.quantity)));
        let restocked = back(lines, &[], &came);
        events.push(Event::Shipped);
        events.push(Event::Restocked(restocked));
    }
    events
}

fn restockable(reservation: &Reservation, now: &[Line]) -> Vec<Line> {
    let came = reservation.returns.values().flatten();
    let came = lines(came.map(|line| (line.product, line.quantity)));
    back(&reservation.lines, &came, now)
}

/// What goes back on the shelves: of no product more than the order took from them.
fn back(took: &[Line], came: &[Line], now: &[Line]) -> Vec<Line> {
    let of = |lines: &[Line], product| match lines.binary_search_by_key(&product, |l| l.product) {
        Ok(at) => lines[at].quantity,
        Err(_) => 0,
    };
    let back = took.iter().map(|&Line { product, quantity }| {
        let before = of(came, product).min(quantity);
        let after = before.saturating_add(of(now, product)).min(quantity);
        Line { product, quantity: after - before }
    });
    back.filter(|line| line.quantity > 0).collect()
}

/// The reservation and the stock after the event.
pub fn apply(reservation: &mut Reservation, shelves: &mut Shelves, event: &Event) {
    let mut each = |lines: &[Line], change: fn(&mut super::Stock, i64)| {
        for line in lines {
            change(shelves.entry(line.product).or_default(), line.quantity);
        }
    };
    match event {
        Event::Held(lines) => {
            each(lines, super::Stock::hold);
            reservation.lines = lines.clone();
            reservation.state = State::Held;
        }
        Event::Rejected(_) => reservation.state = State::Rejected,
        Event::Sold => reservation.state = State::Sold,
        Event::Shipped => {
            each(&reservation.lines, super::Stock::ship);
            reservation.state = State::Shipped;
        }
        Event::Released => {
            each(&reservation.lines, super::Stock::release);
            reservation.state = State::Released;
        }
        Event::Returned(id, lines) => {
            reservation.returns.insert(*id, lines.clone());
        }
        Event::Restocked(lines) => each(lines, super::Stock::restock),
    }
}

impl State {
    /// The states that are stored.
    pub const STORED: [Self; 5] =
        [Self::Held, Self::Shipped, Self::Released, Self::Rejected, Self::Sold];

    /// As stored.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Held => "held",
            Self::Shipped => "shipped",
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::Sold => "sold",
        }
    }

    /// Reads what [`State::code`] wrote.
    pub fn parse(code: &str) -> Option<Self> {
        Self::STORED.into_iter().find(|state| state.code() == code)
    }
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod properties;
