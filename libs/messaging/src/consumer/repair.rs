//! When a durable consumer is deleted and created again. All that is asked is what the server says of it and of its
//! stream, each time that nothing has come for a while:
//!
//! | state      | a look finds                                        | next state         |
//! |------------|-----------------------------------------------------|--------------------|
//! | any        | its place is beyond the stream's end                | `Broken`           |
//! | any        | nothing is left to deliver                          | `CaughtUp`         |
//! | `CaughtUp` | something is left                                   | `Behind`, from now |
//! | `Behind`   | it has delivered since                              | `Behind`, from now |
//! | `Behind`   | it has not, for 2 s; nothing is unacknowledged      | `Broken`           |
//! | `Behind`   | it has not, for 20 s; a copy may still be at work   | `Broken`           |
//! | `Behind`   | it has not, for less                                | `Behind`           |
//!
//! A place beyond the end is that of a stream that was rolled back: such a consumer is silent for ever
//! (nats-server #5412). One that delivers nothing although something is left is in a cluster whose server
//! that delivers has not all that the stream's leader has. Nothing is broken at the first look: a message
//! may have come while we looked.

use std::time::Duration;

use async_nats::jetstream::{consumer, stream};
use tokio::time::Instant;

/// Without a message for so long, the consumer is checked.
const CHECK_AFTER_IDLE: Duration = Duration::from_secs(5);
/// The same after a check that found something left. A consumer that delivers nothing of it for so long is broken.
const STALLED_AFTER: Duration = Duration::from_secs(2);
/// The same while messages are unacknowledged: another copy may be working on them.
const STALLED_AFTER_WITH_UNACKED: Duration = Duration::from_secs(20);

/// How a consumer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    CaughtUp,
    /// Something is left, and it had delivered so many messages.
    Behind {
        delivered: u64,
        since: Instant,
    },
    Broken,
}

/// What a look finds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    /// Its place is one that the stream has not reached.
    beyond: bool,
    /// Something is to be delivered yet.
    left: bool,
    /// What it has delivered is all acknowledged.
    idle: bool,
    /// How many messages it has delivered.
    delivered: u64,
}

impl Look {
    pub(super) fn at(consumer: &consumer::Info, stream: &stream::State) -> Self {
        let (place, last) = (consumer.delivered.stream_sequence, stream.last_sequence);
        let idle = consumer.num_ack_pending == 0;
        // Short of the end with nothing pending: for the server that delivers there is nothing more.
        let short = stream.messages > 0 && place < last && idle;
        Self {
            beyond: place > last || consumer.ack_floor.stream_sequence > last,
            left: consumer.num_pending > 0 || short,
            idle,
            delivered: consumer.delivered.consumer_sequence,
        }
    }
}

impl Health {
    /// How long nothing may come before the next look.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::CaughtUp => CHECK_AFTER_IDLE,
            Self::Behind { .. } | Self::Broken => STALLED_AFTER,
        }
    }

    pub(super) fn after(self, look: Look, now: Instant) -> Self {
        let Look { beyond, left, idle, delivered } = look;
        if beyond {
            return Self::Broken;
        }
        if !left {
            return Self::CaughtUp;
        }
        match self {
            Self::Behind { delivered: before, since } if before == delivered => {
                let over =
                    now - since >= if idle { STALLED_AFTER } else { STALLED_AFTER_WITH_UNACKED };
                if over { Self::Broken } else { self }
            }
            _ => Self::Behind { delivered, since: now },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of the table, by a clock of its own.
    #[test]
    fn a_consumer_is_broken_when_the_table_says_so() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let behind = |delivered, seconds| Health::Behind { delivered, since: at(seconds) };
        let nothing = Look { beyond: false, left: false, idle: true, delivered: 7 };
        let something = Look { left: true, ..nothing };
        let at_work = Look { idle: false, ..something };
        let beyond = Look { beyond: true, ..nothing };
        for (state, look, seconds, next) in [
            (Health::CaughtUp, beyond, 0, Health::Broken),
            (behind(7, 0), beyond, 0, Health::Broken),
            (Health::CaughtUp, nothing, 0, Health::CaughtUp),
            (behind(7, 0), nothing, 60, Health::CaughtUp),
            (Health::Broken, nothing, 0, Health::CaughtUp),
            (Health::CaughtUp, something, 3, behind(7, 3)),
            (Health::Broken, something, 3, behind(7, 3)),
            (behind(6, 0), something, 60, behind(7, 60)),
            (behind(7, 0), something, 1, behind(7, 0)),
            (behind(7, 0), something, 2, Health::Broken),
            (behind(7, 0), at_work, 19, behind(7, 0)),
            (behind(7, 0), at_work, 20, Health::Broken),
        ] {
            assert_eq!(state.after(look, at(seconds)), next, "{state:?}, {look:?}, {seconds} s");
        }
    }
}
