//! What is shown from memory, and what never is.

use std::time::{Duration, Instant};

use identity::Role;
use kernel::{OrderId, ProductId, ReturnId};
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    BatchGetProductsRequest, ChangePriceRequest, GetProductRequest, ImportProductsRequest, Product,
    RetireProductRequest, ReviseProductRequest,
};
use rpc::Channel;
use testkit::eventually;

use crate::shop::{LIMIT, Orders, Shop, gbp};

/// A value lives for half a second. This is much more, and much less than for ever.
const STALE_MAX: Duration = Duration::from_secs(10);
/// Less than a value lives.
const AFTER_COMMIT_MAX: Duration = Duration::from_millis(300);

async fn names(shop: &Shop, id: ProductId, may_be_cached: bool) -> Vec<String> {
    let product_ids = vec![id.to_string(), id.to_string()];
    let request = BatchGetProductsRequest { product_ids, may_be_cached };
    let products = shop.client.clone().batch_get_products(request).await.unwrap();
    products.into_inner().products.into_iter().map(|product| product.name).collect()
}

async fn price(client: &ProductServiceClient<Channel>, id: ProductId) -> i64 {
    let request = GetProductRequest { product_id: id.to_string() };
    let product = client.clone().get_product(request).await.unwrap().into_inner().product;
    product.unwrap().price.unwrap().minor_units
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_read_is_shown_from_memory_and_a_checkout_reads_the_primary() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 3).await;
    // A busy machine may take longer over it: then what was read is gone, and it is tried again.
    let mut number = 0;
    let from_memory = eventually("a name is shown from memory", LIMIT, async || {
        number += 1;
        let before = shop.product(cup).await.name;
        shop.rename(cup, &format!("cup {number}"));
        assert_eq!(names(&shop, cup, false).await, [format!("cup {number}")], "the primary's");
        let shown = names(&shop, cup, true).await;
        (shown == [before] && shop.product(cup).await.name == shown[0]).then_some(())
    });
    from_memory.await;
    let current = format!("cup {number}");
    let followed = eventually("memory follows", STALE_MAX, async || {
        (shop.product(cup).await.name == current).then_some(())
    });
    followed.await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_one_copy_changed_is_shown_at_once_there_and_soon_by_another() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 3).await;
    let copy = shop.copy().await;
    let other =
        ProductServiceClient::new(shop.world.channel("gateway", "product", &[copy.address]));
    for minor_units in [300, 301, 302] {
        price(&other, cup).await;
        price(&shop.client, cup).await;
        let price_of = Some(gbp(minor_units));
        let request = ChangePriceRequest { product_id: cup.to_string(), price: price_of };
        let request = shop.request(Role::Staff, request);
        shop.client.clone().change_price(request).await.unwrap();
        assert_eq!(price(&shop.client, cup).await, minor_units, "where it was changed");
        let soon = eventually("the other copy follows", STALE_MAX, async || {
            (price(&other, cup).await == minor_units).then_some(())
        });
        soon.await;
    }
    copy.stop().await;
    shop.running.stop().await;
}

/// Readers never see a price that is older than one that they were told of, whatever they read meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_price_never_goes_backwards_for_whoever_changed_it() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 3).await;
    let readers = (0..8).map(|_| {
        let client = shop.client.clone();
        tokio::spawn(async move {
            let (until, mut last) = (Instant::now() + Duration::from_secs(2), 0);
            while Instant::now() < until {
                let now = price(&client, cup).await;
                assert!(now >= last, "{now} after {last}");
                last = now;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for minor_units in 1_000..1_100 {
        let price_of = Some(gbp(minor_units));
        let request = ChangePriceRequest { product_id: cup.to_string(), price: price_of };
        shop.client.clone().change_price(shop.staff(request)).await.unwrap();
        assert_eq!(price(&shop.client, cup).await, minor_units);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_staff_change_is_shown_at_once_where_it_was_changed() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 10).await;
    for change in ["price", "texts", "delivery", "import", "retirement"] {
        let before = shop.product(cup).await;
        changed(&shop, change, &before).await;
        assert_ne!(shop.product(cup).await, before, "{change}");
    }
    shop.running.stop().await;
}

async fn changed(shop: &Shop, what: &str, before: &Product) {
    let (product_id, mut client) = (before.product_id.clone(), shop.client.clone());
    let Product { sku, description, category, .. } = before.clone();
    match what {
        "price" => {
            let request = ChangePriceRequest { product_id, price: Some(gbp(777)) };
            client.change_price(shop.staff(request)).await.unwrap();
        }
        "texts" => {
            let (version, name) = (before.version, "mug".to_owned());
            let request = ReviseProductRequest { product_id, version, name, description, category };
            client.revise_product(shop.staff(request)).await.unwrap();
        }
        "delivery" => {
            shop.receive(product_id.parse().unwrap(), 5, "DN-1").await.unwrap();
        }
        "import" => {
            let (source, name, price) = ("s".to_owned(), "beaker".to_owned(), Some(gbp(778)));
            let item = ImportProductsRequest {
                source,
                sku,
                name,
                description,
                category,
                price,
                opening_stock: 0,
            };
            let items = shop.staff(futures_util::stream::iter([item]));
            client.import_products(items).await.unwrap();
        }
        _ => {
            let request = RetireProductRequest { product_id };
            client.retire_product(shop.staff(request)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_orders_do_to_the_stock_is_shown_by_the_copy_that_heard_of_them() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let cup = shop.add("cup", 10).await;
    let (kept, undone) = (OrderId::mint(), OrderId::mint());
    for (step, counts) in
        [(10, 3, 0), (10, 0, 0), (10, 2, 0), (8, 0, 2), (9, 0, 1)].into_iter().enumerate()
    {
        shop.product(cup).await; // now an old one is there
        match step {
            0 => orders.placed(undone, &[(cup, 3)]).await,
            1 => orders.cancelled(undone).await,
            2 => orders.placed(kept, &[(cup, 2)]).await,
            3 => orders.confirmed(kept).await,
            _ => orders.returned(kept, ReturnId::mint(), &[(cup, 1)]).await,
        }
        shop.has(cup, counts).await;
        let available = counts.0 - counts.1;
        // The copy forgets right after the commit, which others may see a moment before.
        let shown = eventually("the stock is shown", AFTER_COMMIT_MAX, async || {
            (shop.product(cup).await.available == available).then_some(())
        });
        shown.await;
    }
    shop.running.stop().await;
}
