//! Bestsellers, categories, and what is bought together.

use kernel::{OrderId, ProductId, ReturnId};
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    AddProductRequest, ListBestsellersRequest, ListBoughtTogetherRequest, ListCategoriesRequest,
    Product, RetireProductRequest,
};
use rpc::Channel;
use rpc::status::fields;
use sqlx::{Connection as _, Executor as _, PgConnection};
use testkit::{Running, eventually};
use tonic::Code;

use crate::shop::{LIMIT, Orders, Shop, offer};

type Client = ProductServiceClient<Channel>;

/// A copy that refreshes the views so often.
async fn copy(shop: &Shop, every: &str) -> (Running, Client) {
    let service = shop.world.service("product").databases(std::slice::from_ref(&shop.url));
    let service = service.nats().tokens().arg("--refresh-interval", every);
    let running = service.start(product::run).await;
    let channel = shop.world.channel("gateway", "product", &[running.address]);
    (running, ProductServiceClient::new(channel))
}

async fn add(shop: &Shop, name: &str, category: &str) -> ProductId {
    let request = AddProductRequest { category: category.to_owned(), ..offer(name, 100) };
    shop.try_add(request).await.unwrap().product_id.parse().unwrap()
}

async fn sell(orders: &Orders, lines: &[(ProductId, i64)]) {
    let order = OrderId::mint();
    for _ in 0..2 {
        orders.placed(order, lines).await;
        orders.confirmed(order).await;
    }
}

fn ranked(found: impl Iterator<Item = (Option<Product>, i64)>) -> Vec<(ProductId, i64)> {
    found.map(|(product, n)| (product.unwrap().product_id.parse().unwrap(), n)).collect()
}

/// With when they were precomputed.
async fn bestsellers(
    client: &Client,
    category: &str,
    page_size: u32,
) -> (Vec<(ProductId, i64)>, i64) {
    let request = ListBestsellersRequest { page_size, category: category.to_owned() };
    let found = client.clone().list_bestsellers(request).await.unwrap().into_inner();
    (ranked(found.products.into_iter().map(|it| (it.product, it.pieces))), found.as_of_unix_ms)
}

async fn with(client: &Client, id: ProductId, page_size: u32) -> Vec<(ProductId, i64)> {
    let request = ListBoughtTogetherRequest { product_id: id.to_string(), page_size };
    let found = client.clone().list_bought_together(request).await.unwrap().into_inner();
    ranked(found.products.into_iter().map(|it| (it.product, it.orders)))
}

async fn categories(client: &Client) -> Vec<(String, i64)> {
    let found = client.clone().list_categories(ListCategoriesRequest {}).await.unwrap();
    let found = found.into_inner().categories.into_iter();
    found.map(|it| (it.name, it.products)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sells_is_precomputed_by_some_copy_for_all() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let (first, one) = copy(&shop, "50ms").await;
    let (second, other) = copy(&shop, "0s").await;
    let (cup, plate) = (add(&shop, "cup", "Kitchen").await, add(&shop, "plate", "Kitchen").await);
    let (card, dull) = (add(&shop, "card", "Gifts").await, add(&shop, "dull", "Gifts").await);
    let (_, before) = bestsellers(&other, "", 20).await;
    sell(&orders, &[(cup, 2), (card, 9)]).await;
    sell(&orders, &[(cup, 3), (plate, 4)]).await;
    let undone = OrderId::mint();
    orders.placed(undone, &[(dull, 50)]).await;
    orders.cancelled(undone).await;
    let shown = eventually("one refreshes, the other shows it", 4 * LIMIT, async || {
        let (all, as_of) = bestsellers(&other, "", 20).await;
        (all == [(card, 9), (cup, 5), (plate, 4)]).then_some(as_of)
    });
    assert!(shown.await > before, "with the time of the refresh");
    let of_category = eventually("of a category", 4 * LIMIT, async || {
        (bestsellers(&other, "Kitchen", 20).await.0 == [(cup, 5), (plate, 4)]).then_some(())
    });
    of_category.await;
    assert_eq!(bestsellers(&other, "Kitchen", 1).await.0, [(cup, 5)]);
    assert_eq!(bestsellers(&one, "No such", 20).await.0, []);
    let counted = eventually("categories are counted", 4 * LIMIT, async || {
        (categories(&other).await == [("Gifts".into(), 2), ("Kitchen".into(), 2)]).then_some(())
    });
    counted.await;

    let request = RetireProductRequest { product_id: cup.to_string() };
    other.clone().retire_product(shop.staff(request)).await.unwrap();
    assert_eq!(bestsellers(&other, "", 2).await.0, [(card, 9), (plate, 4)], "is off sale at once");
    for copy in [first, second, shop.running] {
        copy.stop().await;
    }
}

/// The refresh of one copy is held up. Meanwhile everybody reads, and the other copy leaves it to that one.
#[tokio::test(flavor = "multi_thread")]
async fn copies_refresh_a_view_one_at_a_time_and_readers_do_not_wait() {
    let shop = Shop::open().await;
    let (first, one) = copy(&shop, "50ms").await;
    let (second, other) = copy(&shop, "50ms").await;
    let mut held = PgConnection::connect(&shop.url).await.unwrap();
    held.execute("begin; lock table reservations in access exclusive mode").await.unwrap();
    let refreshing = "select pid from pg_stat_activity where datname = current_database()
        and query like 'refresh%bestsellers%' and wait_event_type = 'Lock' and pid <> pg_backend_pid()";
    let mut category = 0;
    // A refresh is given up after eight seconds. Then it is due after 160, less than a lease: that is not waited for.
    let pauses = "due_at between now() + interval '130 s' and now() + interval '250 s'";
    let again = format!("update refreshes set due_at = now() where {pauses}");
    let read_meanwhile = eventually("both read during a refresh", 8 * LIMIT, async || {
        shop.sql(&again);
        let before = shop.sql(refreshing);
        for client in [&one, &other] {
            category += 1; // not in memory
            assert_eq!(bestsellers(client, &category.to_string(), 20).await.0, []);
        }
        let after = shop.sql(refreshing);
        assert!(before.lines().count() <= 1 && after.lines().count() <= 1, "one at a time");
        (!before.is_empty() && before == after).then_some(())
    });
    read_meanwhile.await;
    let given_up = format!("select count(*) from refreshes where {pauses}");
    let pausing = async || (shop.sql(&given_up) == "1").then_some(());
    eventually("it is given up", LIMIT, pausing).await;
    for _ in 0..20 {
        assert_eq!(shop.sql(refreshing), "", "no copy tries again");
    }
    held.execute("commit").await.unwrap();
    for copy in [first, second, shop.running] {
        copy.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_counts_once_in_what_is_bought_together() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let (cup, plate) = (shop.add("cup", 50).await, shop.add("plate", 50).await);
    let fork = shop.add("fork", 50).await;
    sell(&orders, &[(cup, 1), (plate, 6), (fork, 6)]).await;
    sell(&orders, &[(plate, 1), (cup, 1)]).await;
    sell(&orders, &[(fork, 3)]).await;
    let early = OrderId::mint(); // its confirmation comes first, and a return too
    orders.returned(early, ReturnId::mint(), &[(cup, 1)]).await;
    orders.placed(early, &[(cup, 1), (plate, 1)]).await;
    let undone = OrderId::mint();
    orders.placed(undone, &[(cup, 1), (fork, 1)]).await;
    orders.cancelled(undone).await;
    let short = OrderId::mint();
    orders.placed(short, &[(cup, 1_000), (fork, 1)]).await;
    orders.confirmed(short).await;
    shop.has(cup, (48, 0, 2)).await;
    shop.has(fork, (41, 0, 9)).await;
    let counted = eventually("they are counted", LIMIT, async || {
        let counted = with(&shop.client, cup, 20).await == [(plate, 3), (fork, 1)];
        (counted && with(&shop.client, fork, 1).await.len() == 1).then_some(())
    });
    counted.await;
    assert_eq!(with(&shop.client, plate, 20).await, [(cup, 3), (fork, 1)]);
    assert_eq!(with(&shop.client, plate, 1).await, [(cup, 3)]);

    // Of three months: rows of the two before count, older ones do not.
    let months = "insert into bought_together select (month - make_interval(months => back))::date, product_id, with_id, 10
        from bought_together cross join generate_series(1, 4) back";
    shop.sql(months);
    let three = eventually("the months before count", LIMIT, async || {
        let found = with(&shop.client, cup, 20).await;
        // It may be the next month by now: then two of them count.
        ([[(plate, 23), (fork, 21)], [(plate, 13), (fork, 11)]].iter().any(|it| found == it))
            .then_some(())
    });
    three.await;

    let request = RetireProductRequest { product_id: plate.to_string() };
    shop.client.clone().retire_product(shop.staff(request)).await.unwrap();
    let left: Vec<_> = with(&shop.client, cup, 1).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(left, [fork], "what is off sale is skipped");
    let alone = shop.add("spoon", 1).await;
    assert_eq!(with(&shop.client, alone, 20).await, []);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_names_its_field() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 1).await;
    let together = async |product_id: String, page_size| {
        let request = ListBoughtTogetherRequest { product_id, page_size };
        shop.client.clone().list_bought_together(request).await.unwrap_err()
    };
    assert_eq!(together(ProductId::mint().to_string(), 0).await.code(), Code::NotFound);
    assert_eq!(fields(&together(cup.to_string(), 101).await)[0].0, "page_size");
    for (category, page_size, field) in [
        ("\0".to_owned(), 0, "category"),
        ("x".repeat(65), 0, "category"),
        (String::new(), 101, "page_size"),
    ] {
        let request = ListBestsellersRequest { page_size, category };
        let refused = shop.client.clone().list_bestsellers(request).await.unwrap_err();
        assert_eq!((refused.code(), &*fields(&refused)[0].0), (Code::InvalidArgument, field));
    }
    shop.running.stop().await;
}
