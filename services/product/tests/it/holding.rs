//! What orders do to the stock, in whatever order they are heard of.

use std::collections::BTreeSet;

use kernel::{OrderId, ProductId, ReturnId};
use proto::product::v1::{RetireProductRequest, StockRejected, StockReserved};
use testkit::{Published, eventually};

use crate::shop::{LIMIT, Orders, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_held_shipped_and_returned_once() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let mut published = Published::by(&shop.world, "product").await;
    let (cup, bowl) = (shop.add("cup", 10).await, shop.add("bowl", 5).await);
    let (order, back) = (OrderId::mint(), ReturnId::mint());
    for _ in 0..2 {
        // A product on two lines is one product.
        orders.placed(order, &[(cup, 2), (bowl, 5), (cup, 1)]).await;
    }
    let held = published.find(|event: &StockReserved| event.order_id == order.to_string());
    held.await;
    shop.has(cup, (10, 3, 0)).await;
    shop.has(bowl, (5, 5, 0)).await;
    assert_eq!((shop.product(cup).await.available, shop.product(bowl).await.available), (7, 0));
    for _ in 0..2 {
        orders.confirmed(order).await;
    }
    shop.has(cup, (7, 0, 3)).await;
    for _ in 0..2 {
        orders.returned(order, back, &[(cup, 2)]).await;
        orders.returned(order, ReturnId::mint(), &[(bowl, 1)]).await;
        orders.cancelled(order).await; // too late
    }
    shop.has(bowl, (2, 0, 3)).await;
    shop.has(cup, (9, 0, 1)).await;
    assert_eq!((shop.state(order), shop.drift()), ("shipped".into(), "0".into()));
    let verdicts = "select count(*) from messaging.outbox where type like '%Stock%'";
    assert_eq!(shop.sql(verdicts), "1");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_held_whole_is_rejected_whole() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let mut published = Published::by(&shop.world, "product").await;
    let (cup, bowl, unknown) =
        (shop.add("cup", 10).await, shop.add("bowl", 2).await, ProductId::mint());
    let order = OrderId::mint();
    orders.placed(order, &[(cup, 1), (bowl, 3), (unknown, 1)]).await;
    let rejected =
        published.find(|event: &StockRejected| event.order_id == order.to_string()).await;
    let shortages: BTreeSet<_> = rejected
        .shortages
        .into_iter()
        .map(|shortage| (shortage.product_id, shortage.wanted, shortage.available))
        .collect();
    let expected = [(bowl.to_string(), 3, 2), (unknown.to_string(), 1, 0)];
    assert_eq!(shortages, BTreeSet::from(expected));
    assert_eq!(shop.counts(cup).await, (10, 0, 0));
    orders.cancelled(order).await; // as the order context answers

    // What is cancelled can be sold to somebody else, and a retired product to whom it was promised.
    let (first, second) = (OrderId::mint(), OrderId::mint());
    orders.placed(first, &[(bowl, 2)]).await;
    shop.has(bowl, (2, 2, 0)).await;
    orders.cancelled(first).await;
    shop.has(bowl, (2, 0, 0)).await;
    let retire = RetireProductRequest { product_id: bowl.to_string() };
    shop.client.clone().retire_product(shop.staff(retire)).await.unwrap();
    orders.placed(second, &[(bowl, 2)]).await;
    orders.confirmed(second).await;
    shop.has(bowl, (0, 0, 2)).await;
    assert_eq!(shop.drift(), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_that_comes_before_its_order_leaves_nothing_to_hold() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let cup = shop.add("cup", 5).await;
    let (gone, sound) = (OrderId::mint(), OrderId::mint());
    orders.cancelled(gone).await;
    eventually("the tombstone", LIMIT, async || (shop.state(gone) == "released").then_some(()))
        .await;
    orders.placed(gone, &[(cup, 5)]).await;
    orders.confirmed(gone).await;
    orders.placed(sound, &[(cup, 1)]).await;
    shop.has(cup, (5, 1, 0)).await;
    assert_eq!(shop.state(gone), "released");
    let news = format!("select count(*) from messaging.outbox where aggregate_id = '{gone}'");
    assert_eq!(shop.sql(&news), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_that_overtakes_its_order_is_kept_for_it() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let (cup, order, back) = (shop.add("cup", 5).await, OrderId::mint(), ReturnId::mint());
    orders.returned(order, back, &[(cup, 1)]).await;
    eventually("the note", LIMIT, async || (shop.state(order) == "sold").then_some(())).await;
    orders.returned(order, back, &[(cup, 1)]).await;
    orders.placed(order, &[(cup, 3)]).await;
    shop.has(cup, (3, 0, 2)).await;
    orders.confirmed(order).await;
    orders.returned(order, ReturnId::mint(), &[(cup, 2)]).await;
    shop.has(cup, (5, 0, 0)).await;
    assert_eq!((shop.state(order), shop.drift()), ("shipped".into(), "0".into()));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_buyers_of_a_hundred_pieces_buy_exactly_a_hundred() {
    let mut shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let mut published = Published::by(&shop.world, "product").await;
    let cup = shop.add("cup", 100).await;
    let copy = shop.copy().await;
    let buyers: Vec<[OrderId; 2]> = (0..64).map(|_| [OrderId::mint(), OrderId::mint()]).collect();
    for (n, buyer) in buyers.iter().enumerate() {
        for order in buyer {
            orders.placed(*order, &[(cup, 1)]).await;
        }
        orders.placed(buyer[n % 2], &[(cup, 1)]).await; // told again, in another event
        if n % 20 == 10 {
            shop = shop.crash().await;
        }
    }
    let (mut reserved, mut rejected) = (BTreeSet::new(), BTreeSet::new());
    while reserved.len() + rejected.len() < 128 {
        let (kind, payload) = published.next(LIMIT).await.expect("a verdict on every order");
        match kind.rsplit('.').next().unwrap() {
            "StockReserved" => reserved.insert(verdict(&payload)),
            "StockRejected" => rejected.insert(verdict(&payload)),
            _ => false,
        };
    }
    assert_eq!((reserved.len(), rejected.len()), (100, 28));
    assert!(reserved.is_disjoint(&rejected));
    assert_eq!((shop.counts(cup).await, shop.drift()), ((100, 100, 0), "0".into()));
    for order in &reserved {
        orders.confirmed(order.parse().unwrap()).await;
    }
    shop.has(cup, (0, 0, 100)).await;
    assert_eq!(shop.drift(), "0");
    copy.stop().await;
    shop.running.stop().await;
}

/// The order that a verdict is about: the first field of both.
fn verdict(payload: &[u8]) -> String {
    let decoded: StockRejected = prost::Message::decode(payload).unwrap();
    decoded.order_id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_two_thousand_lines_is_served() {
    let shop = Shop::open().await;
    shop.sql(
        "insert into products (product_id, sku, name, description, category, price_minor, currency)
         select gen_random_uuid(), 'S' || n, 'Product ' || n, '', 'Many', 1, 'GBP'
         from generate_series(1, 2000) n;
         insert into stock (product_id, received, on_hand) select product_id, 9, 9 from products;
         insert into receipts (receipt, product_id, quantity) select sku, product_id, 9 from products;",
    );
    let ids = shop.sql("select product_id from products");
    let lines: Vec<(ProductId, i64)> = ids.lines().map(|id| (id.parse().unwrap(), 4)).collect();
    assert_eq!(lines.len(), 2_000);
    let orders = Orders::open(&shop.world).await;
    let [first, second, third] = [(); 3].map(|()| OrderId::mint());
    for order in [first, second, third] {
        orders.placed(order, &lines).await; // the third finds one piece of each
    }
    orders.confirmed(first).await;
    orders.cancelled(second).await;
    orders.returned(first, ReturnId::mint(), &lines[..1_999]).await;
    let states = "select string_agg(state, ' ' order by state) from reservations";
    eventually("all three are settled", LIMIT, async || {
        (shop.sql(states) == "rejected released shipped"
            && shop.sql("select count(*) from returns") == "1")
            .then_some(())
    })
    .await;
    let sums = "select sum(on_hand), sum(reserved), sum(shipped) from stock";
    assert_eq!(shop.sql(sums).replace('|', " "), "17996 0 4");
    assert_eq!(shop.drift(), "0");
    let largest = "select max(length(payload)) < 1000000 from messaging.outbox";
    assert_eq!(shop.sql(largest), "t", "a rejection fits into a message");
    shop.running.stop().await;
}
