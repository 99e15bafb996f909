//! Whatever is killed, nobody is charged twice and every payment ends.

use std::time::{Duration, Instant};

use kernel::{OrderId, Shard};
use serde_json::json;
use testkit::eventually;

use crate::provider::Tally;
use crate::shop::{SOON, Settings, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_provider_is_away_payments_wait_and_none_is_decided() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.provider.stop().await;
    let order = shop.hold(&customer, 1250).await;
    eventually("it has been tried more than once", SOON, async || {
        let tried = format!("payments where order_id = '{order}' and attempts > 1");
        (shop.count(&tried) == 1).then_some(())
    })
    .await;
    assert_eq!(shop.state(order), "pending");
    shop.provider.start_again().await;
    shop.until(order, "captured").await;
    assert_eq!(shop.provider.of(order).await, ONCE);
}

const ONCE: Tally = Tally { captures: 1, refunds: 0, net: 1250 };

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_during_the_call_calls_again() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.provider.behave(json!({"delay_ms": {"min": 400, "max": 400}})).await;
    let order = shop.hold(&customer, 1250).await;
    shop.until(order, "pending").await;
    shop.kill().await;
    assert_eq!(shop.state(order), "pending");
    shop.start_again().await;
    shop.until(order, "captured").await;
    assert_eq!(shop.provider.of(order).await, ONCE);
    assert_eq!(shop.events("PaymentCaptured", order), 1);
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_between_charging_and_writing_finds_out_by_asking() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.sql("alter table ledger rename to ledger_away"); // so that no result can be written
    let order = shop.hold(&customer, 1250).await;
    eventually("it is charged", SOON, async || shop.provider.decision(order).await).await;
    shop.kill().await;
    assert_eq!(shop.state(order), "pending");
    shop.sql("alter table ledger_away rename to ledger");
    shop.start_again().await;
    shop.until(order, "captured").await;
    assert_eq!(shop.provider.of(order).await, ONCE);
    assert_eq!(shop.events("PaymentCaptured", order), 1);
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_payments_through_faults_and_crashes_are_each_charged_once() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let faults = json!({
        "error_after_charge": 0.3, "drop_after_charge": 0.3, "hang": 0.05,
        "delay_ms": {"min": 0, "max": 60}
    });
    shop.provider.behave(faults).await;
    let orders: Vec<OrderId> = (0..100).map(|n| OrderId::mint_on(Shard(n))).collect();
    let copy = shop.another().await; // two copies share the work
    for (number, order) in orders.iter().enumerate() {
        shop.hold_order(*order, &customer, 100).await;
        if number % 30 == 29 {
            shop.kill().await;
            shop.start_again().await;
        }
    }
    eventually("all are captured", SOON, async || {
        (shop.count("payments where state = 'captured'") == orders.len()).then_some(())
    })
    .await;
    let charged = shop.provider.charged().await;
    assert_eq!(charged.len(), orders.len());
    assert!(charged.values().all(|times| *times == 1), "{charged:?}");
    assert_eq!(shop.count("messaging.outbox where type = 'souk.payment.v1.PaymentCaptured'"), 100);
    let clearing = "select balance_minor from balances where account = 'psp_clearing'";
    assert_eq!(shop.sql(clearing), "10000");
    copy.stop().await;
}

/// A call may take long, and a copy that was killed in the middle of one must not be waited for so long.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_renewed_during_a_call_and_ends_soon_with_its_holder() {
    let mut shop = Shop::open_with(Settings { timeout: "20s", calls: 32 }).await;
    let customer = shop.customer("tok_approve").await;
    shop.provider.behave(json!({"delay_ms": {"min": 8_000, "max": 8_000}})).await;
    let order = shop.hold(&customer, 1250).await;
    shop.until(order, "pending").await;
    let _other = shop.another().await; // it comes later, and does not take what is in hand
    shop.sql("create table first as select order_id, leased_by, leased_until from payments");
    let renewed = "payments p join first f using (order_id, leased_by)
        where p.leased_until > f.leased_until + interval '1 second'";
    eventually("it is renewed", SOON, async || (shop.count(renewed) == 1).then_some(())).await;
    shop.kill().await;
    let others = "payments p join first f using (order_id) where p.leased_by <> f.leased_by";
    let killed = Instant::now();
    eventually("the other has it", SOON, async || (shop.count(others) == 1).then_some(())).await;
    let after = killed.elapsed();
    assert!(after < Duration::from_secs(10), "{after:?}: sooner than any call's time");
    shop.provider.behave(json!({})).await;
    shop.until(order, "captured").await;
    assert_eq!(shop.provider.of(order).await, ONCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_gives_its_leases_back() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_hang").await;
    let order = shop.hold(&customer, 1250).await;
    shop.until(order, "pending").await;
    shop.stop().await;
    let free = format!("payments where order_id = '{order}' and leased_by is null");
    assert_eq!(shop.count(&free), 1);
    shop.start_again().await;
    shop.cancel(order).await;
    shop.until(order, "voided").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_beyond_the_queue_is_worked_off() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.stop().await;
    let orders: Vec<OrderId> = (0..1500).map(|n| OrderId::mint_on(Shard(n as u8))).collect();
    shop.hold_many(&orders, &customer, 100).await;
    shop.start_again().await;
    eventually("all are captured", SOON, async || {
        (shop.count("payments where state = 'captured'") == orders.len()).then_some(())
    })
    .await;
    let charged = shop.provider.charged().await;
    assert_eq!(charged.values().sum::<usize>(), orders.len());
}
