//! Cancelled orders net zero, whenever the cancellation comes.

use kernel::{OrderId, Shard};
use proto::payment::v1::{PaymentCaptured, PaymentRefunded, State};
use serde_json::json;
use testkit::eventually;

use crate::provider::Tally;
use crate::shop::{SOON, Shop, gbp};

const NOTHING: Tally = Tally { captures: 0, refunds: 0, net: 0 };

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_hangs_is_voided_when_the_order_is_cancelled() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_hang").await;
    let order = shop.hold(&customer, 1250).await;
    eventually("it has been tried and asked about", SOON, async || {
        let tried = format!("payments where order_id = '{order}' and attempts > 0");
        (shop.count(&tried) == 1).then_some(())
    })
    .await;
    assert_eq!(shop.state(order), "pending");
    shop.cancel(order).await;
    shop.until(order, "voided").await;
    assert_eq!(shop.provider.decision(order).await.as_deref(), Some("voided"));
    assert_eq!(shop.provider.of(order).await, NOTHING);
    assert_eq!(shop.payment(customer.user, order).await.unwrap().state(), State::Voided);
    assert_eq!(shop.events("PaymentCaptured", order) + shop.events("PaymentDeclined", order), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_comes_first_leaves_a_tombstone() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = OrderId::mint_on(Shard(7));
    shop.cancel(order).await;
    shop.until(order, "voided").await;
    shop.hold_order(order, &customer, 1250).await;
    let next = shop.hold(&customer, 1).await; // comes after it in the stream
    shop.until(next, "captured").await;
    assert_eq!(shop.state(order), "voided");
    assert_eq!(shop.provider.of(order).await, NOTHING);
    assert_eq!(shop.provider.decision(order).await, None, "the provider was not even asked");
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!((payment.state(), payment.amount), (State::Voided, Some(gbp(1250))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_after_the_capture_gives_everything_back_once() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1250).await;
    shop.published.expect::<PaymentCaptured>().await;
    shop.cancel(order).await;
    shop.cancel(order).await;
    let refunded: PaymentRefunded = shop.published.expect().await;
    assert_eq!((refunded.order_id, &*refunded.return_id), (order.to_string(), ""));
    assert_eq!(refunded.amount, Some(gbp(1250)));
    shop.cancel(order).await;
    let next = shop.hold(&customer, 1).await;
    shop.until(next, "captured").await;
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 1, net: 0 });
    shop.balanced(order).await;
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!((payment.state(), payment.refunded), (State::Refunded, Some(gbp(1250))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_during_the_call_is_too_late_to_void_and_gives_back() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.provider.behave(json!({"delay_ms": {"min": 300, "max": 300}})).await;
    let order = shop.hold(&customer, 1250).await;
    shop.until(order, "pending").await;
    shop.cancel(order).await;
    let refunded: PaymentRefunded = shop.published.find(|_| true).await;
    assert_eq!(refunded.order_id, order.to_string());
    shop.until(order, "refunded").await;
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 1, net: 0 });
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_cancellations_at_any_moment_nets_zero() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let faults = json!({"delay_ms": {"min": 0, "max": 40}, "drop_after_charge": 0.2, "hang": 0.1});
    shop.provider.behave(faults).await;
    let mut orders = Vec::new();
    for number in 0..60 {
        let order = OrderId::mint_on(Shard(number));
        if number % 3 == 0 {
            shop.cancel(order).await;
        }
        shop.hold_order(order, &customer, 100).await;
        if number % 3 == 1 {
            shop.cancel(order).await;
        }
        orders.push(order);
    }
    for order in &orders {
        shop.cancel(*order).await;
    }
    eventually("all are over", SOON, async || {
        let over = "payments where state in ('voided', 'refunded')";
        (shop.count(over) == orders.len()).then_some(())
    })
    .await;
    for order in orders {
        let tally = shop.provider.of(order).await;
        assert!(tally.captures <= 1 && tally.captures == tally.refunds && tally.net == 0);
    }
    assert_eq!(
        shop.sql(
            "select coalesce(sum(balance_minor), 0) from balances where account = 'psp_clearing'"
        ),
        "0"
    );
}
