//! Placing an order: once per key, once per cart, at the price of the moment.

use futures_util::future::join_all;
use kernel::ProductId;
use proto::cart::v1::list_unresolved_checkouts_response::Checkout;
use proto::cart::v1::{Cart, CheckoutOutcome, Item};
use proto::money::v1::Money;
use proto::order::v1::{ListOrdersRequest, OrderPlaced, PlaceOrderRequest, State, TotalChanged};
use proto::product::v1::StockRejected;
use rpc::status::{detail, fields};
use testkit::eventually;
use tonic::Code;

use crate::neighbours::product;
use crate::shop::{Customer, SOON, Shop, id, reason, same};

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

/// What a checkout leaves behind that dies after the lines have left the cart.
async fn cut_off(shop: &Shop, customer: &Customer, key: &str) -> String {
    *shop.neighbours.answers_lost.lock().unwrap() = 1;
    let refused = shop.place(customer, key).await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    shop.neighbours.cart(customer).checkout_order_ids.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_checkout_excludes_lines_already_ordered() {
    let shop = Shop::open().await;
    for shard in [9, 209] {
        let mut customer = shop.customer(shard, 1);
        let first = shop.place(&customer, "first").await.unwrap();
        // Something else is put in; cart has heard nothing of the order, and never does.
        let cup = customer.product;
        shop.change_product(&mut customer);
        shop.put(&customer, 2);
        let second = shop.place(&customer, "second").await.unwrap();
        let bought: Vec<_> = [&first, &second].map(|order| order.lines.clone()).concat();
        let bought: Vec<_> =
            bought.into_iter().map(|line| (line.product_id, line.quantity)).collect();
        assert_eq!(bought, [(cup.to_string(), 1), (customer.product.to_string(), 2)]);
        assert_eq!(reason(shop.place(&customer, "third").await), "cart_already_ordered");
    }
    assert_eq!(shop.rows("orders"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_was_cut_off_is_taken_up_by_the_next_one() {
    let shop = Shop::open().await;
    for (shard, next) in [(9, "key"), (209, "another-key")] {
        let customer = shop.customer(shard, 2);
        let cut_off = cut_off(&shop, &customer, "key").await;
        assert_eq!(shop.rows("orders"), usize::from(shard != 9));
        let order = shop.place(&customer, next).await.unwrap();
        assert_eq!((&order.order_id, order.lines[0].quantity), (&cut_off, 2));
    }
    assert_eq!(shop.rows("orders"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_checkout_that_was_cut_off_is_taken_up_and_never_what_was_taken_back() {
    let shop = Shop::open().await;
    let customer = shop.customer(9, 1);
    cut_off(&shop, &customer, "older").await;
    shop.put(&customer, 3);
    let newer = cut_off(&shop, &customer, "newer").await;
    shop.put(&customer, 2);
    let taken_back = cut_off(&shop, &customer, "taken-back").await;
    shop.neighbours.checkouts.lock().unwrap().get_mut(&taken_back).unwrap().items.clear();
    assert_eq!(reason(shop.place(&customer, "taken-back").await), "cart_empty");
    let outcome = (taken_back, CheckoutOutcome::Returned);
    assert_eq!(*shop.neighbours.outcomes.lock().unwrap(), [outcome]);
    let order = shop.place(&customer, "newer").await.unwrap();
    assert_eq!((&order.order_id, order.lines[0].quantity), (&newer, 3));
    assert_eq!(shop.rows("orders"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_nobody_takes_up_is_given_back_and_never_written() {
    let shop = Shop::open().await;
    let (abandoned, placed) = (shop.customer(9, 2), shop.customer(209, 1));
    let cut_off = cut_off(&shop, &abandoned, "key").await;
    let order = shop.place(&placed, "key").await.unwrap();
    let stale = [(&abandoned, &cut_off), (&placed, &order.order_id)];
    *shop.neighbours.unresolved.lock().unwrap() = stale.map(stale_checkout).into();
    eventually("what is in the order stays there, the rest goes back", SOON, async || {
        let outcomes = shop.neighbours.outcomes.lock().unwrap().clone();
        let told = |id: &String, outcome| outcomes.contains(&(id.clone(), outcome));
        let both = told(&cut_off, CheckoutOutcome::Returned)
            && told(&order.order_id, CheckoutOutcome::UnderWay);
        both.then_some(())
    })
    .await;
    shop.neighbours.unresolved.lock().unwrap().clear();
    assert_eq!(shop.neighbours.cart(&abandoned).items[0].quantity, 2);
    // Whoever still works at it, ever so slow, does not get it written: the lines go back once more,
    // and become another order.
    shop.neighbours.give_again(&abandoned, &cut_off);
    let order = shop.place(&abandoned, "key").await.unwrap();
    assert_ne!(order.order_id, cut_off);
    assert_eq!(shop.rows("orders"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_cancelled_gives_its_lines_back_when_cart_has_not_heard() {
    let shop = Shop::open().await;
    let (unwanted, unsold) = (shop.customer(9, 1), shop.customer(209, 1));
    let mut stale = Vec::new();
    for customer in [&unwanted, &unsold] {
        let order = shop.place(customer, "key").await.unwrap();
        stale.push(stale_checkout((customer, &order.order_id)));
        if customer.user == unwanted.user {
            shop.cancel(customer, &order.order_id).await.unwrap();
        } else {
            let event = StockRejected { order_id: order.order_id.clone(), shortages: vec![] };
            shop.product.publish(id(&order), &event).await;
            shop.reaches(customer, &order.order_id, State::Cancelled).await;
        }
    }
    *shop.neighbours.unresolved.lock().unwrap() = stale;
    eventually("both are resolved", SOON, async || {
        shop.neighbours.unresolved.lock().unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(shop.neighbours.cart(&unwanted).items.len(), 0);
    assert_eq!(shop.neighbours.cart(&unsold).items.len(), 1);
}

fn stale_checkout((customer, order): (&Customer, &String)) -> Checkout {
    Checkout { cart_id: customer.user.to_string(), order_id: order.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_the_customer_has_not_agreed_to_is_refused_and_leaves_the_cart_as_it_is() {
    let shop = Shop::open().await;
    let customer = shop.customer(5, 2);
    let place = |currency: &str, minor_units| {
        let expected = Money { currency: currency.into(), minor_units };
        shop.place_for(&customer, "key", Some(expected))
    };
    shop.neighbours.products.lock().unwrap()[0].previous_price =
        Some(Money { currency: "GBP".into(), minor_units: 240 });
    let refused = place("GBP", 480).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let told: TotalChanged = detail(&refused, "souk.order.v1.TotalChanged").unwrap();
    assert_eq!(told.total.unwrap().minor_units, 500);
    let line = &told.lines[0];
    let minor = |money: &Option<Money>| money.as_ref().unwrap().minor_units;
    assert_eq!((minor(&line.unit_price), minor(&line.previous_unit_price)), (250, 240));
    assert_eq!((&line.product_id, line.quantity), (&customer.product.to_string(), 2));
    for (currency, minor_units) in [("EUR", 500), ("XXX", 500), ("GBP", -1), ("", 500)] {
        let refused = place(currency, minor_units).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{currency} {minor_units}");
        assert_eq!(fields(&refused)[0].0, "expected_total");
    }
    assert_eq!(shop.neighbours.cart(&customer).version, 1);
    let order = place("GBP", 500).await.unwrap();
    // The agreement is part of the request.
    assert_eq!(place("GBP", 500).await.unwrap(), order);
    assert_eq!(reason(place("GBP", 480).await), "idempotency_key_reused");
    assert_eq!(reason(shop.place(&customer, "key").await), "idempotency_key_reused");
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
