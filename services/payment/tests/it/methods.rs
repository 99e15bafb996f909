//! Cards that customers keep.

use kernel::UserId;
use proto::payment::v1::{AddPaymentMethodRequest, ListPaymentMethodsRequest};
use tonic::Code;

use crate::shop::Shop;

async fn labels(shop: &Shop, user: UserId) -> Vec<String> {
    let request = shop.request(user, ListPaymentMethodsRequest {});
    let listed = shop.client().list_payment_methods(request).await.unwrap().into_inner();
    listed.payment_methods.into_iter().map(|method| method.label).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_cards_and_sees_only_their_own() {
    let shop = Shop::open().await;
    let (user, other) = (UserId::mint(), UserId::mint());
    let visa = shop.add(user, "tok_visa", " Visa ").await.unwrap();
    shop.add(user, "tok_amex", "").await.unwrap();
    shop.add(other, "tok_visa", "mine").await.unwrap();
    assert_eq!(labels(&shop, user).await, ["Card", "Visa"]);
    let again = shop.add(user, "tok_visa", "the blue one").await.unwrap();
    assert_eq!(again.payment_method_id, visa.payment_method_id);
    assert_eq!(labels(&shop, user).await, ["Card", "the blue one"]);
    let id: kernel::PaymentMethodId = visa.payment_method_id.parse().unwrap();
    assert_eq!(id.shard(), user.shard());
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_cards_labels_and_callers_are_refused() {
    let shop = Shop::open().await;
    let user = UserId::mint();
    let refused = shop.add(user, "4242424242424242", "two\nlines").await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let fields: Vec<String> = rpc::status::fields(&refused).into_iter().map(|f| f.0).collect();
    assert_eq!(fields, ["card_token", "label"]);
    assert!(!format!("{refused:?}").contains("4242"), "a card number is not repeated");

    let anonymous = AddPaymentMethodRequest { card_token: "tok_a".into(), label: "".into() };
    let refused = shop.client().add_payment_method(anonymous).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_at_most_twenty_cards() {
    let shop = Shop::open().await;
    let user = UserId::mint();
    for number in 0..20 {
        shop.add(user, &format!("tok_{number}"), "").await.unwrap();
    }
    let refused = shop.add(user, "tok_more", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(rpc::status::reason(&refused).as_deref(), Some("too_many_payment_methods"));
    shop.add(user, "tok_7", "one of the twenty").await.unwrap();
}
