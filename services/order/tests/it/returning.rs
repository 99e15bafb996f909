//! Returns: requested once per id, received or refused by staff once, refunded when payment says so.

use identity::Role;
use kernel::{OrderId, ProductId, ReturnId, UserId};
use proto::order::v1::{
    GetOrderRequest, ListReturnsRequest, ListReturnsResponse, Order, OrderReturned,
    ReceiveReturnRequest, RefuseReturnRequest, Return, ReturnItemsRequest, ReturnState,
    receive_return_request, return_items_request,
};
use proto::payment::v1::PaymentRefunded;
use testkit::eventually;
use tonic::{Request, Status};

use crate::shop::{Customer, SOON, Shop, id, reason};

const RETURNED: &str = "messaging.outbox where type like '%Returned'";

/// A member of staff.
struct Staff {
    user: UserId,
    bearer: String,
}

impl Staff {
    fn of(shop: &Shop) -> Self {
        let user = UserId::mint();
        Self { user, bearer: shop.world.bearer(user, Role::Staff) }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.parse().unwrap());
        request
    }
}

impl Shop {
    async fn send_back(
        &self,
        customer: &Customer,
        order: &Order,
        return_id: ReturnId,
        quantity: i64,
    ) -> Result<Order, Status> {
        let product_id = customer.product.to_string();
        let request = ReturnItemsRequest {
            order_id: order.order_id.clone(),
            return_id: return_id.to_string(),
            items: vec![return_items_request::Item { product_id, quantity }],
        };
        let reply = self.client.clone().return_items(customer.request(request)).await?;
        Ok(reply.into_inner().order.unwrap())
    }

    async fn receive(
        &self,
        staff: &Staff,
        order: &Order,
        return_id: ReturnId,
        quantity: i64,
        reason: &str,
    ) -> Result<Return, Status> {
        let product_id = order.lines[0].product_id.clone();
        let request = ReceiveReturnRequest {
            order_id: order.order_id.clone(),
            return_id: return_id.to_string(),
            items: vec![receive_return_request::Item { product_id, quantity }],
            reason: reason.into(),
        };
        let reply = self.client.clone().receive_return(staff.request(request)).await?;
        Ok(reply.into_inner().r#return.unwrap())
    }

    async fn refuse(
        &self,
        staff: &Staff,
        order: &Order,
        return_id: ReturnId,
        reason: &str,
    ) -> Result<Return, Status> {
        let request = RefuseReturnRequest {
            order_id: order.order_id.clone(),
            return_id: return_id.to_string(),
            reason: reason.into(),
        };
        let reply = self.client.clone().refuse_return(staff.request(request)).await?;
        Ok(reply.into_inner().r#return.unwrap())
    }

    async fn page(&self, staff: &Staff, page_size: u32, page_token: &str) -> ListReturnsResponse {
        let request = ListReturnsRequest { page_size, page_token: page_token.into() };
        self.client.clone().list_returns(staff.request(request)).await.unwrap().into_inner()
    }

    /// Payment gave the money back; and says it twice, in two events.
    async fn refunded(&self, order: &Order, return_id: ReturnId) {
        let event = PaymentRefunded {
            order_id: order.order_id.clone(),
            return_id: return_id.to_string(),
            amount: None,
        };
        let heard = self.rows("messaging.inbox where consumer = 'order-from-payment'");
        self.payment.publish(id(order), &event).await;
        self.payment.publish(id(order), &event).await;
        eventually("both are taken in", SOON, async || {
            let now = self.rows("messaging.inbox where consumer = 'order-from-payment'");
            (now == heard + 2).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_requested_received_and_refunded_each_once() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    let (customer, staff) = (shop.customer(42, 5), Staff::of(&shop));
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    for _ in 0..3 {
        let requested = shop.send_back(&customer, &order, return_id, 2).await.unwrap();
        let line = &requested.lines[0];
        assert_eq!((line.returned, line.return_requested), (0, 2));
        assert_eq!(requested.version, order.version + 1);
        assert_eq!(requested.returns[0].state(), ReturnState::Requested);
    }
    assert_eq!(shop.rows(RETURNED), 0, "nothing is refunded or on the shelf before it is here");

    for _ in 0..3 {
        let received = shop.receive(&staff, &order, return_id, 2, "").await.unwrap();
        assert_eq!(received.state(), ReturnState::Received);
        assert_eq!((received.items[0].received, received.decided_by), (2, staff.user.to_string()));
    }
    let event: OrderReturned = published.find(|_| true).await;
    assert_eq!((event.refund.unwrap().minor_units, event.lines[0].quantity), (500, 2));
    assert_eq!(shop.rows(RETURNED), 1);
    let seen = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!((seen.lines[0].returned, seen.lines[0].return_requested), (2, 0));
    assert_eq!(seen.returns[0].decided_by, "", "who of the staff it was is not the customer's");

    shop.refunded(&order, return_id).await;
    let order = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!(order.refunded.unwrap().minor_units, 500);
    let done = &order.returns[0];
    assert_eq!(done.state(), ReturnState::Refunded);
    let steps = [done.requested_at_unix_ms, done.decided_at_unix_ms, done.refunded_at_unix_ms];
    assert!(steps[0] > 0 && steps.is_sorted(), "{steps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_id_with_other_items_is_refused() {
    let shop = Shop::open().await;
    let customer = shop.customer(42, 5);
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    shop.send_back(&customer, &order, return_id, 1).await.unwrap();
    let other = shop.send_back(&customer, &order, return_id, 2).await;
    assert_eq!(reason(other), "idempotency_key_reused");
    let same = shop.send_back(&customer, &order, return_id, 1).await.unwrap();
    assert_eq!((same.returns.len(), same.lines[0].return_requested), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_duplicates_of_a_return_are_one_return() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer(200, 5), Staff::of(&shop));
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    let requests = (0..20).map(|_| shop.send_back(&customer, &order, return_id, 1));
    for answer in futures_util::future::join_all(requests).await {
        assert_eq!(answer.unwrap().lines[0].return_requested, 1);
    }
    let receipts = (0..20).map(|_| shop.receive(&staff, &order, return_id, 1, ""));
    let receipts = futures_util::future::join_all(receipts).await;
    let first = receipts[0].as_ref().unwrap();
    assert!(receipts.iter().all(|receipt| receipt.as_ref().unwrap() == first));
    assert_eq!((shop.rows("returns"), shop.rows(RETURNED)), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sold_does_not_come_back() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer(42, 3), Staff::of(&shop));
    let order = shop.place(&customer, "first").await.unwrap();
    let early = shop.send_back(&customer, &order, ReturnId::mint(), 1).await;
    assert_eq!(reason(early), "order_not_confirmed");
    shop.fill(&customer, 2, 3);
    let order = shop.confirmed(&customer, "second").await;
    for wrong in [0, -1] {
        let refused = shop.send_back(&customer, &order, ReturnId::mint(), wrong).await;
        assert_eq!(reason(refused), "invalid");
    }
    let return_id = ReturnId::mint();
    shop.send_back(&customer, &order, return_id, 1).await.unwrap();
    shop.receive(&staff, &order, return_id, 1, "").await.unwrap();
    let together = (0..6).map(|_| shop.send_back(&customer, &order, ReturnId::mint(), 1));
    let answers = futures_util::future::join_all(together).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    let refused = shop.send_back(&customer, &order, ReturnId::mint(), 1).await.unwrap_err();
    assert_eq!(rpc::status::reason(&refused).as_deref(), Some("not_returnable"));
    let numbers = "3 bought, 1 returned, 2 on their way back";
    assert!(refused.message().ends_with(numbers), "{}", refused.message());
    let stranger = shop.customer(42, 3);
    let theirs = shop.send_back(&stranger, &order, ReturnId::mint(), 1).await;
    assert_eq!(reason(theirs), "order_not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_received_in_part_is_refunded_in_part() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    let (customer, staff) = (shop.customer(42, 3), Staff::of(&shop));
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    shop.send_back(&customer, &order, return_id, 3).await.unwrap();
    let silent = shop.receive(&staff, &order, return_id, 2, " ").await;
    assert_eq!(reason(silent), "reason_missing");
    let more = shop.receive(&staff, &order, return_id, 4, "").await;
    assert_eq!(reason(more), "not_requested");
    let nothing = shop.receive(&staff, &order, return_id, 0, "").await;
    assert_eq!(reason(nothing), "nothing_received");
    let received = shop.receive(&staff, &order, return_id, 2, "one is broken").await.unwrap();
    assert_eq!((received.items[0].quantity, received.items[0].received), (3, 2));
    assert_eq!(received.reason, "one is broken");
    let event: OrderReturned = published.find(|_| true).await;
    assert_eq!((event.refund.unwrap().minor_units, event.lines[0].quantity), (500, 2));
    let other = shop.receive(&staff, &order, return_id, 3, "").await;
    assert_eq!(reason(other), "return_already_received");

    let left = shop.send_back(&customer, &order, ReturnId::mint(), 1).await.unwrap();
    assert_eq!((left.lines[0].returned, left.lines[0].return_requested), (2, 1));
    shop.refunded(&order, return_id).await;
    let order = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!(order.refunded.unwrap().minor_units, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_return_is_neither_received_nor_refunded() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer(42, 2), Staff::of(&shop));
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    shop.send_back(&customer, &order, return_id, 2).await.unwrap();
    assert_eq!(reason(shop.refuse(&staff, &order, return_id, "").await), "reason_missing");
    let long = "a".repeat(201);
    assert_eq!(reason(shop.refuse(&staff, &order, return_id, &long).await), "invalid");
    let refused = shop.refuse(&staff, &order, return_id, "worn").await.unwrap();
    assert_eq!((refused.state(), &*refused.reason), (ReturnState::Refused, "worn"));
    assert_eq!(refused.refund.as_ref().unwrap().minor_units, 0);
    assert_eq!(shop.refuse(&staff, &order, return_id, "worn").await.unwrap(), refused);
    let late = shop.receive(&staff, &order, return_id, 2, "").await;
    assert_eq!(reason(late), "return_already_refused");
    let other = shop.refuse(&staff, &order, return_id, "dirty").await;
    assert_eq!(reason(other), "return_already_refused");

    shop.refunded(&order, return_id).await; // which nobody has asked for
    let seen = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!(seen.refunded.unwrap().minor_units, 0);
    assert_eq!(seen.returns[0].state(), ReturnState::Refused);
    assert_eq!(shop.rows(RETURNED), 0);
    shop.send_back(&customer, &order, ReturnId::mint(), 2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_sees_what_is_on_its_way_back_of_all_shards() {
    let shop = Shop::open().await;
    let staff = Staff::of(&shop);
    let mut sent = Vec::new();
    for shard in [0, 255, 1, 254] {
        let customer = shop.customer(shard, 1);
        let order = shop.confirmed(&customer, "key").await;
        let return_id = ReturnId::mint();
        shop.send_back(&customer, &order, return_id, 1).await.unwrap();
        sent.push((return_id, order));
    }
    shop.receive(&staff, &sent[1].1, sent[1].0, 1, "").await.unwrap();
    let wanted: Vec<_> = [0, 2, 3].iter().map(|at: &usize| sent[*at].0.to_string()).collect();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = shop.page(&staff, 2, &token).await;
        seen.extend(page.returns.into_iter().map(|found| found.return_id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, wanted, "oldest first, without what is received");
    let request = ListReturnsRequest { page_size: 0, page_token: "1.2".into() };
    let refused = shop.client.clone().list_returns(staff.request(request)).await;
    assert_eq!(reason(refused), "invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_staff_receives_and_sees_everybodys_returns() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer(42, 1), Staff::of(&shop));
    let order = shop.confirmed(&customer, "key").await;
    let return_id = ReturnId::mint();
    shop.send_back(&customer, &order, return_id, 1).await.unwrap();
    let as_customer = Staff { user: customer.user, bearer: customer.bearer.clone() };
    assert_eq!(reason(shop.receive(&as_customer, &order, return_id, 1, "").await), "staff_only");
    assert_eq!(reason(shop.refuse(&as_customer, &order, return_id, "no").await), "staff_only");
    let list = as_customer.request(ListReturnsRequest::default());
    assert_eq!(reason(shop.client.clone().list_returns(list).await), "staff_only");

    let nothing = shop.receive(&staff, &order, ReturnId::mint(), 1, "").await;
    assert_eq!(reason(nothing), "return_not_found");
    let nowhere = Order { order_id: OrderId::mint().to_string(), ..order.clone() };
    let nothing = shop.receive(&staff, &nowhere, return_id, 1, "").await;
    assert_eq!(reason(nothing), "order_not_found");
    let request = staff.request(GetOrderRequest { order_id: order.order_id });
    assert_eq!(reason(shop.client.clone().get_order(request).await), "order_not_found");
}

/// What a copy of the release before writes beside us, and what it wrote before the migration.
#[tokio::test(flavor = "multi_thread")]
async fn a_return_of_the_release_before_is_refunded_without_a_receipt() {
    let shop = Shop::open().await;
    let (customer, staff) = (shop.customer(0, 3), Staff::of(&shop));
    let order = shop.confirmed(&customer, "key").await;
    let (return_id, order_id) = (ReturnId::mint(), id(&order));
    let product: ProductId = customer.product;
    let write = |quantity: i64| {
        format!(
            "with new_return as (
                 insert into returns (shard, order_id, return_id, items, refund_minor)
                 values (0, '{order_id}', '{return_id}', '[[\"{product}\", 1]]', 250)
             ), grown as (
                 update orders set version = version + 1 where order_id = '{order_id}'
             )
             update order_lines set returned = returned + {quantity} where order_id = '{order_id}'"
        )
    };
    shop.world.sql(&shop.databases[0], &write(1));
    let seen = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!(seen.returns[0].state(), ReturnState::Received);
    assert_eq!((seen.returns[0].items[0].received, seen.returns[0].decided_at_unix_ms), (1, 0));
    let late = shop.receive(&staff, &order, return_id, 1, "").await;
    assert_eq!(reason(late), "return_already_received");
    shop.refunded(&order, return_id).await;
    let seen = shop.order(&customer, &order.order_id).await.unwrap();
    assert_eq!(seen.refunded.unwrap().minor_units, 250);
    assert_eq!(seen.returns[0].state(), ReturnState::Refunded);

    let ours = ReturnId::mint();
    shop.send_back(&customer, &order, ours, 2).await.unwrap();
    let more = format!(
        "do $$ begin {}; raise 'taken'; exception when check_violation then null; end $$",
        write(1).replace(&return_id.to_string(), &ReturnId::mint().to_string())
    );
    shop.world.sql(&shop.databases[0], &more);
}
