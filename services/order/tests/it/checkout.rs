//! The saga over the bus: one end per order, whatever arrives in which order and how often.

use kernel::{OrderId, UserId};
use proto::money::v1::Money;
use proto::order::v1::{
    CancelOrderRequest, CancelReason, Order, OrderCancelled, OrderConfirmed, OrderPlaced,
    OrderStockHeld, State,
};
use proto::payment::v1::{PaymentCaptured, PaymentDeclined};
use proto::product::v1::{StockRejected, StockReserved};
use proto::user::v1::UserErased;
use testkit::{Publisher, eventually};
use tonic::Code;

use crate::shop::{Customer, SOON, Shop, id, reason};

impl Shop {
    async fn reserved(&self, order: &Order) {
        let event = StockReserved { order_id: order.order_id.clone() };
        self.product.publish(id(order), &event).await;
    }

    async fn captured(&self, order: &Order) {
        let event = PaymentCaptured { order_id: order.order_id.clone(), amount: None };
        self.payment.publish(id(order), &event).await;
    }

    pub async fn confirmed(&self, customer: &Customer, key: &str) -> Order {
        let order = self.place(customer, key).await.unwrap();
        self.reserved(&order).await;
        self.reaches(customer, &order.order_id, State::StockHeld).await;
        self.captured(&order).await;
        self.reaches(customer, &order.order_id, State::Confirmed).await
    }

    pub async fn cancel(&self, customer: &Customer, id: &str) -> Result<Order, tonic::Status> {
        let request = customer.request(CancelOrderRequest { order_id: id.into() });
        Ok(self.client.clone().cancel_order(request).await?.into_inner().order.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_happy_checkout_publishes_each_step_once() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    let customer = shop.customer(200, 2);
    let order = shop.confirmed(&customer, "key").await;
    assert_eq!((order.version, order.steps.len()), (3, 3));
    assert!(order.steps.is_sorted_by_key(|step| step.at_unix_ms));
    published.expect::<OrderPlaced>().await;
    let held: OrderStockHeld = published.expect().await;
    assert!(held.pay_within_ms > 0, "{held:?}");
    assert_eq!(held.amount, Some(Money { currency: "GBP".into(), minor_units: 500 }));
    assert_eq!(held.payment_method_id, customer.payment_method.to_string());
    published.expect::<OrderConfirmed>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_stock_and_a_declined_card_cancel_with_their_reason() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    let customer = shop.customer(1, 1);
    let order = shop.place(&customer, "first").await.unwrap();
    let event = StockRejected { order_id: order.order_id.clone(), shortages: Vec::new() };
    shop.product.publish(id(&order), &event).await;
    let order = shop.reaches(&customer, &order.order_id, State::Cancelled).await;
    assert_eq!(order.cancel_reason(), CancelReason::OutOfStock);
    let event: OrderCancelled = published.find(|_| true).await;
    assert_eq!((event.order_id, &*event.reason), (order.order_id, "out_of_stock"));

    shop.fill(&customer, 2, 1);
    let order = shop.place(&customer, "second").await.unwrap();
    shop.reserved(&order).await;
    shop.reaches(&customer, &order.order_id, State::StockHeld).await;
    let declined = |order: &Order, expired| {
        let (order_id, reason) = (order.order_id.clone(), "why".to_owned());
        PaymentDeclined { order_id, reason, expired }
    };
    shop.payment.publish(id(&order), &declined(&order, false)).await;
    let order = shop.reaches(&customer, &order.order_id, State::Cancelled).await;
    assert_eq!(order.cancel_reason(), CancelReason::PaymentDeclined);

    shop.fill(&customer, 3, 1);
    let order = shop.place(&customer, "third").await.unwrap();
    shop.reserved(&order).await;
    shop.reaches(&customer, &order.order_id, State::StockHeld).await;
    shop.payment.publish(id(&order), &declined(&order, true)).await;
    let order = shop.reaches(&customer, &order.order_id, State::Cancelled).await;
    assert_eq!(order.cancel_reason(), CancelReason::Deadline, "nothing is wrong with the card");
}

#[tokio::test(flavor = "multi_thread")]
async fn late_and_repeated_signals_change_nothing() {
    let shop = Shop::open().await;
    let customer = shop.customer(1, 1);
    let order = shop.confirmed(&customer, "key").await;
    shop.reserved(&order).await;
    shop.captured(&order).await;
    let late = StockRejected { order_id: order.order_id.clone(), shortages: Vec::new() };
    shop.product.publish(id(&order), &late).await;
    let stranger = OrderId::mint();
    let nobody = StockReserved { order_id: stranger.to_string() };
    shop.product.publish(stranger, &nobody).await;
    eventually("all six are taken in", SOON, async || {
        (shop.rows("messaging.inbox") == 6).then_some(())
    })
    .await;
    assert_eq!(shop.order(&customer, &order.order_id).await.unwrap(), order);
    assert_eq!(shop.rows("messaging.outbox"), 3);
    assert_eq!(shop.rows("messaging.dead_letters"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_cancels_until_the_sale_and_not_after() {
    let shop = Shop::open().await;
    let customer = shop.customer(250, 1);
    let order = shop.place(&customer, "first").await.unwrap();
    for _ in 0..2 {
        let cancelled = shop.cancel(&customer, &order.order_id).await.unwrap();
        assert_eq!(cancelled.cancel_reason(), CancelReason::Customer);
    }
    assert_eq!(shop.rows("messaging.outbox"), 2, "the second time changes nothing");
    shop.fill(&customer, 2, 1);
    let sold = shop.confirmed(&customer, "second").await;
    let refused = shop.cancel(&customer, &sold.order_id).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(Err::<(), _>(refused)), "order_confirmed");
    let stranger = shop.customer(250, 1);
    assert_eq!(reason(shop.cancel(&stranger, &sold.order_id).await), "order_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_ends_what_nobody_answers() {
    let shop = Shop::with_deadline("1s").await;
    let (placed, held) = (shop.customer(1, 1), shop.customer(201, 1));
    let first = shop.place(&placed, "key").await.unwrap();
    let second = shop.place(&held, "key").await.unwrap();
    shop.reserved(&second).await;
    for (customer, order) in [(&placed, first), (&held, second)] {
        let order = shop.reaches(customer, &order.order_id, State::Cancelled).await;
        assert_eq!(order.cancel_reason(), CancelReason::Deadline);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_leaves_no_address() {
    let shop = Shop::open().await;
    let customer = shop.customer(7, 1);
    shop.place(&customer, "key").await.unwrap();
    assert_eq!(shop.rows("orders where ship_to is not null"), 1);
    let user = Publisher::new(&shop.world, "user").await;
    let erased: UserId = customer.user;
    user.publish(erased, &UserErased { user_id: erased.to_string() }).await;
    eventually("forgotten", SOON, async || {
        (shop.rows("orders where ship_to is null") == 1).then_some(())
    })
    .await;
}
