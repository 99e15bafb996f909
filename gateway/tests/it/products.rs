//! Looking at products.

use http::Method;
use kernel::ProductId;
use serde_json::json;

use crate::client::{call, get};
use crate::world::World;

const KEPT: &str = "public, max-age=1, stale-while-revalidate=1";

#[tokio::test]
async fn a_product_is_rendered_and_may_be_kept_for_a_second() {
    let (world, ids) = World::with_products(1).await;
    let answer = get(&format!("/v1/products/{}", ids[0])).send(&world).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("etag"), "W/\"3-12\"");
    assert_eq!(answer.header("cache-control"), KEPT);
    let expected = json!({"product_id": ids[0], "sku": "CUP-1", "name": "Cup 1",
        "description": "Holds tea.", "category": "kitchen",
        "price": {"currency": "GBP", "minor_units": 255},
        "version": 3, "retired": false, "available": 12});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let (world, ids) = World::with_products(1).await;
    for path in [&format!("/v1/products/{}", ids[0]), "/v1/products", "/v1/search?q=cup"] {
        let tag = get(path).send(&world).await.header("etag").to_owned();
        let again = get(path).header("if-none-match", &tag).send(&world).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("cache-control"), KEPT);

        world.shop.state().products[0].available -= 1;
        let changed = get(path).header("if-none-match", &tag).send(&world).await;
        assert_eq!(changed.status, 200, "{path}");
        assert_ne!(changed.header("etag"), tag);
    }
}

#[tokio::test]
async fn a_list_takes_its_filters_and_tells_the_next_page() {
    let (world, ids) = World::with_products(2).await;
    let path = "/v1/products?page_size=2&page_token=a%2Fb&category=tea+cups&sku=X&utm_source=y";
    let answer = get(path).send(&world).await;
    assert_eq!(answer.json()["products"][1]["product_id"], ids[1]);
    assert_eq!(answer.json()["next_page_token"], "next");
    let seen = world.shop.last("ListProducts").message;
    for part in ["page_size: 2", "page_token: \"a/b\"", "category: \"tea cups\"", "sku: \"X\""] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[tokio::test]
async fn a_bad_query_names_its_parameter() {
    let world = World::new().await;
    for (path, field) in [
        ("/v1/products?page_size=many", "page_size"),
        ("/v1/products?page_size=-1", "page_size"),
        ("/v1/search?q=cup&page_size=4294967296", "page_size"),
        ("/v1/search?q=", "q"),
        ("/v1/search?q=%20", "q"),
        ("/v1/search", "q"),
    ] {
        let answer = get(path).send(&world).await;
        assert_eq!(answer.problem(), (422, "invalid".into()), "{path}");
        assert_eq!(answer.fields(), [field], "{path}");
    }
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn an_unknown_product_is_not_kept_by_anybody() {
    let world = World::new().await;
    let answer = get(&format!("/v1/products/{}", ProductId::mint())).send(&world).await;
    assert_eq!(answer.problem(), (404, "product_not_found".into()));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (world, ids) = World::with_products(1).await;
    let answer = call(Method::HEAD, &format!("/v1/products/{}", ids[0])).send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.header("etag"), "W/\"3-12\"");
}
