//! What an outbox keeps, and what is forgotten.

use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, SOON};

/// Days are dropped as a whole: the eighth goes when it has no hour left that is younger than seven days.
#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_keeps_seven_days_and_what_is_not_sent() {
    let context = Context::new(1).await;
    let count = |from: &str| context.count(from);
    let days = "create table days as select ago, now() - ago * interval '1 day' as at
            from unnest('{7,8,9}'::int[]) ago;
        select messaging.create_day('outbox', (at at time zone 'UTC')::date) from days;
        insert into messaging.outbox (shard, event_id, aggregate_id, type, subject, occurred_at, payload,
            published_at)
        select 3, gen_random_uuid(), gen_random_uuid(), 'souk.order.v1.OrderConfirmed',
            'souk.order.v1.order.order_confirmed', at, '', case when ago < 9 then at end
        from days;
        insert into messaging.inbox select 3, 'test', event_id, now() from messaging.outbox limit 1;
        insert into messaging.failures
        select 3, 'test', event_id, 1, 'passed' from messaging.inbox
        union all select 3, 'test', gen_random_uuid(), 1, 'lasts';
        select messaging.upkeep(8, 30)";
    context.world.sql(&context.urls[0], days);
    assert_eq!(count("messaging.outbox"), 2, "seven days ago, and what is not sent");
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.upkeep("order", &stop);
    eventually("it is sent, and goes", SOON, async || {
        context.world.sql(&context.urls[0], "select messaging.upkeep(8, 30)");
        (count("messaging.outbox") == 1).then_some(())
    })
    .await;
    eventually("what passed is forgotten", SOON, async || {
        (count("messaging.failures") == 1).then_some(())
    })
    .await;
    let left =
        "days where ago = 7 and exists (select from messaging.outbox where occurred_at = at)";
    assert_eq!(count(left), 1);
}
