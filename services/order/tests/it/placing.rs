//! Placing an order: once per key, once per cart, at the price of the moment.

use futures_util::future::join_all;
use kernel::ProductId;
use proto::cart::v1::{Cart, Item};
use proto::order::v1::{ListOrdersRequest, OrderPlaced, PlaceOrderRequest, State};
use tonic::Code;

use crate::neighbours::product;
use crate::shop::{Shop, id, reason, same};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_written_priced_and_published_on_the_shard_of_its_user() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    for shard in [0, 100, 200, 255] {
        let customer = shop.customer(shard, 3);
        let order = shop.place(&customer, "key").await.unwrap();
        assert_eq!(id(&order).shard().0, shard);
        assert_eq!((order.state(), order.version), (State::Placed, 1));
        assert_eq!(order.total.as_ref().unwrap().minor_units, 750);
        let event: OrderPlaced = published.expect().await;
        assert!(same(&event, &order));
        assert_eq!((event.lines[0].quantity, event.cart_version), (3, 1));
        assert_eq!(event.cart_id, customer.user.to_string());
        assert_eq!(shop.order(&customer, &order.order_id).await.unwrap(), order);
    }
    for url in &shop.databases {
        let here = shop.world.sql(url, "select 'n=' || count(*) from orders");
        assert!(here.contains("n=2"), "half of them on each database: {here}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_duplicates_with_one_key_are_one_order() {
    let shop = Shop::open().await;
    let customer = shop.customer(9, 1);
    let answers = join_all((0..100).map(|_| shop.place(&customer, "same"))).await;
    let (placed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let placed: Vec<_> = placed.into_iter().flatten().collect();
    assert!(placed.iter().all(|order| *order == placed[0]), "equal answers");
    for refusal in refused {
        assert_eq!(reason(refusal), "idempotency_key_in_flight");
    }
    assert_eq!(shop.rows("orders"), 1);
    // The cart is empty by now; the key still answers.
    shop.fill(&customer, 2, 0);
    assert_eq!(shop.place(&customer, "same").await.unwrap(), placed[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_another_request_is_refused() {
    let shop = Shop::open().await;
    let mut customer = shop.customer(9, 1);
    shop.place(&customer, "key").await.unwrap();
    customer.payment_method = kernel::PaymentMethodId::mint();
    assert_eq!(reason(shop.place(&customer, "key").await), "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_buy_one_cart_once() {
    let shop = Shop::open().await;
    let customer = shop.customer(77, 1);
    let tabs = (0..10).map(|tab| {
        let (shop, customer) = (&shop, &customer);
        async move { shop.place(customer, &format!("tab-{tab}")).await }
    });
    let answers = join_all(tabs).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for refusal in answers.into_iter().filter(Result::is_err) {
        assert_eq!(reason(refusal), "cart_already_ordered");
    }
    shop.fill(&customer, 2, 1);
    shop.place(&customer, "later").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_stable_reasons_and_are_not_remembered() {
    let shop = Shop::open().await;
    let customer = shop.customer(3, 0);
    assert_eq!(reason(shop.place(&customer, "key").await), "cart_empty");
    *shop.neighbours.without_address.lock().unwrap() = true;
    shop.fill(&customer, 2, 1);
    assert_eq!(reason(shop.place(&customer, "key").await), "address_missing");
    *shop.neighbours.without_address.lock().unwrap() = false;
    shop.neighbours.products.lock().unwrap().clear();
    assert_eq!(reason(shop.place(&customer, "key").await), "product_unavailable");
    let other = shop.customer(3, 1);
    shop.place(&other, "key").await.unwrap(); // the key is the customer's own
    let bad_key = shop.place(&other, "not visible").await.unwrap_err();
    assert_eq!(bad_key.code(), Code::InvalidArgument);
    let anonymous = shop.client.clone().place_order(PlaceOrderRequest::default()).await;
    assert_eq!(anonymous.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_its_customers_own() {
    let shop = Shop::open().await;
    let (mine, other) = (shop.customer(5, 1), shop.customer(5, 1));
    let order = shop.place(&mine, "key").await.unwrap();
    assert_eq!(reason(shop.order(&other, &order.order_id).await), "order_not_found");
    assert_eq!(reason(shop.order(&mine, "nonsense").await), "order_not_found");
    let list = |page_size, page_token: &str| {
        let request = ListOrdersRequest { page_size, page_token: page_token.into() };
        let request = mine.request(request);
        let mut client = shop.client.clone();
        async move { client.list_orders(request).await.unwrap().into_inner() }
    };
    for version in 2..=5 {
        shop.fill(&mine, version, 1);
        shop.place(&mine, &format!("key {version}").replace(' ', "-")).await.unwrap();
    }
    let first = list(3, "").await;
    let second = list(3, &first.next_page_token).await;
    assert_eq!((first.orders.len(), second.orders.len()), (3, 2));
    assert_eq!(second.orders[1].order_id, order.order_id, "newest first");
    assert_eq!(second.next_page_token, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_may_have_two_thousand_lines_and_no_more() {
    let shop = Shop::open().await;
    for (lines, allowed) in [(2_000, true), (2_001, false)] {
        let customer = shop.customer(8, 1);
        let products: Vec<_> = (0..lines).map(|_| product(ProductId::mint().to_string())).collect();
        let items = products
            .iter()
            .map(|product| Item { product_id: product.product_id.clone(), quantity: 2 });
        let cart = Cart { version: 1, items: items.collect(), ..Cart::default() };
        shop.neighbours.carts.lock().unwrap().insert(customer.user.to_string(), cart);
        *shop.neighbours.products.lock().unwrap() = products;
        let placed = shop.place(&customer, "key").await;
        if allowed {
            let order = placed.unwrap();
            assert_eq!(order.lines.len(), lines);
            assert_eq!(order.total.unwrap().minor_units, 2_000 * 2 * 250);
        } else {
            assert_eq!(reason(placed), "too_many_lines");
        }
    }
}
