//! A provider that is slower than the shop: payments wait, and what they wait for may be over.

use std::time::Duration;

use kernel::{OrderId, Shard};
use proto::payment::v1::{PaymentCaptured, PaymentDeclined, State};
use testkit::eventually;

use crate::provider::Tally;
use crate::shop::{SOON, Settings, Shop};

const NOTHING: Tally = Tally { captures: 0, refunds: 0, net: 0 };
/// No call ends before the test does, unless the provider answers.
const PATIENT: Settings = Settings { timeout: "60s", calls: 4 };

fn orders(count: usize) -> Vec<OrderId> {
    (0..count).map(|n| OrderId::mint_on(Shard(n as u8))).collect()
}

/// All places are taken by payments that hang.
async fn congested() -> (Shop, crate::shop::Customer) {
    let shop = Shop::open_with(PATIENT).await;
    let hanging = shop.customer("tok_hang").await;
    shop.hold_many(&orders(PATIENT.calls), &hanging, 100).await;
    eventually("the places are taken", SOON, async || {
        (shop.count("payments where leased_by is not null") == PATIENT.calls).then_some(())
    })
    .await;
    let customer = shop.customer("tok_approve").await;
    (shop, customer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_gets_through_however_many_payments_wait() {
    let (shop, customer) = congested().await;
    let waiting = orders(1500);
    shop.hold_many(&waiting, &customer, 100).await;
    for chunk in waiting.chunks(50) {
        let all = chunk.iter().map(|order| shop.cancel(*order));
        futures_util::future::join_all(all).await;
    }
    eventually("all are cancelled", SOON, async || {
        (shop.count("payments where state = 'voided'") == waiting.len()).then_some(())
    })
    .await;
    let (first, last) = (waiting[0], waiting[waiting.len() - 1]);
    for order in [first, last] {
        assert_eq!(shop.provider.decision(order).await, None, "the provider was not even asked");
        assert_eq!(shop.payment(customer.user, order).await.unwrap().state(), State::Voided);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_beyond_its_pay_by_is_declined_and_never_captured() {
    let (mut shop, customer) = congested().await;
    let order = OrderId::mint_on(customer.user.shard());
    shop.hold_for(order, &customer, 1250, Duration::from_millis(600)).await;
    let declined: PaymentDeclined = shop.published.expect().await;
    assert_eq!(declined.order_id, order.to_string());
    assert_eq!((&*declined.reason, declined.expired), ("pay_by_passed", true));
    assert_eq!(shop.state(order), "declined");
    assert_eq!(shop.provider.decision(order).await, None, "the provider was not even asked");
    shop.cancel(order).await; // the order's answer
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_lost_before_pay_by_is_void_after_it() {
    let mut shop = Shop::open().await;
    let hanging = shop.customer("tok_hang").await;
    let order = OrderId::mint_on(hanging.user.shard());
    shop.hold_for(order, &hanging, 1250, Duration::from_secs(2)).await;
    let declined: PaymentDeclined = shop.published.expect().await;
    assert_eq!((declined.order_id, declined.expired), (order.to_string(), true));
    assert_eq!(shop.provider.decision(order).await.as_deref(), Some("voided"));
    assert_eq!(shop.provider.of(order).await, NOTHING);
    assert_eq!(shop.count("payments where called_at > pay_by"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_longest_is_next_when_a_place_is_free() {
    let (mut shop, customer) = congested().await;
    let waiting = orders(20);
    shop.hold_many(&waiting, &customer, 100).await;
    eventually("all wait", SOON, async || {
        let untouched = "payments where state = 'pending' and leased_until = '-infinity'";
        (shop.count(untouched) == waiting.len()).then_some(())
    })
    .await;
    // Nobody takes them while the provider is away: what fails then is tried again later, out of its turn.
    let ids: Vec<_> = waiting.iter().map(|order| format!("'{order}'")).collect();
    let held = format!("order_id in ({})", ids.join(", "));
    shop.sql(&format!("update payments set leased_until = 'infinity' where {held}"));
    shop.provider.stop().await; // what hangs ends, and is asked about later
    shop.provider.start_again().await;
    // In one statement, and so counted from one moment.
    let turns = waiting.iter().rev().enumerate();
    let turns: Vec<_> = turns.map(|(nth, order)| format!("('{order}'::uuid, {nth})")).collect();
    shop.sql(&format!(
        "update payments p
         set heard_at = now() - make_interval(secs => turn.nth), leased_until = '-infinity'
         from (values {}) turn(order_id, nth) where p.order_id = turn.order_id",
        turns.join(", ")
    ));
    let mut captured = Vec::new();
    for _ in &waiting {
        let event: PaymentCaptured = shop.published.expect().await;
        captured.push(event.order_id.parse::<OrderId>().unwrap());
    }
    let place = |order: &OrderId| captured.iter().position(|one| one == order).unwrap();
    for (turn, order) in waiting.iter().enumerate() {
        assert!(place(order).abs_diff(turn) < 2 * PATIENT.calls, "{waiting:?} became {captured:?}");
    }
}
