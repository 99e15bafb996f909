//! What customers asked for and what they were told: the record that the auditor has no part in.
//!
//! A call is answered (ok), refused (failed), or nobody knows: no answer came, or one that says
//! nothing about what was done (5xx). Whoever does not know may ask again with the same key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kernel::OrderId;
use serde::Serialize;

/// What a customer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Something in the cart.
    Put,
    /// One piece of a product in the cart, by somebody who only ever puts in and orders.
    Hasten,
    /// An order.
    Checkout,
    /// An order undone.
    Cancel,
    /// A part of an order sent back.
    Return,
    /// As staff: a return received.
    Receive,
    /// As staff: a return refused.
    Refuse,
    /// To see an order.
    Read,
    /// To find in the cart what was put there and not ordered.
    Keep,
}

impl Wish {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Hasten => "hasten",
            Self::Checkout => "checkout",
            Self::Cancel => "cancel",
            Self::Return => "return",
            Self::Receive => "receive",
            Self::Refuse => "refuse",
            Self::Read => "read",
            Self::Keep => "keep",
        }
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Ok,
    /// Refused, with this code.
    Failed(String),
    /// Nobody can say.
    Unknown(String),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Whose.
    pub customer: usize,
    /// What for.
    pub wish: Wish,
    /// Of a checkout, its idempotency key; of a return and what staff does with it, its id; of a hasty
    /// put, the product.
    pub key: Option<String>,
    /// Which body came with the key: the same number is the same body.
    pub body: u32,
    /// Which order it is about, or was made.
    pub order: Option<OrderId>,
    /// Money that it moves back, in minor units.
    pub minor: i64,
    /// What came of it.
    pub outcome: Outcome,
}

/// How many calls went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Answered.
    pub ok: u64,
    /// Refused.
    pub failed: u64,
    /// Nobody can say.
    pub unknown: u64,
}

impl Count {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Unknown(_) => self.unknown += 1,
        }
    }

    /// All of them.
    pub fn all(self) -> u64 {
        self.ok + self.failed + self.unknown
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ok, failed, unknown } = self;
        write!(f, "{ok} ok, {failed} failed, {unknown} unknown")
    }
}

/// Everything that was asked for in a run.
#[derive(Debug, Default)]
pub struct Calls {
    calls: Mutex<Vec<Call>>,
}

impl Calls {
    /// Writes one down.
    pub fn note(&self, call: Call) {
        self.lock().push(call);
    }

    /// All so far.
    pub fn all(&self) -> Vec<Call> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the calls for each wish went.
pub fn counted(calls: &[Call]) -> BTreeMap<Wish, Count> {
    let mut counts = BTreeMap::<Wish, Count>::new();
    calls.iter().for_each(|call| counts.entry(call.wish).or_default().add(&call.outcome));
    counts
}

/// The orders that somebody was told of.
pub fn acknowledged(calls: &[Call]) -> BTreeSet<OrderId> {
    let ok = calls.iter().filter(|call| call.wish == Wish::Checkout && call.outcome == Outcome::Ok);
    ok.filter_map(|call| call.order).collect()
}

/// What is known of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The orders that it was answered with. One at most, if promises are kept.
    pub orders: BTreeSet<OrderId>,
    /// The bodies that it was answered for. One at most.
    pub bodies: BTreeSet<u32>,
    /// How often it was answered.
    pub answers: u64,
    /// Whether a call with it may have done more than was said.
    pub unknown: bool,
}

/// What is known of each key of a checkout, or of a return.
pub fn keys(calls: &[Call], wish: Wish) -> BTreeMap<&str, Key> {
    let mut keys = BTreeMap::<&str, Key>::new();
    let with_keys = calls.iter().filter(|call| call.wish == wish);
    for (call, name) in with_keys.filter_map(|call| Some((call, call.key.as_deref()?))) {
        let key = keys.entry(name).or_default();
        match &call.outcome {
            Outcome::Ok => {
                key.orders.extend(call.order);
                key.bodies.insert(call.body);
                key.answers += 1;
            }
            Outcome::Unknown(_) => key.unknown = true,
            Outcome::Failed(_) => {}
        }
    }
    keys
}
