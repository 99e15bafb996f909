//! Crash points: the moments between two effects at which a process may die, by name.
//!
//! A process that was built with the feature `failpoints` dies at the point that `SOUK_CRASH_AT`
//! names, as it would by `kill -9`. Without the feature a point is an empty function, and nothing
//! of this is in the program. `tests/crashes` dies at every point, in every service that passes it.

#[cfg_attr(feature = "failpoints", path = "armed.rs")]
#[cfg_attr(not(feature = "failpoints"), path = "disarmed.rs")]
mod point;

pub use point::point;

macro_rules! points {
    ($($(#[$why:meta])* $name:ident = $text:literal,)*) => {
        /// All points. A new one does not compile before `tests/crashes` says who passes it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point { $($(#[$why])* $name,)* }

        impl Point {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As `SOUK_CRASH_AT` has it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

points! {
    /// All statements of a transaction are done, and none is durable.
    CommitBefore = "commit.before",
    /// It is durable, and nobody has been told: no caller, no relay, no worker.
    CommitAfter = "commit.after",
    /// Orders of several callers are written by one transaction, and none is durable.
    GroupBefore = "group.before",
    /// All are durable, and none of the callers has been told.
    GroupAfter = "group.after",
    /// Lines have left a cart, and the order that has them is not written.
    CheckoutBegun = "checkout.begun",
    /// A part of a catalogue file is imported, and nothing of it is durable.
    ImportChunkBefore = "import.chunk.before",
    /// It is durable, and the rest waits.
    ImportChunkAfter = "import.chunk.after",
    /// Events were read from the outbox; none is sent.
    RelayFetched = "relay.fetched",
    /// The stream has them, and the outbox does not know.
    RelayPublished = "relay.published",
    /// The outbox knows.
    RelayMarked = "relay.marked",
    /// A stream that lost its end has no consumers any more, and is not filled again yet.
    RelayRewinding = "relay.rewinding",
    /// The effect of a batch is durable, and the stream will deliver it again.
    ConsumerHandled = "consumer.handled",
    /// The acknowledgement is on its way.
    ConsumerAcknowledged = "consumer.acknowledged",
    /// A payment or a refund is leased, and nobody works at it.
    PaymentClaimed = "payment.claimed",
    /// The provider's notice was taken for a hint, and the provider was not told so.
    WebhookNoted = "webhook.noted",
    /// Before money is asked for.
    PspCaptureBefore = "psp.capture.before",
    /// The money was taken, and only the provider knows.
    PspCaptureAfter = "psp.capture.after",
    /// Before the provider is asked what became of a key.
    PspAskBefore = "psp.ask.before",
    /// It has answered, and nothing is written.
    PspAskAfter = "psp.ask.after",
    /// Before a key is made void.
    PspVoidBefore = "psp.void.before",
    /// It is void, and only the provider knows.
    PspVoidAfter = "psp.void.after",
    /// Before money is given back.
    PspRefundBefore = "psp.refund.before",
    /// It was given back, and only the provider knows.
    PspRefundAfter = "psp.refund.after",
}
