//! Returns: each refunded in part, once; and what the provider refuses to give back.

use identity::Role;
use kernel::{OrderId, ReturnId, UserId};
use proto::payment::v1::{
    ListRefundsRequest, PaymentCaptured, PaymentRefunded, Refund, RefundDecision, RefundState,
    RetryRefundRequest, SettleRefundRequest, State,
};
use serde_json::json;
use testkit::eventually;
use tonic::{Code, Request, Status};

use crate::provider::Tally;
use crate::shop::{SOON, Shop, gbp};

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
    let order = OrderId::mint_on(customer.user.shard());
    shop.give_back(order, ReturnId::mint(), 400).await;
    shop.until(order, "new").await;
    shop.hold_order(order, &customer, 1000).await;
    shop.published.expect::<PaymentCaptured>().await;
    let refunded: PaymentRefunded = shop.published.expect().await;
    assert_eq!(refunded.amount, Some(gbp(400)));
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 1, net: 600 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_above_the_payment_is_dead_lettered_and_delays_no_other_event() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let order = shop.hold(&customer, 1000).await;
    shop.until(order, "captured").await;
    shop.give_back(order, ReturnId::mint(), 1001).await;
    let next = shop.hold(&customer, 1).await;
    shop.until(next, "captured").await;
    eventually("it is parked", SOON, async || {
        (shop.count("messaging.dead_letters") == 1).then_some(())
    })
    .await;
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 0, net: 1000 });
}

fn staff<T>(shop: &Shop, user: UserId, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = shop.world.bearer(user, Role::Staff).parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

impl Shop {
    async fn refunds(&self, order: &str) -> Vec<Refund> {
        let request = ListRefundsRequest { order_id: order.into(), ..Default::default() };
        let request = staff(self, UserId::mint(), request);
        self.client().list_refunds(request).await.unwrap().into_inner().refunds
    }

    async fn refused(&self) -> Refund {
        eventually("a refund waits for a decision", SOON, async || self.refunds("").await.pop())
            .await
    }

    async fn retry(&self, by: UserId, refund: &Refund) -> Result<Refund, Status> {
        let (refund_id, note) = (refund.refund_id.clone(), "the bank is back".to_owned());
        let request = staff(self, by, RetryRefundRequest { refund_id, note });
        Ok(self.client().retry_refund(request).await?.into_inner().refund.unwrap())
    }

    async fn settle(&self, by: UserId, refund: &Refund) -> Result<Refund, Status> {
        let (refund_id, note) = (refund.refund_id.clone(), "paid by bank transfer".to_owned());
        let request = staff(self, by, SettleRefundRequest { refund_id, note });
        Ok(self.client().settle_refund(request).await?.into_inner().refund.unwrap())
    }
}

fn reason(refused: &Status) -> Option<String> {
    rpc::status::reason(refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refund_waits_for_staff_and_is_made_when_they_try_again() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.provider.behave(json!({"refuse_refund": 1.0})).await;
    let order = shop.hold(&customer, 1000).await;
    shop.published.expect::<PaymentCaptured>().await;
    shop.cancel(order).await;
    let refund = shop.refused().await;
    assert_eq!((&*refund.order_id, refund.amount.clone()), (&*order.to_string(), Some(gbp(1000))));
    assert_eq!((refund.state(), &*refund.refusal), (RefundState::Refused, "refund_refused"));
    let tried = "refunds where attempts = 1 and leased_by is null";
    assert_eq!(shop.count(tried), 1, "nobody goes on asking");

    let by = UserId::mint();
    shop.provider.behave(json!({})).await;
    shop.retry(by, &refund).await.unwrap();
    let refunded: PaymentRefunded = shop.published.expect().await;
    assert_eq!((refunded.order_id, refunded.amount), (order.to_string(), Some(gbp(1000))));
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 1, net: 0 });
    shop.balanced(order).await;
    assert!(shop.refunds("").await.is_empty(), "nothing waits");
    let seen = shop.refunds(&order.to_string()).await.pop().unwrap();
    assert_eq!(seen.state(), RefundState::Refunded);
    let [decision] = &*seen.decisions else { panic!("{seen:?}") };
    assert_eq!(
        (decision.decision(), &*decision.user_id),
        (RefundDecision::Retry, &*by.to_string())
    );
    assert_eq!((&*decision.note, &*decision.refusal), ("the bank is back", "refund_refused"));
    for late in [shop.retry(by, &refund).await, shop.settle(by, &refund).await] {
        let refused = late.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused).as_deref(), Some("refund_ended"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_settled_by_hand_ends_and_is_in_the_ledger() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_no_refund").await;
    let order = shop.hold(&customer, 1000).await;
    shop.published.expect::<PaymentCaptured>().await;
    let id = ReturnId::mint();
    shop.give_back(order, id, 400).await;
    let refund = shop.refused().await;
    let (first, second) = (UserId::mint(), UserId::mint());
    shop.settle(first, &refund).await.unwrap();
    let again = shop.settle(second, &refund).await.unwrap();
    assert_eq!(again.state(), RefundState::SettledByHand);
    let [decision] = &*again.decisions else { panic!("{again:?}") };
    assert_eq!(decision.decision(), RefundDecision::SettledByHand);
    assert_eq!(decision.user_id, first.to_string(), "the first decision stands");

    let refunded: PaymentRefunded = shop.published.expect().await;
    assert_eq!((refunded.return_id, refunded.amount), (id.to_string(), Some(gbp(400))));
    assert_eq!(shop.events("PaymentRefunded", order), 1);
    let payment = shop.payment(customer.user, order).await.unwrap();
    assert_eq!((payment.state(), payment.refunded), (State::Captured, Some(gbp(400))));
    assert_eq!(shop.provider.of(order).await, Tally { captures: 1, refunds: 0, net: 1000 });
    let balance = |account: &str| {
        shop.sql(&format!("select balance_minor from balances where account = '{account}'"))
    };
    assert_eq!((balance("refunds"), balance("paid_by_hand")), ("400".into(), "-400".into()));
    assert_eq!(shop.sql("select sum(balance_minor) from balances"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_staff_see_refunds_and_decide_about_those_that_were_refused() {
    let shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    let request = shop.request(customer.user, ListRefundsRequest::default());
    let refused = shop.client().list_refunds(request).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::PermissionDenied, Some("staff_only"))
    );

    let order = shop.hold(&customer, 1000).await;
    shop.until(order, "captured").await;
    shop.provider.behave(json!({"hang": 1.0})).await;
    shop.cancel(order).await;
    let of_order = order.to_string();
    let refund = eventually("it is owed", SOON, async || shop.refunds(&of_order).await.pop()).await;
    let by = UserId::mint();
    let under_way = shop.settle(by, &refund).await.unwrap_err();
    assert_eq!(reason(&under_way).as_deref(), Some("refund_under_way"));
    let owed = shop.retry(by, &refund).await.unwrap();
    assert_eq!((owed.state(), owed.decisions.len()), (RefundState::Owed, 0), "it is tried anyway");
    for unknown in ["nothing", &format!("{}.cancellation", OrderId::mint())] {
        let unknown = Refund { refund_id: unknown.into(), ..Refund::default() };
        let refused = shop.retry(by, &unknown).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_deref()),
            (Code::NotFound, Some("refund_not_found"))
        );
    }
    let wordless = RetryRefundRequest { refund_id: refund.refund_id, note: " ".into() };
    let refused = shop.client().retry_refund(staff(&shop, by, wordless)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_that_wait_for_a_decision_come_in_pages() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_no_refund").await;
    let order = shop.hold(&customer, 1000).await;
    shop.published.expect::<PaymentCaptured>().await;
    for _ in 0..3 {
        shop.give_back(order, ReturnId::mint(), 100).await;
    }
    eventually("all were refused", SOON, async || {
        (shop.refunds("").await.len() == 3).then_some(())
    })
    .await;
    let (mut page_token, mut seen) = (String::new(), Vec::new());
    for expected in [2, 1] {
        let request = ListRefundsRequest { page_size: 2, page_token, ..Default::default() };
        let request = staff(&shop, UserId::mint(), request);
        let page = shop.client().list_refunds(request).await.unwrap().into_inner();
        assert_eq!(page.refunds.len(), expected);
        seen.extend(page.refunds.into_iter().map(|refund| refund.refund_id));
        page_token = page.next_page_token;
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((seen.len(), page_token), (3, String::new()));
}
