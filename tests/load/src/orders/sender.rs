//! Sends checkouts and counts what is answered.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;
use kernel::{OrderId, clock};
use time::OffsetDateTime;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::customers::Customer;
use crate::wire::Wire;

const DRAIN_POLL: Duration = Duration::from_millis(5);
const LONGEST_US: u64 = 120_000_000;

/// What came of the checkouts of one phase.
#[derive(Debug)]
pub(super) struct Sent {
    /// The orders that were accepted (202), and when their checkouts were due.
    pub(super) accepted: HashMap<OrderId, OffsetDateTime>,
    /// From the moment a checkout was due to its answer, in microseconds.
    pub(super) answered: Histogram<u64>,
    /// How late the generator itself was, in microseconds.
    pub(super) late: Histogram<u64>,
    /// Why the others were not accepted.
    pub(super) refused: BTreeMap<String, u64>,
}

/// Of times up to two minutes.
pub(super) fn times() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LONGEST_US, 3)?)
}

/// A time between two moments; 0 when the clock was set back.
pub(super) fn micros(from: OffsetDateTime, to: OffsetDateTime) -> u64 {
    u64::try_from((to - from).whole_microseconds()).unwrap_or_default()
}

/// Sends the checkouts of one phase.
pub(super) struct Sender {
    wire: Rc<Wire>,
    name: String,
    number: Cell<u64>,
    under_way: Cell<usize>,
    sent: RefCell<Sent>,
}

impl Sender {
    /// Over these connections, with idempotency keys that nobody had before.
    pub(super) fn new(wire: &Rc<Wire>) -> Result<Rc<Self>> {
        let (accepted, refused) = (HashMap::new(), BTreeMap::new());
        Ok(Rc::new(Self {
            wire: Rc::clone(wire),
            name: operator::secrets::random_hex(),
            number: Cell::new(0),
            under_way: Cell::new(0),
            sent: RefCell::new(Sent { accepted, answered: times()?, late: times()?, refused }),
        }))
    }

    /// Sends one, without waiting for its answer.
    pub(super) fn buy(self: &Rc<Self>, customer: &Customer, due: OffsetDateTime) {
        self.sent.borrow_mut().late.saturating_record(micros(due, clock::now()));
        self.number.set(self.number.get() + 1);
        let request = customer.checkout(&format!("{}-{}", self.name, self.number.get()));
        self.under_way.set(self.under_way.get() + 1);
        let sender = Rc::clone(self);
        spawn_local(async move {
            let answer = sender.wire.send(request).await;
            let mut sent = sender.sent.borrow_mut();
            match answer.map(|answer| (answer.order().filter(|_| answer.status == 202), answer)) {
                Ok((Some(order), _)) => {
                    sent.accepted.insert(order, due);
                    sent.answered.saturating_record(micros(due, clock::now()));
                }
                Ok((None, refusal)) => *sent.refused.entry(refusal.told()).or_default() += 1,
                Err(failure) => *sent.refused.entry(failure.to_owned()).or_default() += 1,
            }
            sender.under_way.set(sender.under_way.get() - 1);
        });
    }

    /// Checkouts without an answer.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Waits for the last answers, each of which has a limit of its own.
    pub(super) async fn finish(self: Rc<Self>) -> Result<Sent> {
        while self.under_way.get() > 0 {
            sleep(DRAIN_POLL).await;
        }
        let sender = Rc::into_inner(self);
        Ok(sender
            .ok_or_else(|| anyhow::anyhow!("an answer is still being read"))?
            .sent
            .into_inner())
    }
}
