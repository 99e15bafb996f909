//! Carts of guests and users, and signing in with one.

use http::Method;
use kernel::{CartId, ProductId};
use proto::cart::v1::{Cart, Item};
use serde_json::json;
use tonic::Status;

use crate::client::{call, get, post};
use crate::world::World;

#[tokio::test]
async fn a_newcomer_gets_an_empty_cart_of_their_own() {
    let world = World::new().await;
    let first = get("/v1/cart").send(&world).await.json();
    let second = get("/v1/cart").send(&world).await;
    assert_eq!(first["items"], json!([]));
    assert_eq!(first["total"], json!({"currency": "GBP", "minor_units": 0}));
    let id = second.json()["cart_id"].as_str().unwrap().to_owned();
    assert!(id.parse::<CartId>().is_ok());
    assert_eq!(second.header("x-cart-id"), id);
    assert_ne!(first["cart_id"], id);
}

#[tokio::test]
async fn a_guest_is_known_by_the_cart_and_a_user_by_the_token() {
    let world = World::new().await;
    let id = CartId::mint().to_string();
    get("/v1/cart").header("x-cart-id", &id).send(&world).await;
    let seen = world.shop.last("GetCart");
    assert!(seen.message.contains(&id) && seen.authorization.is_none(), "{seen:?}");

    get("/v1/cart").header("x-cart-id", &id).token().send(&world).await;
    let seen = world.shop.last("GetCart");
    assert!(!seen.message.contains(&id) && seen.authorization.is_some(), "{seen:?}");

    let answer = get("/v1/cart").header("x-cart-id", "mine").send(&world).await;
    assert_eq!(answer.problem(), (422, "invalid".into()));
    assert_eq!(answer.fields(), ["X-Cart-Id"]);
    let answer = get("/v1/cart").header("authorization", "Bearer ").send(&world).await;
    assert_eq!(answer.problem(), (401, "unauthenticated".into()));
}

#[tokio::test]
async fn a_cart_shows_the_prices_of_now() {
    let (world, ids) = World::with_products(2).await;
    world.shop.state().products[1].retired = true;
    let item = |product_id: &str, quantity| Item { product_id: product_id.into(), quantity };
    let gone = ProductId::mint().to_string();
    let items = vec![item(&ids[0], 2), item(&ids[1], 1), item(&gone, 4)];
    world.shop.state().cart = Cart { cart_id: "c".into(), version: 9, items, ..Cart::default() };
    let cart = get("/v1/cart").token().send(&world).await;
    assert_eq!(cart.header("cache-control"), "no-store");
    let price = json!({"currency": "GBP", "minor_units": 255});
    let total = json!({"currency": "GBP", "minor_units": 510});
    let expected = json!({"cart_id": "c", "version": 9, "total": total, "items": [
        {"product_id": ids[0], "sku": "CUP-1", "name": "Cup 1", "quantity": 2,
         "unit_price": price, "line_total": total, "available": 12},
        {"product_id": ids[1], "sku": "CUP-2", "name": "Cup 2", "quantity": 1,
         "available": 0, "unavailable": true},
        {"product_id": gone, "quantity": 4, "available": 0, "unavailable": true},
    ]});
    assert_eq!(cart.json(), expected);
}

#[tokio::test]
async fn only_what_is_on_sale_is_put_in() {
    let (world, ids) = World::with_products(1).await;
    let id = CartId::mint().to_string();
    let put = |product: &str, quantity: i64| {
        let request = call(Method::PUT, &format!("/v1/cart/items/{product}"));
        request.header("x-cart-id", &id).json(&json!({ "quantity": quantity }))
    };
    let answer = put(&ids[0], 3).send(&world).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["items"][0]["line_total"]["minor_units"], 765);
    assert_eq!(answer.json()["cart_id"], id);
    let calls = world.shop.seen().len();

    let unknown = put(&ProductId::mint().to_string(), 1).send(&world).await;
    assert_eq!(unknown.problem(), (404, "product_not_found".into()));
    world.shop.state().products[0].retired = true;
    assert_eq!(put(&ids[0], 1).send(&world).await.problem(), (409, "product_retired".into()));
    let put_since = world.shop.seen()[calls..].iter().filter(|seen| seen.rpc == "PutItem").count();
    assert_eq!(put_since, 0);

    let bad_quantity = rpc::status::invalid([("quantity", "1 to 10,000")]);
    world.shop.state().products[0].retired = false;
    world.shop.refuse("PutItem", bad_quantity);
    let answer = put(&ids[0], 0).send(&world).await;
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["quantity".to_owned()]));
}

#[tokio::test]
async fn a_cleared_cart_has_no_body_but_a_name() {
    let world = World::new().await;
    world.shop.state().cart.cart_id = "the-users".into();
    let answer = call(Method::DELETE, "/v1/cart").token().send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("x-cart-id"), "the-users");
}

#[tokio::test]
async fn who_signs_in_takes_the_cart_along() {
    let world = World::new().await;
    let guest = CartId::mint().to_string();
    let body = json!({"email": "a@b.c", "password": "12345678", "guest_cart_id": guest});
    let answer = post("/v1/sessions").json(&body).send(&world).await;
    let expected = json!({"access_token": "fresh.access.token", "refresh_token": "refresh",
        "expires_in_seconds": 600, "user_id": "01890000-0000-7000-8000-000000000007",
        "cart_merged": true});
    assert_eq!((answer.status.as_u16(), answer.json()), (201, expected));
    let merge = world.shop.last("MergeCart");
    assert_eq!(merge.authorization.as_deref(), Some("Bearer fresh.access.token"));
    assert!(merge.message.contains(&guest));
}

#[tokio::test]
async fn a_cart_that_is_not_merged_keeps_nobody_out() {
    let world = World::new().await;
    world.shop.refuse("MergeCart", Status::internal("no"));
    let guest = CartId::mint().to_string();
    let body = json!({"email": "a@b.c", "password": "12345678", "guest_cart_id": guest});
    let answer = post("/v1/sessions").json(&body).send(&world).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["cart_merged"]), (201, &json!(false)));

    let body = json!({"email": "a@b.c", "password": "12345678"});
    let answer = post("/v1/sessions").json(&body).send(&world).await;
    assert_eq!(answer.json().get("cart_merged"), None);

    let body = json!({"email": "a@b.c", "password": "12345678", "guest_cart_id": "x"});
    let answer = post("/v1/sessions").json(&body).send(&world).await;
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["guest_cart_id".to_owned()]));
}

#[tokio::test]
async fn a_change_is_answered_as_briefly_as_is_preferred() {
    let (world, ids) = World::with_products(1).await;
    let path = format!("/v1/cart/items/{}", ids[0]);
    let put = || call(Method::PUT, &path).token().json(&json!({"quantity": 1}));
    for (prefer, status, applied) in [
        (&[][..], 200, ""),
        (&["respond-async, return=minimal; foo=bar"], 204, "return=minimal"),
        (&["wait=5", "Return=\"minimal\""], 204, "return=minimal"),
        (&["return=representation"], 200, "return=representation"),
        (&["foo=\"return=minimal\""], 200, ""),
    ] {
        let put = prefer.iter().fold(put(), |put, line| put.header("prefer", line));
        let answer = put.send(&world).await;
        let applied_in_fact = answer.header("preference-applied");
        assert_eq!((answer.status.as_u16(), applied_in_fact), (status, applied), "{prefer:?}");
    }
}
