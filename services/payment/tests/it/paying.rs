//! From the wish to the money: captured, declined, or lost and found again.

use kernel::{OrderId, PaymentMethodId};
use proto::payment::v1::{PaymentCaptured, PaymentDeclined, State};
use tonic::Code;

use crate::provider::Tally;
use crate::shop::{Customer, Shop, gbp};

const ONCE: Tally = Tally { captures: 1, refunds: 0, net: 1250 };

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_card_is_charged_once_and_the_order_learns_of_it() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1250).await;
    let captured: PaymentCaptured = shop.published.expect().await;
    assert_eq!((captured.order_id, captured.amount), (order.to_string(), Some(gbp(1250))));
    assert_eq!(shop.provider.of(order).await, ONCE);
    shop.balanced(order).await;
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!(payment.state(), State::Captured);
    assert_eq!((payment.amount, payment.refunded), (Some(gbp(1250)), Some(gbp(0))));
    assert_eq!(shop.count("messaging.outbox where position('tok_'::bytea in payload) > 0"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_wish_again_is_the_same_payment() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1250).await;
    shop.hold_order(order, &customer, 1250).await;
    shop.until(order, "captured").await;
    shop.hold_order(order, &customer, 1250).await;
    let next = shop.hold(&customer, 1).await; // comes after it in the stream
    shop.until(next, "captured").await;
    assert_eq!(shop.provider.of(order).await, ONCE);
    assert_eq!(shop.events("PaymentCaptured", order), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_card_is_an_outcome() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_decline").await;
    let order = shop.hold(&customer, 1250).await;
    let declined: PaymentDeclined = shop.published.expect().await;
    assert_eq!((declined.order_id, declined.reason), (order.to_string(), "card_declined".into()));
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!(payment.state(), State::Declined);
    shop.balanced(order).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_and_an_error_after_charging_are_found_out_by_asking() {
    let mut shop = Shop::open().await;
    for card in ["tok_lost", "tok_error"] {
        let customer = shop.customer(card).await;
        let order = shop.hold(&customer, 1250).await;
        let captured: PaymentCaptured = shop.published.expect().await;
        assert_eq!(captured.order_id, order.to_string());
        assert_eq!(shop.provider.of(order).await, ONCE, "{card}");
        shop.balanced(order).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_card_and_somebody_elses_are_declined_without_a_call() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let other = shop.customer("tok_approve").await;
    let unknown = Customer { user: customer.user, method: PaymentMethodId::mint() };
    let stolen = Customer { user: customer.user, method: other.method };
    for wrong in [unknown, stolen] {
        let order = shop.hold(&wrong, 1250).await;
        let declined: PaymentDeclined = shop.published.expect().await;
        assert_eq!(declined.order_id, order.to_string());
        assert_eq!(declined.reason, "payment_method_unknown");
        assert_eq!(shop.provider.decision(order).await, None);
    }
    let order = shop.hold(&customer, 0).await;
    let declined: PaymentDeclined = shop.published.expect().await;
    assert_eq!((declined.order_id, &*declined.reason), (order.to_string(), "amount_not_positive"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_its_payers_alone() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let other = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1250).await;
    shop.until(order, "captured").await;
    let strangers = shop.payment(other.user, order).await.unwrap_err();
    let nothing = shop.payment(customer.user, OrderId::mint()).await.unwrap_err();
    for refused in [strangers, nothing] {
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(rpc::status::reason(&refused).as_deref(), Some("payment_not_found"));
    }
}
