//! What is looked at most.

use std::time::Duration;

use cache::redis::{Options, Redis};
use kernel::ProductId;
use proto::product::v1::count_views_request::Views;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    CountViewsRequest, GetProductRequest, ListPopularProductsRequest, RetireProductRequest,
};
use redis::Cmd;
use rpc::Channel;
use testkit::{Running, World, eventually};

use crate::following::rename_unnoticed;
use crate::shop::{LIMIT, Shop};

/// What other tests count is somewhere else. Product's user of Redis, and the one that may do everything.
fn redis_urls(world: &World, database: u8) -> [String; 2] {
    [world.redis_url_of("product"), world.redis_url()].map(|url| in_database(url, database))
}

fn in_database(url: &str, database: u8) -> String {
    let (server, query) = url.split_once('?').unwrap_or((url, ""));
    format!("{}/{database}?{query}", server.trim_end_matches('/'))
}

async fn redis(redis_url: &str, command: &str) {
    let options = Options { redis_url: Some(redis_url.into()) };
    let redis = Redis::new(&options, "test").unwrap().unwrap();
    let mut words = Cmd::new();
    for word in command.split(' ') {
        words.arg(word);
    }
    let run = redis.run(LIMIT, |mut to| async move { words.exec_async(&mut to).await });
    run.await.unwrap();
}

async fn copy(shop: &Shop, redis_url: Option<&str>) -> (Running, ProductServiceClient<Channel>) {
    let world = &shop.world;
    let databases = std::slice::from_ref(&shop.url);
    let key = world.token_key();
    let service = world.service("product").databases(databases).nats();
    let mut service = service.arg("--token-key", key.display());
    if let Some(redis_url) = redis_url {
        service = service.arg("--redis-url", redis_url);
    }
    let running = service.start(product::run).await;
    let channel = world.channel("gateway", "product", &[running.address]);
    (running, ProductServiceClient::new(channel))
}

async fn looks(client: &ProductServiceClient<Channel>, looks: &[(ProductId, u32)]) {
    let each = looks.iter();
    let views = each.map(|(id, count)| Views { product_id: id.to_string(), count: *count });
    let request = CountViewsRequest { views: views.collect() };
    client.clone().count_views(request).await.unwrap();
}

async fn popular(client: &ProductServiceClient<Channel>, most: u32) -> Vec<(ProductId, i64)> {
    let request = ListPopularProductsRequest { page_size: most };
    let ranked = client.clone().list_popular_products(request).await.unwrap().into_inner();
    let one = |id: String| id.parse().unwrap();
    ranked.products.into_iter().map(|it| (one(it.product.unwrap().product_id), it.views)).collect()
}

async fn shows(client: &ProductServiceClient<Channel>, what: &[(ProductId, i64)]) {
    let shown = eventually("it is popular", LIMIT, async || {
        (popular(client, 20).await == what).then_some(())
    });
    shown.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_copies_count_is_added_up_and_what_is_lost_is_counted_anew() {
    let shop = Shop::open().await;
    let [url, operator] = redis_urls(&shop.world, 9);
    redis(&operator, "FLUSHDB").await;
    let (cup, plate) = (shop.add("cup", 3).await, shop.add("plate", 3).await);
    let ((first, one), (second, other)) =
        (copy(&shop, Some(&url)).await, copy(&shop, Some(&url)).await);
    shows(&one, &[]).await;
    looks(&one, &[(cup, 2), (plate, 3), (ProductId::mint(), 9)]).await;
    looks(&other, &[(cup, 4)]).await;
    shows(&one, &[(cup, 6), (plate, 3)]).await;
    let first_of_two = eventually("the best of those that are products", LIMIT, async || {
        (popular(&other, 1).await == [(cup, 6)]).then_some(())
    });
    first_of_two.await;

    redis(&operator, "FLUSHDB").await;
    looks(&other, &[(plate, 1)]).await;
    shows(&one, &[(plate, 1)]).await;
    redis(&operator, "SET souk:popular:1 garbage").await;
    shows(&one, &[(plate, 1)]).await;

    let request = RetireProductRequest { product_id: plate.to_string() };
    one.clone().retire_product(shop.staff(request)).await.unwrap();
    looks(&one, &[(cup, 1)]).await;
    shows(&one, &[(cup, 1)]).await;
    redis(&operator, "FLUSHDB").await;
    first.stop().await;
    second.stop().await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_what_is_popular_in_memory_before_it_is_ready() {
    let shop = Shop::open().await;
    let [url, operator] = redis_urls(&shop.world, 8);
    redis(&operator, "FLUSHDB").await;
    let (cup, plate) = (shop.add("cup", 3).await, shop.add("plate", 3).await);
    let (first, one) = copy(&shop, Some(&url)).await;
    looks(&one, &[(cup, 2)]).await;
    // A busy machine may hear nothing for half a second: then both are read again, and it is tried again.
    let warm = eventually("only what is popular was read before", LIMIT, async || {
        for (id, name) in [(cup, "cup"), (plate, "plate")] {
            shop.rename(id, name);
        }
        let (copy, client) = copy(&shop, Some(&url)).await;
        for (id, name) in [(cup, "mug"), (plate, "dish")] {
            rename_unnoticed(&shop, id, name);
        }
        let mut names = Vec::new();
        for id in [cup, plate] {
            let request = GetProductRequest { product_id: id.to_string() };
            let product = client.clone().get_product(request).await.unwrap().into_inner().product;
            names.push(product.unwrap().name);
        }
        copy.stop().await;
        (names == ["cup", "dish"]).then_some(())
    });
    warm.await;
    redis(&operator, "FLUSHDB").await;
    first.stop().await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nothing_is_popular_and_nothing_fails() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 3).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("redis://{}", silent.local_addr().unwrap());
    for url in [None, Some(&*silent_url)] {
        let (running, client) = copy(&shop, url).await;
        let answered = async {
            looks(&client, &[(cup, 1)]).await;
            assert_eq!(popular(&client, 20).await, []);
        };
        tokio::time::timeout(Duration::from_secs(30), answered).await.unwrap();
        running.stop().await;
    }
    shop.running.stop().await;
}
