//! Returns: each refunded in part, once.

use kernel::ReturnId;
use proto::payment::v1::{PaymentCaptured, PaymentRefunded, State};
use serde_json::json;

use crate::provider::Tally;
use crate::shop::{Shop, gbp};

#[tokio::test(flavor = "multi_thread")]
async fn a_return_that_is_told_twice_is_refunded_once() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1000).await;
    shop.published.expect::<PaymentCaptured>().await;
    let id = ReturnId::mint();
    shop.give_back(order, id, 300).await;
    shop.give_back(order, id, 300).await; // another event that says the same
    let refunded: PaymentRefunded = shop.published.expect().await;
    assert_eq!((refunded.order_id, refunded.return_id), (order.to_string(), id.to_string()));
    assert_eq!(refunded.amount, Some(gbp(300)));
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!((payment.state(), payment.refunded), (State::Captured, Some(gbp(300))));

    shop.give_back(order, ReturnId::mint(), 700).await;
    let rest: PaymentRefunded = shop.published.expect().await;
    assert_eq!(rest.amount, Some(gbp(700)));
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!((payment.state(), payment.refunded), (State::Refunded, Some(gbp(1000))));
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 2, net: 0 });
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_whose_answers_are_lost_are_made_once() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1000).await;
    shop.until(order, "captured").await;
    shop.provider.behave(json!({"drop_after_charge": 0.5, "error_after_charge": 1.0})).await;
    for _ in 0..10 {
        shop.give_back(order, ReturnId::mint(), 100).await;
    }
    shop.until(order, "refunded").await;
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 10, net: 0 });
    assert_eq!(shop.events("PaymentRefunded", order), 10);
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_that_is_heard_of_first_waits_for_the_money() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = kernel::OrderId::mint_on(customer.user.shard());
    shop.give_back(order, ReturnId::mint(), 400).await;
    shop.until(order, "new").await;
    shop.hold_order(order, &customer, 1000).await;
    shop.published.expect::<PaymentCaptured>().await;
    let refunded: PaymentRefunded = shop.published.expect().await;
    assert_eq!(refunded.amount, Some(gbp(400)));
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 1, net: 600 });
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_back_more_than_was_paid_is_parked_and_holds_up_nobody() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1000).await;
    shop.until(order, "captured").await;
    shop.give_back(order, ReturnId::mint(), 1001).await;
    let next = shop.hold(&customer, 1).await;
    shop.until(next, "captured").await;
    testkit::eventually("it is parked", crate::shop::SOON, async || {
        (shop.count("messaging.dead_letters") == 1).then_some(())
    })
    .await;
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 0, net: 1000 });
}
