//! The relay on a stream in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use kernel::OrderId;

use super::*;
use crate::memory::{Bench, HOME, MemorySink};

impl Bench {
    /// A relay that holds the lease.
    async fn relay(&self, sink: &MemorySink) -> DatabaseRelay<MemorySink> {
        let (sink, database, woken) = (sink.clone(), self.database.clone(), Arc::default());
        let mut relay = DatabaseRelay::new("order", sink, database, HOME, woken, Duration::ZERO);
        assert!(relay.hold_lease().await.unwrap());
        relay
    }

    fn unpublished(&self) -> usize {
        self.count("messaging.outbox where published_at is null")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_goes_again_before_what_follows_it() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    let mut relay = bench.relay(&sink).await;
    let (one, other) = (OrderId::mint_on(HOME), OrderId::mint_on(HOME));
    let ids = bench.confirm(&[one, other, one]).await;
    sink.stream().refuses = Some(ids[0].clone());
    let failed = relay.publish_batch(0).await.unwrap_err().to_string();
    assert_eq!(failed, "some events could not be published");
    assert_eq!(sink.ids(), [&*ids[1], &ids[2]]);
    assert_eq!(bench.unpublished(), 2, "the second of one order waits for the first");
    assert_eq!(relay.publish_batch(relay.low_water).await.unwrap(), 2);
    assert_eq!(sink.ids()[2..], [&*ids[0], &ids[2]]);
    assert_eq!(bench.unpublished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_connection_acknowledged_is_not_marked() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    let mut relay = bench.relay(&sink).await;
    let ids = bench.confirm_new(3).await;
    sink.stream().reconnects_at = Some(ids[1].clone());
    let failed = relay.publish_batch(0).await.unwrap_err().to_string();
    assert_eq!(failed, "another connection: sending again");
    assert_eq!(bench.unpublished(), 3);
    assert_eq!(relay.publish_batch(0).await.unwrap(), 3);
    assert_eq!(bench.unpublished(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_its_end_gets_exactly_that_again() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    let mut relay = bench.relay(&sink).await;
    let ids = bench.confirm_new(10).await;
    assert_eq!(relay.publish_batch(0).await.unwrap(), 10);
    sink.stream().lose_end(6);
    let later = bench.confirm_new(1).await;
    assert_eq!(relay.publish_batch(0).await.unwrap(), 5);
    assert_eq!(sink.ids(), [ids, later].concat());
    assert_eq!(sink.stream().consumers_recreated, 1);
    assert_eq!(bench.unpublished(), 0);
    assert_eq!(relay.publish_batch(0).await.unwrap(), 0);
}

/// Other messages have the sequences of the lost: the stream is as long as it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_end_is_noticed_behind_messages_in_its_place() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    let mut relay = bench.relay(&sink).await;
    let ids = bench.confirm_new(10).await;
    assert_eq!(relay.publish_batch(0).await.unwrap(), 10);
    {
        let mut stream = sink.stream();
        stream.lose_end(6);
        for _ in 0..5 {
            let mut foreign = stream.messages[0].clone();
            foreign.headers.insert(crate::codec::MESSAGE_ID, OrderId::mint().to_string());
            stream.messages.push(foreign);
        }
    }
    assert_eq!(relay.publish_batch(0).await.unwrap(), 4);
    assert_eq!(sink.ids()[11..], ids[6..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stream_of_the_same_name_counts_as_empty() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    let mut relay = bench.relay(&sink).await;
    let ids = bench.confirm_new(3).await;
    assert_eq!(relay.publish_batch(0).await.unwrap(), 3);
    let before = sink.stream().messages.clone();
    sink.stream().replace();
    sink.stream().messages = before;
    assert!(!relay.verify_or_resync().await.unwrap());
    assert_eq!(relay.publish_batch(0).await.unwrap(), 3);
    assert_eq!(sink.ids()[3..], ids);
}

/// Behind a connection that held.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_cluster_has_forgotten_meanwhile_is_not_marked() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    sink.stream().clustered = true;
    let mut relay = bench.relay(&sink).await;
    let ids = bench.confirm_new(2).await;
    assert_eq!(relay.publish_batch(0).await.unwrap(), 2);
    let later = bench.confirm_new(2).await;
    sink.stream().messages.clear();
    let shows_nothing = "the stream does not show what it holds: looking again";
    assert_eq!(relay.publish_batch(0).await.unwrap_err().to_string(), shows_nothing);
    assert_eq!(bench.unpublished(), 2);
    // A leader that was just elected may show it later, and for so long nothing is sent.
    assert_eq!(relay.publish_batch(0).await.unwrap_err().to_string(), shows_nothing);
    assert_eq!(sink.ids(), later);
    let long_ago = Instant::now().checked_sub(Duration::from_secs(5)).unwrap();
    relay.sync = StreamSync::Missing { since: long_ago };
    assert_eq!(relay.publish_batch(0).await.unwrap(), 4);
    assert_eq!(sink.stream().recreated, 1, "what is left of it goes as well");
    assert_eq!(sink.ids(), [ids, later].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_lost_its_lease_while_it_sent_marks_nothing_and_sends_again() {
    let bench = Bench::new().await;
    let sink = MemorySink::new();
    let mut relay = bench.relay(&sink).await;
    let ids = bench.confirm_new(3).await;
    assert!(relay.verify_or_resync().await.unwrap());
    bench.sql("update messaging.relay set holder = gen_random_uuid(), held_until = '-infinity'");
    let failed = relay.publish_batch(0).await.unwrap_err().to_string();
    assert_eq!(failed, "another copy has taken over the lease");
    assert_eq!(bench.unpublished(), 3);
    assert!(relay.hold_lease().await.unwrap());
    assert_eq!(relay.publish_batch(0).await.unwrap(), 3);
    assert_eq!(sink.ids(), [&ids[..], &ids].concat(), "under the same ids");
    assert_eq!(bench.unpublished(), 0);
}
