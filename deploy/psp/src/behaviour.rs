//! Fault injection: the dials (probabilities, delays) that a test or an operator sets while the process runs, and the
//! card tokens that always behave in one way.
//!
//! Faults hit new requests only. A request whose idempotency key has a recorded result gets that result, so a caller that
//! retries or asks has the result in the end.

use std::{
    sync::{PoisonError, RwLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};

const DELAY_MAX_MS: u64 = 60_000;

/// The dials: probabilities from 0 to 1 and delays in milliseconds. All are 0 until they are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// A capture is declined.
    pub decline: f64,
    /// A capture or refund is accepted and then neither answered nor made.
    pub hang: f64,
    /// Money moves, and the answer is 500.
    pub error_after_charge: f64,
    /// Money moves, and the connection is dropped without an answer.
    pub drop_after_charge: f64,
    /// A refund is refused; a retry is decided anew.
    pub refuse_refund: f64,
    /// A webhook is delivered a second time.
    pub duplicate_webhook: f64,
    /// How long a capture or refund takes before anything happens: uniform between the two.
    pub delay_ms: DelayMs,
    /// How long after the fact its webhook is sent.
    pub webhook_delay_ms: u64,
}

/// A range of delays in milliseconds, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelayMs {
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

/// What is to happen to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Never answer, never move money.
    pub hang: bool,
    /// Decline the card.
    pub decline: bool,
    /// What the caller sees once money has moved.
    pub ending: Ending,
}

/// What a caller sees of a request that moved money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer.
    Answer,
    /// A 500, although it worked.
    Error,
    /// A connection that closes without a byte.
    Drop,
}

impl Behaviour {
    /// What is wrong with these dials, if anything.
    pub fn check(&self) -> Result<(), &'static str> {
        let chances = [
            self.decline,
            self.hang,
            self.error_after_charge,
            self.drop_after_charge,
            self.refuse_refund,
            self.duplicate_webhook,
        ];
        if !chances.iter().all(|chance| (0.0..=1.0).contains(chance)) {
            return Err("probabilities lie between 0 and 1");
        }
        if self.delay_ms.min > self.delay_ms.max {
            return Err("delay_ms.min is above delay_ms.max");
        }
        if self.delay_ms.max.max(self.webhook_delay_ms) > DELAY_MAX_MS {
            return Err("a delay is at most 60000 ms");
        }
        Ok(())
    }

    /// What is to happen to a capture with this card.
    pub fn on_capture(&self, card_token: &str) -> Faults {
        let by_chance = Faults { decline: happens(self.decline), ..self.on_refund() };
        match card_token {
            "tok_decline" => Faults { decline: true, hang: false, ending: Ending::Answer },
            "tok_hang" => Faults { hang: true, ..by_chance },
            "tok_lost" => Faults { decline: false, hang: false, ending: Ending::Drop },
            "tok_error" => Faults { decline: false, hang: false, ending: Ending::Error },
            _ => by_chance,
        }
    }

    /// What is to happen to a refund.
    pub fn on_refund(&self) -> Faults {
        let ending = if happens(self.drop_after_charge) {
            Ending::Drop
        } else if happens(self.error_after_charge) {
            Ending::Error
        } else {
            Ending::Answer
        };
        Faults { hang: happens(self.hang), decline: false, ending }
    }

    /// Whether a refund to this card is refused.
    pub fn refuses_refund(&self, card_token: &str) -> bool {
        card_token == "tok_no_refund" || happens(self.refuse_refund)
    }

    /// How long the next request is to take before anything happens; None for no time at all.
    pub fn delay(&self) -> Option<Duration> {
        let DelayMs { min, max } = self.delay_ms;
        (max > 0).then(|| Duration::from_millis(rand::random_range(min..=max)))
    }

    /// Whether the next webhook is delivered twice.
    pub fn duplicates_webhook(&self) -> bool {
        happens(self.duplicate_webhook)
    }
}

/// The dials of a running process.
#[derive(Debug, Default)]
pub struct Dials(RwLock<Behaviour>);

impl Dials {
    /// How they stand now.
    pub fn now(&self) -> Behaviour {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns them.
    pub fn set(&self, behaviour: Behaviour) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }
}

fn happens(chance: f64) -> bool {
    chance > 0.0 && rand::random::<f64>() < chance
}
