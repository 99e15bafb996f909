//! Returns: once per id, never more than was sold, refunded when payment says so.

use kernel::ReturnId;
use proto::order::v1::return_items_request::Item;
use proto::order::v1::{Order, OrderReturned, ReturnItemsRequest};
use proto::payment::v1::PaymentRefunded;
use testkit::eventually;
use tonic::Status;

use crate::shop::{Customer, SOON, Shop, id, reason};

impl Shop {
    async fn send_back(
        &self,
        customer: &Customer,
        order: &Order,
        return_id: ReturnId,
        quantity: i64,
    ) -> Result<Order, Status> {
        let request = ReturnItemsRequest {
            order_id: order.order_id.clone(),
            return_id: return_id.to_string(),
            items: vec![Item { product_id: customer.product.to_string(), quantity }],
        };
        let reply = self.client.clone().return_items(customer.request(request)).await?;
        Ok(reply.into_inner().order.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_accepted_once_and_refunded_once() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    let customer = shop.customer(42, 5);
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    for _ in 0..3 {
        let returned = shop.send_back(&customer, &order, return_id, 2).await.unwrap();
        assert_eq!((returned.lines[0].returned, returned.version), (2, order.version + 1));
    }
    let event: OrderReturned = published.find(|_| true).await;
    assert_eq!(event.refund.unwrap().minor_units, 500);
    assert_eq!(shop.rows("messaging.outbox where type like '%Returned'"), 1);

    let refunded = PaymentRefunded {
        order_id: order.order_id.clone(),
        return_id: return_id.to_string(),
        amount: None,
    };
    shop.payment.publish(id(&order), &refunded).await;
    shop.payment.publish(id(&order), &refunded).await; // another event that says the same
    eventually("both are taken in", SOON, async || {
        (shop.rows("messaging.inbox where consumer = 'order-from-payment'") == 3).then_some(())
    })
    .await;
    let order = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!(order.refunded.unwrap().minor_units, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sold_does_not_come_back() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 3);
    let order = shop.place(&customer, "first").await.unwrap();
    let early = shop.send_back(&customer, &order, ReturnId::mint(), 1).await;
    assert_eq!(reason(early), "order_not_confirmed");
    shop.fill(&customer, 2, 3);
    let order = shop.confirmed(&customer, "second").await;
    for wrong in [0, -1, 4] {
        let refused = shop.send_back(&customer, &order, ReturnId::mint(), wrong).await;
        assert_eq!(reason(refused), "not_returnable");
    }
    let together = (0..6).map(|_| shop.send_back(&customer, &order, ReturnId::mint(), 1));
    let answers = futures_util::future::join_all(together).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
    let stranger = shop.customer(42, 3);
    let theirs = shop.send_back(&stranger, &order, ReturnId::mint(), 1).await;
    assert_eq!(reason(theirs), "order_not_found");
}
