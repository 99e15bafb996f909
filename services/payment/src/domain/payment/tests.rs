//! The table, as it is documented.

use super::*;

const SIGNALS: [Signal; 12] = [
    Signal::CaptureAsked,
    Signal::Unpayable,
    Signal::Captured,
    Signal::Declined,
    Signal::Voided,
    Signal::Unknown,
    Signal::Cancelled,
    Signal::Returned,
    Signal::RefundedPart,
    Signal::RefundedAll,
    Signal::Withdrawn,
    Signal::Expired,
];

#[test]
fn the_code_is_the_table_in_the_documentation() {
    let header: Vec<&str> = table().next().unwrap();
    let mut cells = 0;
    for row in table().skip(2) {
        let state = State::parse(row[0]).unwrap();
        for (column, cell) in row.iter().enumerate().skip(1) {
            let signal = SIGNALS.iter().find(|s| format!("{s:?}") == header[column]).unwrap();
            assert_eq!(said(state, *signal), *cell, "{state:?} and {signal:?}");
            cells += 1;
        }
    }
    assert_eq!(cells, State::ALL.len() * SIGNALS.len());
}

fn table() -> impl Iterator<Item = Vec<&'static str>> {
    let rows = include_str!("../payment.rs").lines().filter_map(|l| l.strip_prefix("//! |"));
    rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect())
}

fn said(state: State, signal: Signal) -> String {
    let Some(step) = decide(state, signal) else { return "–".to_owned() };
    let events: Vec<&str> = step.events.iter().map(|event| word(*event)).collect();
    let colon = if events.is_empty() { "" } else { ": " };
    format!("→ {}{colon}{}", step.to.code(), events.join(", "))
}

fn word(event: Event) -> &'static str {
    match event {
        Event::Captured => "captured",
        Event::Declined => "declined",
        Event::Expired => "expired",
        Event::RefundPart => "refund part",
        Event::RefundRest => "refund rest",
        Event::Refunded => "refunded",
    }
}

#[test]
fn every_state_reads_back_as_it_was_stored() {
    for state in State::ALL {
        assert_eq!(State::parse(state.code()), Some(state));
    }
}

#[test]
fn a_lost_answer_decides_nothing() {
    for state in State::ALL {
        assert_eq!(decide(state, Signal::Unknown), None);
    }
}
