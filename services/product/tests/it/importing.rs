//! Catalogues by stream.

use proto::money::v1::Money;
use proto::product::v1::{ImportProductsRequest, ImportProductsResponse, RetireProductRequest};
use rpc::status::{fields, reason};
use tonic::{Code, Status};

use crate::shop::{Shop, gbp};

impl Shop {
    async fn import(
        &self,
        items: Vec<ImportProductsRequest>,
    ) -> Result<ImportProductsResponse, Status> {
        let request = self.staff(futures_util::stream::iter(items));
        Ok(self.client.clone().import_products(request).await?.into_inner())
    }

    /// Everything that an import may change, but the ids.
    fn digest(&self) -> String {
        self.sql(
            "select md5(string_agg(concat_ws('|', sku, name, description, category, price_minor,
                 version, retired_at is not null, received, on_hand, reserved, shipped), '/'
                 order by sku))
             from products join stock using (product_id)",
        )
    }
}

/// A file of so many products, each with three pieces.
pub fn file(source: &str, products: usize) -> Vec<ImportProductsRequest> {
    let item = |n: usize| ImportProductsRequest {
        source: source.to_owned(),
        sku: format!("SKU-{n}"),
        name: format!("product {n}"),
        description: String::new(),
        category: "Import".to_owned(),
        price: Some(gbp(100 + n as i64)),
        opening_stock: 3,
    };
    (0..products).map(item).collect()
}

fn done(added: i64, revised: i64, unchanged: i64, stock_received: i64) -> ImportProductsResponse {
    ImportProductsResponse { added, revised, unchanged, stock_received }
}

#[tokio::test(flavor = "multi_thread")]
async fn importing_twice_changes_nothing_and_a_new_file_changes_what_differs() {
    let shop = Shop::open().await;
    let first = file("a", 2_700);
    assert_eq!(shop.import(first.clone()).await.unwrap(), done(2_700, 0, 0, 8_100));
    let (digest, events) = (shop.digest(), shop.sql("select count(*) from messaging.outbox"));
    assert_eq!(events, "2700");
    assert_eq!(shop.import(first).await.unwrap(), done(0, 0, 2_700, 0));
    assert_eq!(
        (shop.digest(), shop.sql("select count(*) from messaging.outbox")),
        (digest, events)
    );

    let mut second = file("b", 4);
    second[0].name = "better".into();
    second[1].price = Some(gbp(1));
    second[2] =
        ImportProductsRequest { name: "both".into(), price: Some(gbp(2)), ..second[2].clone() };
    second[3].opening_stock = 0;
    assert_eq!(shop.import(second).await.unwrap(), done(0, 3, 1, 9));
    let versions = "select string_agg(version::text, ' ' order by sku) from products
        where sku in ('SKU-0', 'SKU-1', 'SKU-2', 'SKU-3')";
    assert_eq!(shop.sql(versions), "2 2 3 1");
    let news = "select string_agg(type, ' ' order by type) from messaging.outbox
        where type not like '%Added'";
    let news = shop.sql(news).replace("souk.product.v1.", "");
    assert_eq!(news, "PriceChanged PriceChanged ProductRevised ProductRevised");
    assert_eq!(shop.drift(), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_is_simply_run_again() {
    let shop = Shop::open().await;
    let whole = file("a", 1_200);
    let mut broken = whole.clone();
    broken[1_100].sku = String::new();
    let refused = shop.import(broken).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fields(&refused)[0].0, "items[1100].sku");
    assert_eq!(shop.sql("select count(*) from products"), "1000", "whole chunks");
    assert_eq!(shop.drift(), "0");

    assert_eq!(shop.import(whole.clone()).await.unwrap(), done(200, 0, 1_000, 600));
    let (interrupted, straight) = (shop.digest(), Shop::open().await);
    straight.import(whole).await.unwrap();
    assert_eq!(interrupted, straight.digest());
    straight.running.stop().await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_at_the_same_time_do_not_double_anything() {
    let shop = Shop::open().await;
    let (file, copies) = (file("a", 700), 4);
    let mut backwards = file.clone();
    backwards.reverse();
    let imports =
        (0..copies).map(|n| shop.import(if n % 2 == 0 { file.clone() } else { backwards.clone() }));
    let mut sum = done(0, 0, 0, 0);
    for answer in futures_util::future::join_all(imports).await {
        let one = answer.unwrap();
        sum.added += one.added;
        sum.unchanged += one.unchanged;
        sum.stock_received += one.stock_received;
        assert_eq!(one.revised, 0);
    }
    assert_eq!(sum, done(700, 0, 700 * (copies - 1), 2_100));
    assert_eq!(shop.drift(), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sku_has_one_meaning_in_a_file() {
    let shop = Shop::open().await;
    let mut items = file("a", 600);
    items[599].sku = "SKU-1".into();
    let refused = shop.import(items).await.unwrap_err();
    let expected = ("items[599].sku".to_owned(), "once in a file".to_owned());
    assert_eq!(fields(&refused), [expected]);
    shop.running.stop().await;
}

type Change = fn(&mut ImportProductsRequest);

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_refused_is_named_and_its_chunk_is_not_written() {
    let shop = Shop::open().await;
    let good = file("a", 3);
    let euro = Some(Money { currency: "EUR".into(), minor_units: 1 });
    let change: [(&str, Change); 6] = [
        ("source", |item| item.source = String::new()),
        ("sku", |item| item.sku = "a b".into()),
        ("name", |item| item.name = "\0".into()),
        ("category", |item| item.category = String::new()),
        ("price", |item| item.price = None),
        ("opening_stock", |item| item.opening_stock = -1),
    ];
    for (field, change) in change {
        let mut items = good.clone();
        change(&mut items[2]);
        let refused = shop.import(items).await.unwrap_err();
        assert_eq!(fields(&refused)[0].0, format!("items[2].{field}"));
        assert_eq!(reason(&refused).as_deref(), Some("invalid"));
    }
    let mut items = good.clone();
    items[1].price = euro;
    let refused = shop.import(items).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("currency_not_supported"));
    assert!(refused.message().starts_with("items[1]"), "{refused}");
    assert_eq!(shop.sql("select count(*) from products"), "0");
    assert_eq!(shop.import(Vec::new()).await.unwrap(), done(0, 0, 0, 0));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_does_not_bring_back_what_was_retired() {
    let shop = Shop::open().await;
    shop.import(file("a", 1)).await.unwrap();
    let product_id = shop.sql("select product_id from products");
    let request = shop.staff(RetireProductRequest { product_id });
    shop.client.clone().retire_product(request).await.unwrap();
    let mut again = file("b", 1);
    again[0].name = "better".into();
    assert_eq!(shop.import(again).await.unwrap(), done(0, 1, 0, 3));
    let row = shop.sql("select name, retired_at is not null from products");
    assert_eq!(row.replace('|', " "), "better t");
    shop.running.stop().await;
}
