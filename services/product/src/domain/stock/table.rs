//! The code is the table in the documentation.

use super::super::Stock;
use super::*;

const STATES: [State; 6] =
    [State::Unknown, State::Held, State::Shipped, State::Released, State::Rejected, State::Sold];

/// An order of two pieces, in each state, and a shelf that fits it.
struct World {
    lines: Vec<Line>,
}

impl World {
    fn new() -> Self {
        Self { lines: lines([(ProductId::mint(), 2)]) }
    }

    fn in_state(&self, state: State, on_hand: i64) -> (Reservation, Shelves) {
        let mut stock = Stock::default();
        stock.receive(on_hand);
        let mut shelves = Shelves::from([(self.lines[0].product, stock)]);
        let mut reservation = Reservation::default();
        let Line { product, .. } = self.lines[0];
        let told = match state {
            State::Unknown => vec![],
            State::Held => vec![Signal::Placed(self.lines.clone())],
            State::Shipped => vec![Signal::Placed(self.lines.clone()), Signal::Confirmed],
            State::Released => vec![Signal::Cancelled],
            State::Rejected => vec![Signal::Placed(lines([(product, i64::MAX)]))],
            State::Sold => vec![Signal::Confirmed],
        };
        for signal in told {
            fold(&mut reservation, &mut shelves, signal);
        }
        assert_eq!(reservation.state, state);
        (reservation, shelves)
    }

    fn signal(&self, name: &str) -> Signal {
        match name {
            "Placed" => Signal::Placed(self.lines.clone()),
            "Confirmed" => Signal::Confirmed,
            "Cancelled" => Signal::Cancelled,
            "Returned" => Signal::Returned(ReturnId::mint(), self.lines.clone()),
            other => panic!("a column {other}"),
        }
    }

    /// What the table should say.
    fn cell(&self, state: State, signal: &str) -> String {
        let enough = self.said(state, signal, 10);
        if !matches!(state, State::Unknown | State::Sold) || signal != "Placed" {
            return enough;
        }
        format!("{enough}, or {}", self.said(state, signal, 1))
    }

    fn said(&self, state: State, signal: &str, on_hand: i64) -> String {
        let (mut reservation, mut shelves) = self.in_state(state, on_hand);
        let events = fold(&mut reservation, &mut shelves, self.signal(signal));
        let mut said = Vec::new();
        if reservation.state != state {
            said.push(format!("→ {}", reservation.state.code()));
        }
        if events.iter().any(|e| matches!(e, Event::Restocked(lines) if !lines.is_empty())) {
            said.push("restocked".into());
        } else if events.iter().any(|event| matches!(event, Event::Returned(..))) {
            said.push("noted".into());
        }
        assert_eq!(events.is_empty(), said.is_empty(), "{events:?}");
        if said.is_empty() { "–".into() } else { said.join(", ") }
    }
}

fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = include_str!("../stock.rs").lines().filter_map(|line| line.strip_prefix("//! |"));
    rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn the_code_is_the_table_in_the_documentation() {
    let (world, header) = (World::new(), rows().next().unwrap());
    let mut cells = 0;
    for row in rows().skip(2) {
        let state = *STATES.iter().find(|state| state.code() == row[0]).unwrap();
        for (signal, cell) in header.iter().zip(&row).skip(1) {
            assert_eq!(world.cell(state, signal), *cell, "{state:?} and {signal}");
            cells += 1;
        }
    }
    assert_eq!(cells, STATES.len() * 4);
}

#[test]
fn every_state_but_the_unknown_one_is_stored_and_read_back() {
    for state in STATES {
        let stored = (state != State::Unknown).then_some(state);
        assert_eq!(State::parse(state.code()), stored);
    }
}

#[test]
fn a_rejection_names_every_product_that_falls_short_and_holds_nothing() {
    let [plenty, few, none] = [(); 3].map(|()| ProductId::mint());
    let stock = |on_hand| Stock { received: on_hand, on_hand, ..Stock::default() };
    let mut shelves = Shelves::from([(plenty, stock(9)), (few, stock(1))]);
    let before = shelves.clone();
    let wanted = lines([(plenty, 2), (few, 1), (none, 1), (few, 1)]);
    let events = fold(&mut Reservation::default(), &mut shelves, Signal::Placed(wanted));
    let short = |product, wanted, available| Shortage { product, wanted, available };
    assert_eq!(events, [Event::Rejected(vec![short(few, 2, 1), short(none, 1, 0)])]);
    assert_eq!(shelves, before);
}

#[test]
fn a_product_on_two_lines_is_counted_once() {
    let product = ProductId::mint();
    let order = lines([(product, 2), (product, 3)]);
    assert_eq!(order, [Line { product, quantity: 5 }]);
    assert_eq!(lines([(product, i64::MAX), (product, 1)])[0].quantity, i64::MAX);
}

#[test]
fn more_than_was_sold_does_not_come_back() {
    let world = World::new();
    let (mut reservation, mut shelves) = world.in_state(State::Shipped, 5);
    let Line { product, .. } = world.lines[0];
    let other = ProductId::mint();
    for (pieces, expected) in [(1, 1), (5, 1), (1, 0)] {
        let back = Signal::Returned(ReturnId::mint(), lines([(product, pieces), (other, 1)]));
        let events = fold(&mut reservation, &mut shelves, back);
        let restocked = lines((expected > 0).then_some((product, expected)));
        assert_eq!(events.last(), Some(&Event::Restocked(restocked)));
    }
    assert_eq!(shelves[&product], Stock { received: 5, on_hand: 5, ..Stock::default() });
}
