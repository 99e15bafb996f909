//! What can be asked of the catalogue, and by whom.

use std::collections::BTreeSet;

use identity::Role;
use kernel::ProductId;
use proto::money::v1::Money;
use proto::product::v1::{
    AddProductRequest, BatchGetProductsRequest, ChangePriceRequest, GetProductRequest,
    GetStockRequest, ImportProductsRequest, ListProductsRequest, PriceChanged, Product,
    ProductAdded, ProductRetired, ProductRevised, ReceiveStockRequest, RetireProductRequest,
    ReviseProductRequest, SearchProductsRequest,
};
use rpc::status::{fields, reason};
use testkit::Published;
use tonic::{Code, Status};

use crate::shop::{Shop, gbp, offer};

impl Shop {
    async fn revise(&self, id: ProductId, version: i64, name: &str) -> Result<Product, Status> {
        let AddProductRequest { name, description, category, .. } = offer(name, 0);
        let product_id = id.to_string();
        let request = ReviseProductRequest { product_id, version, name, description, category };
        let answer = self.client.clone().revise_product(self.staff(request)).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    async fn change_price(&self, id: ProductId, price: Option<Money>) -> Result<Product, Status> {
        let request = ChangePriceRequest { product_id: id.to_string(), price };
        let answer = self.client.clone().change_price(self.staff(request)).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    async fn retire(&self, id: ProductId) -> Result<Product, Status> {
        let request = RetireProductRequest { product_id: id.to_string() };
        let answer = self.client.clone().retire_product(self.staff(request)).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    async fn list(&self, request: ListProductsRequest) -> (Vec<String>, String) {
        let page = self.client.clone().list_products(request).await.unwrap().into_inner();
        (page.products.into_iter().map(|product| product.name).collect(), page.next_page_token)
    }
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_added_changed_and_retired_and_says_so_once() {
    let shop = Shop::open().await;
    let mut published = Published::by(&shop.world, "product").await;
    let cup = shop.add("cup", 7).await;
    let product = shop.product(cup).await;
    assert_eq!((&*product.sku, &*product.name, product.available), ("CUP", "cup", 7));
    assert_eq!((product.price, product.version, product.retired), (Some(gbp(255)), 1, false));

    let conflict = shop.revise(cup, 3, "mug").await.unwrap_err();
    assert_eq!(conflict.code(), Code::Aborted);
    assert_eq!(reason(&conflict).as_deref(), Some("version_conflict"));
    assert_eq!(shop.revise(cup, 1, "cup").await.unwrap().version, 1, "nothing to change");
    let mug = shop.revise(cup, 1, "mug").await.unwrap();
    assert_eq!((&*mug.name, &*mug.sku, mug.version), ("mug", "CUP", 2));
    for _ in 0..2 {
        let cheap = shop.change_price(cup, Some(gbp(99))).await.unwrap();
        assert_eq!((cheap.price, cheap.version), (Some(gbp(99)), 3));
    }
    for _ in 0..2 {
        let retired = shop.retire(cup).await.unwrap();
        assert_eq!((retired.retired, retired.version, retired.available), (true, 4, 7));
    }
    assert_eq!(shop.product(cup).await, shop.retire(cup).await.unwrap());

    let product_id = cup.to_string();
    let added: ProductAdded = published.expect().await;
    assert_eq!((added.product_id, added.version, &*added.sku), (product_id.clone(), 1, "CUP"));
    assert_eq!(published.expect::<ProductRevised>().await.version, 2);
    let changed: PriceChanged = published.expect().await;
    assert_eq!((changed.version, changed.price), (3, Some(gbp(99))));
    assert_eq!(
        published.expect::<ProductRetired>().await,
        ProductRetired { product_id, version: 4 }
    );
    assert_eq!(shop.sql("select count(*) from messaging.outbox"), "4");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_by_name_and_show_everything_once() {
    let shop = Shop::open().await;
    // Two products of one name: only their ids tell them apart.
    for n in 0..25 {
        let request =
            AddProductRequest { sku: format!("S{n}"), ..offer(&format!("p{:02}", n / 2), 1) };
        shop.try_add(request).await.unwrap();
    }
    let gone = shop.add("p00 gone", 1).await;
    shop.retire(gone).await.unwrap();

    let (mut names, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let category = if pages % 2 == 0 { "" } else { "Kitchen" }; // both go by one place
        let request = ListProductsRequest {
            page_size: 3,
            page_token,
            category: category.into(),
            ..Default::default()
        };
        let (page, next) = shop.list(request).await;
        names.extend(page);
        (page_token, pages) = (next, pages + 1);
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (25, 9));
    assert!(names.is_sorted() && !names.contains(&"p00 gone".to_owned()));

    assert_eq!(shop.list(ListProductsRequest::default()).await.0.len(), 20);
    let by_sku = |sku: &str| ListProductsRequest { sku: sku.into(), ..Default::default() };
    assert_eq!(shop.list(by_sku("S3")).await, (vec!["p01".to_owned()], String::new()));
    assert!(shop.list(by_sku("s3")).await.0.is_empty());
    assert!(shop.list(by_sku("P00-GONE")).await.0.is_empty());
    let category = ListProductsRequest { category: "Garden".into(), ..Default::default() };
    assert!(shop.list(category).await.0.is_empty());
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_products_are_read_at_once_and_unknown_ones_left_out() {
    let shop = Shop::open().await;
    let (cup, bowl) = (shop.add("cup", 3).await, shop.add("bowl", 4).await);
    shop.retire(bowl).await.unwrap();
    let ids = [cup, bowl, ProductId::mint(), cup].map(|id| id.to_string()).to_vec();
    let product_ids = [ids, vec!["85123A".into()]].concat();
    let request = BatchGetProductsRequest { product_ids, may_be_cached: false };
    let products = shop.as_seen_by("order").batch_get_products(request).await.unwrap();
    let found: BTreeSet<_> = products
        .into_inner()
        .products
        .into_iter()
        .map(|product| (product.name, product.retired, product.available))
        .collect();
    assert_eq!(found, BTreeSet::from([("bowl".into(), true, 4), ("cup".into(), false, 3)]));
    let product_ids = vec![cup.to_string(); 2_001];
    let request = BatchGetProductsRequest { product_ids, may_be_cached: true };
    let refused = shop.client.clone().batch_get_products(request).await.unwrap_err();
    assert_eq!(fields(&refused)[0].0, "product_ids");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_booked_once() {
    let shop = Shop::open().await;
    let (cup, bowl) = (shop.add("cup", 3).await, shop.add("bowl", 0).await);
    for _ in 0..2 {
        let stock = shop.receive(cup, 10, "DN-1").await.unwrap();
        assert_eq!((stock.received, stock.on_hand, stock.reserved, stock.shipped), (13, 13, 0, 0));
    }
    for (product, quantity) in [(cup, 11), (bowl, 10)] {
        let refused = shop.receive(product, quantity, "DN-1").await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused).as_deref(), Some("receipt_reused"));
    }
    let copies = (0..16).map(|_| shop.receive(bowl, 5, "DN-2"));
    for answer in futures_util::future::join_all(copies).await {
        assert_eq!(answer.unwrap().on_hand, 5);
    }
    let unknown = shop.receive(ProductId::mint(), 5, "DN-3").await.unwrap_err();
    assert_eq!(reason(&unknown).as_deref(), Some("product_not_found"));
    assert_eq!(shop.drift(), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_for_staff_and_reading_is_for_everyone() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 1).await;
    let product_id = cup.to_string();
    let mut client = shop.client.clone();
    macro_rules! refused {
        ($($method:ident($message:expr)),+ $(,)?) => {$(
            let (message, nobody) = ($message, $message);
            let status = client.$method(shop.request(Role::Customer, message)).await.unwrap_err();
            assert_eq!(reason(&status).as_deref(), Some("staff_only"), stringify!($method));
            assert_eq!(code(client.$method(nobody).await), Code::Unauthenticated, stringify!($method));
        )+};
    }
    let id = || product_id.clone();
    refused! {
        add_product(offer("bowl", 1)),
        revise_product(ReviseProductRequest { product_id: id(), version: 1, ..Default::default() }),
        change_price(ChangePriceRequest { product_id: id(), price: Some(gbp(1)) }),
        retire_product(RetireProductRequest { product_id: id() }),
        receive_stock(ReceiveStockRequest { product_id: id(), quantity: 1, receipt: "r".into() }),
        get_stock(GetStockRequest { product_id: id() }),
    };
    for (role, expected) in [(Role::Customer, Code::PermissionDenied), (Role::Staff, Code::Ok)] {
        let stream = futures_util::stream::iter([ImportProductsRequest {
            source: "f".into(),
            sku: "B".into(),
            name: "bowl".into(),
            category: "Kitchen".into(),
            price: Some(gbp(1)),
            ..Default::default()
        }]);
        assert_eq!(code(client.import_products(shop.request(role, stream)).await), expected);
    }
    let get = GetProductRequest { product_id: id() };
    assert_eq!(code(client.get_product(get.clone()).await), Code::Ok);
    assert_eq!(code(client.list_products(ListProductsRequest::default()).await), Code::Ok);
    for (process, expected) in [("operator", Code::Ok), ("order", Code::PermissionDenied)] {
        let answer = shop.as_seen_by(process).get_product(get.clone()).await;
        assert_eq!(code(answer), expected, "{process}");
    }
    assert_eq!(shop.sql("select version from products where sku = 'CUP'"), "1");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn bad_input_names_its_fields_and_what_is_not_there_is_not_found() {
    let shop = Shop::open().await;
    let cup = shop.add("cup", 1).await;
    let taken = shop.try_add(offer("cup", 1)).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    assert_eq!(reason(&taken).as_deref(), Some("sku_taken"));
    let bad = AddProductRequest { name: " ".into(), opening_stock: -1, ..offer("two words\0", 0) };
    let refused = shop.try_add(bad).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let names: Vec<String> = fields(&refused).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["sku", "opening_stock", "name", "description"]);

    for (price, expected) in [
        (Some(Money { currency: "EUR".into(), minor_units: 5 }), "currency_not_supported"),
        (Some(Money { currency: "pounds".into(), minor_units: 5 }), "currency_not_supported"),
        (Some(gbp(0)), "invalid"),
        (None, "invalid"),
    ] {
        let refused = shop.change_price(cup, price).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason(&refused).as_deref(), Some(expected));
    }
    assert_eq!(fields(&shop.revise(cup, 1, "\n").await.unwrap_err())[0].0, "name");
    for (quantity, receipt) in [(0, "r"), (1, ""), (-1, "r"), (1, "a b")] {
        let refused = shop.receive(cup, quantity, receipt).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{quantity} {receipt:?}");
    }

    let mut client = shop.client.clone();
    for product_id in [ProductId::mint().to_string(), "85123A".into(), String::new()] {
        let unknown = client.get_product(GetProductRequest { product_id }).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        assert_eq!(reason(&unknown).as_deref(), Some("product_not_found"));
    }
    assert_eq!(shop.retire(ProductId::mint()).await.unwrap_err().code(), Code::NotFound);
    let page = ListProductsRequest::default();
    for (request, field) in [
        (ListProductsRequest { page_size: 101, ..page.clone() }, "page_size"),
        (ListProductsRequest { page_token: "?".into(), ..page.clone() }, "page_token"),
        (ListProductsRequest { page_token: "AAAA".into(), ..page.clone() }, "page_token"),
        (ListProductsRequest { category: "\0".into(), ..page.clone() }, "category"),
        (ListProductsRequest { sku: "\0".into(), ..page }, "sku"),
    ] {
        let refused = client.list_products(request).await.unwrap_err();
        assert_eq!((refused.code(), &*fields(&refused)[0].0), (Code::InvalidArgument, field));
    }
    for query in ["", " \t\n", "\0", &"x".repeat(201)] {
        let request = SearchProductsRequest { query: query.into(), page_size: 0 };
        let refused = client.search_products(request).await.unwrap_err();
        assert_eq!(fields(&refused)[0].0, "query", "{query:?}");
    }
    shop.running.stop().await;
}
