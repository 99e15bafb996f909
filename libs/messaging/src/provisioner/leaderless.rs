//! A stream that nobody leads, in a cluster that has a leader. Its servers are gone, or they lost power, and what they had
//! not synced, and vote against each other for ever (seen with 2.9.10).

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::context::{
    GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::{Context, ErrorCode};
use futures_util::TryStreamExt as _;
use tokio::time::Instant;

use crate::Bus;

/// Servers that can agree have done so by then: an election is a matter of seconds.
const AGREED_WITHIN: Duration = Duration::from_secs(30);

/// Since when one stream has had no leader in a cluster that has one.
#[derive(Default)]
pub(super) struct Leaderless(Mutex<Option<Instant>>);

impl Leaderless {
    /// Deletes the stream when it has been without a leader for too long; one that was just reconciled has a leader. It is
    /// created again as one that is missing, and filled from the outbox, which is the record.
    pub(super) async fn delete_when_stuck(&self, bus: &Bus, name: &str, reconciled: bool) {
        let leaderless =
            bus.is_clustered() && !reconciled && is_leaderless(bus.jetstream(), name).await;
        if !self.note(leaderless, Instant::now()) {
            return;
        }
        tracing::error!(name, "the stream has no leader: deleting it");
        // The answer would come from its leader: whether it is gone shows in the next round.
        if let Err(error) = bus.jetstream().delete_stream(name).await {
            tracing::warn!(name, error = %error, "the stream may not be deleted yet");
        }
    }

    /// Notes whether it has a leader at `now`. True: it has had none for too long, and counting begins anew.
    fn note(&self, leaderless: bool, now: Instant) -> bool {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = since.filter(|_| leaderless).map(|since| now - since);
        if waited.is_none_or(|waited| waited >= AGREED_WITHIN) {
            *since = leaderless.then_some(now);
        }
        waited.is_some_and(|waited| waited >= AGREED_WITHIN)
    }
}

/// Whether the stream has no leader in a cluster that has one. Its servers say so, or nobody answers.
async fn is_leaderless(jetstream: &Context, name: &str) -> bool {
    let silent = match jetstream.get_stream(name).await {
        Ok(_) => false,
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(error) => {
                error.error_code() == ErrorCode::CLUSTER_NOT_AVAILABLE
            }
            GetStreamErrorKind::Request => is_timeout(&error),
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => false,
        },
    };
    // Only the leader of the whole cluster answers this.
    silent && jetstream.stream_names().try_next().await.is_ok()
}

fn is_timeout(error: &GetStreamError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<RequestError>());
    cause.is_some_and(|cause| cause.kind() == RequestErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stream_that_stays_without_a_leader_is_stuck() {
        let (leaderless, start) = (Leaderless::default(), Instant::now());
        for (seconds, is_leaderless, stuck) in [
            (0, true, false),
            (29, true, false),
            (30, false, false), // it has one after all
            (31, true, false),
            (60, true, false),
            (61, true, true),
            (62, true, false), // its deletion has time
            (91, true, true),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(leaderless.note(is_leaderless, now), stuck, "{seconds} s");
        }
    }
}
