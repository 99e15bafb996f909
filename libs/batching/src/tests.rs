use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

/// Answers each number with itself and the size of its batch.
type Sized = Batcher<u32, (u32, usize)>;

/// A batcher that answers each number with the size of its batch, once the gate lets the batch through.
fn gated(limits: Limits) -> (Sized, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (gate, begun) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (through, count) = (Arc::clone(&gate), Arc::clone(&begun));
    let batcher = Batcher::new("test", limits, move |inputs: Vec<u32>| {
        let through = Arc::clone(&through);
        count.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            through.acquire().await.unwrap().forget();
            assert!(!inputs.contains(&13), "thirteen");
            let size = inputs.len();
            inputs.into_iter().map(|number| (number, size)).collect()
        })
    });
    (batcher, gate, begun)
}

/// Asks in a task of its own, and returns once the question has been put.
async fn put<Out: Send + 'static>(
    batcher: &Batcher<u32, Out>,
    number: u32,
) -> tokio::task::JoinHandle<Result<Out, Unanswered>> {
    let batcher = batcher.clone();
    let asked = tokio::spawn(async move { batcher.ask(number).await });
    settle().await;
    asked
}

/// Lets every task of this thread run until it waits for something.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_is_alone_goes_at_once_and_who_comes_meanwhile_goes_together() {
    let (batcher, gate, begun) = gated(Limits { size: 3, under_way: 1 });
    let first = put(&batcher, 1).await;
    assert_eq!(begun.load(Ordering::SeqCst), 1, "nobody waits for company");
    let others = [put(&batcher, 2).await, put(&batcher, 3).await, put(&batcher, 4).await];
    let last = put(&batcher, 5).await;
    assert_eq!(begun.load(Ordering::SeqCst), 1, "one at a time");
    gate.add_permits(3);
    assert_eq!(first.await.unwrap(), Ok((1, 1)));
    for (number, other) in (2..).zip(others) {
        assert_eq!(other.await.unwrap(), Ok((number, 3)), "an answer of one's own");
    }
    assert_eq!(last.await.unwrap(), Ok((5, 1)), "no batch exceeds the bound");
    gate.add_permits(1);
    assert_eq!(batcher.ask(6).await, Ok((6, 1)), "after a pause it begins anew");
}

#[tokio::test]
async fn so_many_are_under_way_as_may_be() {
    let (batcher, gate, begun) = gated(Limits { size: 8, under_way: 2 });
    let mut all = Vec::new();
    for number in 1..=4 {
        all.push(put(&batcher, number).await);
    }
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    gate.add_permits(3);
    for (asked, size) in all.into_iter().zip([1, 1, 2, 2]) {
        assert_eq!(asked.await.unwrap().unwrap().1, size);
    }
}

#[tokio::test]
async fn who_leaves_before_the_batch_begins_is_not_asked() {
    let (batcher, gate, _) = gated(Limits { size: 8, under_way: 1 });
    let (first, leaves, stays) =
        (put(&batcher, 1).await, put(&batcher, 2).await, put(&batcher, 3).await);
    leaves.abort();
    settle().await;
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), Ok((1, 1)));
    assert_eq!(stays.await.unwrap(), Ok((3, 1)));
}

#[tokio::test]
async fn a_batch_that_has_begun_does_not_end_with_who_began_it() {
    let (batcher, gate, _) = gated(Limits { size: 8, under_way: 1 });
    let (begins, joins) = (put(&batcher, 1).await, put(&batcher, 2).await);
    begins.abort();
    gate.add_permits(2);
    assert_eq!(joins.await.unwrap(), Ok((2, 1)));
}

#[tokio::test]
async fn a_panic_costs_its_own_batch_and_none_after_it() {
    let (batcher, gate, _) = gated(Limits { size: 8, under_way: 1 });
    gate.add_permits(2);
    assert_eq!(batcher.ask(13).await, Err(Unanswered));
    assert_eq!(batcher.ask(1).await, Ok((1, 1)));
}

#[tokio::test]
async fn a_batch_that_forgets_a_member_answers_nobody() {
    let forgetful = Batcher::new("test", Limits { size: 8, under_way: 1 }, |inputs: Vec<u32>| {
        Box::pin(async move { inputs.into_iter().filter(|number| *number != 2).collect() })
    });
    let together = [1, 2, 3].map(|number| {
        let forgetful: Batcher<u32, u32> = forgetful.clone();
        tokio::spawn(async move { forgetful.ask(number).await })
    });
    for member in together {
        assert_eq!(member.await.unwrap(), Err(Unanswered), "nobody gets the answer of another");
    }
    assert_eq!(forgetful.ask(3).await, Ok(3));
}

#[tokio::test]
async fn a_batch_waits_as_long_as_its_most_patient_member() {
    let seen = Batcher::new("test", Limits { size: 8, under_way: 1 }, |inputs: Vec<u32>| {
        Box::pin(async move {
            tokio::task::yield_now().await;
            vec![Current::capture().deadline(); inputs.len()]
        })
    });
    let now = Instant::now();
    let asked = |seconds: Option<u64>| {
        let (seen, deadline) = (seen.clone(), seconds.map(|it| now + Duration::from_secs(it)));
        let call = Current::call("test", deadline, Arc::new(()));
        tokio::spawn(call.scope(async move { seen.ask(1).await.unwrap() }))
    };
    let alone = asked(Some(1));
    settle().await;
    let together = [asked(Some(2)), asked(Some(30)), asked(Some(3))];
    assert_eq!(alone.await.unwrap(), Some(now + Duration::from_secs(1)));
    for member in together {
        assert_eq!(member.await.unwrap(), Some(now + Duration::from_secs(30)));
    }
    let (_, boundless) = (asked(Some(1)), asked(None));
    assert_eq!(boundless.await.unwrap(), None, "who waits for ever is the most patient");
}
