//! What was given up on is sent again with one command.

use kernel::{OrderId, Shard};
use messaging::{dead_letters, outboxes, redrive, replay};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_redriven_dead_letter_is_handled_once_its_handler_is_fixed() {
    let context = Context::new(2).await;
    let broken = CancellationToken::new();
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    let (first, second) = (context.confirm(Shard(3)).await, context.confirm(Shard(200)).await);
    let handler =
        Effects { panics_at: Some(first), refuses_at: Some(second), ..Effects::default() };
    context.consume(handler, &broken);
    parked(&context, 2).await;

    // Still broken: it is given up on again, and nothing is lost.
    assert_eq!(redrive(&context.database, None).await.unwrap(), 2);
    assert_eq!(redrive(&context.database, None).await.unwrap(), 0, "they are on their way");
    parked(&context, 2).await;
    broken.cancel();

    context.consume(Effects::default(), &stop);
    let letters = dead_letters(&context.database, None).await.unwrap();
    let one = letters.iter().find(|letter| OrderId::from(letter.aggregate_id) == second).unwrap();
    assert!(one.error.contains("told to refuse"), "{}", one.error);
    assert_eq!(redrive(&context.database, Some(one.event_id)).await.unwrap(), 1);
    context.settled(1).await;
    assert_eq!(redrive(&context.database, None).await.unwrap(), 1);
    context.settled(2).await;
    eventually("no letters are left", SOON, async || {
        (context.count("messaging.dead_letters") == 0).then_some(())
    })
    .await;
}

/// A type that only another build knows waits for that build; one that matters to nobody here is done with,
/// and no handler hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_of_an_unwanted_type_reaches_no_handler() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let parked = "insert into messaging.dead_letters (shard, consumer, event_id, aggregate_id, type, subject,
            occurred_at, payload, tries, error, redriven_at)
        select 3, 'test-from-order', gen_random_uuid(), gen_random_uuid(), kind, 's', now(), '', 1, error, now()
        from unnest('{souk.order.v1.OrderPlaced, souk.order.v9.OrderConfirmed}'::text[]) kind,
            unnest('{no type of event that is known here, failed in a newer build}'::text[]) error";
    context.world.sql(&context.urls[0], parked);
    context.consume(Effects::default(), &stop);
    context.relay(&stop);
    eventually("the one that is known by now is gone", SOON, async || {
        (context.count("messaging.dead_letters") == 3).then_some(())
    })
    .await;
    let known = "messaging.dead_letters where type ~ 'v1' and error !~ 'newer'";
    assert_eq!(context.count(known), 0);
    assert_eq!(context.count("messaging.dead_letters where redriven_at is not null"), 3);
    assert_eq!(context.count("effects"), 0);
}

/// The batch in which it was parked again must not take it for one that was dealt with.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_redriven_while_it_fails_again_is_not_lost() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    let refuses_at = Some(context.confirm(Shard(3)).await);
    context.consume(Effects { refuses_at, ..Effects::default() }, &stop);
    parked(&context, 1).await;
    let hasty = "create table parkings ();
        create function redrive() returns trigger language plpgsql as $$ begin
            insert into parkings default values;
            delete from messaging.inbox;
            new.redriven_at := clock_timestamp();
            return new;
        end $$;
        create trigger hasty before update on messaging.dead_letters
            for each row when (new.redriven_at is null) execute function redrive();
        grant all on parkings to public";
    context.world.sql(&context.urls[0], hasty);
    assert_eq!(redrive(&context.database, None).await.unwrap(), 1);
    eventually("parked again, and once more", SOON, async || {
        (context.count("parkings") >= 2).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_seen_by_who_has_not_seen_it_and_changes_nothing_for_others() {
    let context = Context::new(2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let before = kernel::clock::now() - time::Duration::minutes(1);
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    for shard in [3, 200, 7] {
        context.confirm(Shard(shard)).await;
    }
    context.settled(3).await;
    published(&context).await;

    // An inbox that was lost, and with it what it has seen.
    for url in &context.urls {
        context.world.sql(url, "delete from messaging.inbox; delete from effects");
    }
    eventually("the server takes it again, after ten seconds", SOON, async || {
        let young = "messaging.outbox where published_at > now() - interval '11 seconds'";
        (context.count(young) == 0).then_some(())
    })
    .await;
    assert_eq!(replay(&context.database, before).await.unwrap(), 3);
    context.settled(3).await;
    published(&context).await;

    let refused = replay(&context.database, before - time::Duration::days(8)).await;
    assert!(refused.unwrap_err().to_string().contains("keeps 7 days"));
}

async fn parked(context: &Context, letters: usize) {
    eventually("parked", SOON, async || {
        let parked = context.count("messaging.dead_letters where redriven_at is null");
        (parked == letters).then_some(())
    })
    .await;
}

async fn published(context: &Context) {
    eventually("nothing waits", SOON, async || {
        let outboxes = outboxes(&context.database).await.ok()?;
        outboxes.iter().all(|outbox| outbox.waiting == 0).then_some(())
    })
    .await;
}
