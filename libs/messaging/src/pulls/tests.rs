//! Pulls from a consumer in memory, without any server.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use super::*;
use crate::memory::{MemorySource, events};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn no_pull_is_sent_while_a_message_is_unread() {
    let source = MemorySource::new();
    source.deliver(&events(2 * EVENTS));
    let mut pulls = Pulls::open(&source).await.unwrap();
    for read in [EVENTS, EVENTS, 2 * EVENTS, 2 * EVENTS] {
        let batch = pulls.next_batch(Instant::now() + SOON).await.unwrap();
        assert_eq!(batch.len(), BATCH_EVENTS);
        pulls.extend_ack_deadlines(&[]).await.unwrap();
        assert_eq!(source.state().delivered, read);
    }
    assert_eq!(source.state().pulls, [0, EVENTS], "the second when all of the first were taken");
}

#[tokio::test]
async fn a_pull_that_died_without_a_word_is_followed_by_another() {
    let source = MemorySource::new();
    source.state().lost_pulls = 1;
    source.deliver(&events(1));
    let mut pulls = Pulls::open(&source).await.unwrap();
    let batch = pulls.next_batch(Instant::now() + SOON).await.unwrap();
    assert_eq!((batch.len(), source.state().pulls.len()), (1, 2));
}

#[tokio::test]
async fn what_is_taken_and_what_waits_behind_it_is_in_progress() {
    let source = MemorySource::new();
    source.deliver(&events(BATCH_EVENTS + 2));
    let mut pulls = Pulls::open(&source).await.unwrap();
    let taken = pulls.next_batch(Instant::now() + SOON).await.unwrap();
    let taken: Vec<_> = taken[..1].iter().map(|it| it.receipt.reply.clone()).collect();
    pulls.extend_ack_deadlines(&taken).await.unwrap();
    let told = source.answered(|answer| matches!(answer, AckKind::Progress));
    assert_eq!(told, ["1", "257", "258"]);
}

#[tokio::test]
async fn what_nobody_took_is_there_to_be_given_back() {
    let source = MemorySource::new();
    source.deliver(&events(BATCH_EVENTS + 1));
    let mut pulls = Pulls::open(&source).await.unwrap();
    pulls.next_batch(Instant::now() + SOON).await.unwrap();
    let left: Vec<_> = pulls.close().await.into_iter().map(|it| it.receipt.reply).collect();
    assert_eq!(left, ["257".into()]);
}
