//! Who is asking, and what there is to ask for.

use http::Method;
use kernel::{OrderId, ProductId, ReturnId};
use rpc::status::refusal;
use serde_json::json;
use tonic::Code;

use crate::client::{call, get, post};
use crate::world::World;

/// Every route that is somebody's own.
fn own_routes() -> Vec<(Method, String)> {
    let (order, product, back) = (OrderId::mint(), ProductId::mint(), ReturnId::mint());
    let routes = [
        "DELETE /v1/sessions",
        "GET /v1/me",
        "PATCH /v1/me",
        "DELETE /v1/me",
        "POST /v1/me/addresses",
        "GET /v1/payment-methods",
        "POST /v1/payment-methods",
        "GET /v1/orders",
        "POST /v1/orders",
        "GET /v1/orders/ORDER",
        "GET /v1/orders/ORDER/events",
        "POST /v1/orders/ORDER/cancel",
        "POST /v1/orders/ORDER/returns",
        "GET /v1/orders/ORDER/payment",
        "POST /v1/staff/products",
        "PATCH /v1/staff/products/PRODUCT",
        "DELETE /v1/staff/products/PRODUCT",
        "PUT /v1/staff/products/PRODUCT/price",
        "POST /v1/staff/products/PRODUCT/receipts",
        "GET /v1/staff/products/PRODUCT/stock",
        "POST /v1/staff/import",
        "GET /v1/staff/refunds",
        "POST /v1/staff/refunds/ORDER.cancellation/retry",
        "POST /v1/staff/refunds/ORDER.cancellation/settle",
        "GET /v1/staff/returns",
        "POST /v1/staff/orders/ORDER/returns/RETURN/receive",
        "POST /v1/staff/orders/ORDER/returns/RETURN/refuse",
    ];
    let route = |route: &str| {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("ORDER", &order.to_string());
        let path = path.replace("RETURN", &back.to_string());
        (method.parse().unwrap(), path.replace("PRODUCT", &product.to_string()))
    };
    routes.into_iter().map(route).collect()
}

#[tokio::test]
async fn without_a_token_nobody_is_asked() {
    let world = World::new().await;
    for (method, path) in own_routes() {
        let answer = call(method.clone(), &path).send(&world).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{method} {path}");
        for bad in ["Basic YTpi", "Bearer", "Bearer ", "token"] {
            let answer = call(method.clone(), &path).header("authorization", bad);
            let answer = answer.send(&world).await;
            assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{method} {path} {bad}");
        }
    }
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn the_token_goes_on_as_it_came() {
    let world = World::new().await;
    get("/v1/me").token().send(&world).await;
    let seen = world.shop.last("GetUser");
    assert_eq!(seen.authorization.as_deref(), Some("Bearer some.access.token"));
    let answer = call(Method::DELETE, "/v1/me").token().send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn what_a_service_says_of_a_token_is_the_answer() {
    let world = World::new().await;
    world.shop.refuse("GetUser", identity_refusal());
    assert_eq!(get("/v1/me").token().send(&world).await.problem().0, 401);
    let staff_only = refusal(Code::PermissionDenied, "staff_only", "only staff may do this");
    world.shop.refuse("GetStock", staff_only);
    let path = format!("/v1/staff/products/{}/stock", ProductId::mint());
    assert_eq!(get(&path).token().send(&world).await.problem(), (403, "staff_only".into()));
}

fn identity_refusal() -> tonic::Status {
    refusal(Code::Unauthenticated, "unauthenticated", "sign in first")
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let world = World::new().await;
    for path in ["/nowhere", "/v1/", "/v1/products/", "/v1/orders/a/b/c", "/%ff"] {
        assert_eq!(get(path).send(&world).await.problem(), (404, "not_found".into()), "{path}");
    }
    for path in ["/v1/products/7", "/v1/products/%ff", "/v1/products/%00"] {
        let problem = get(path).send(&world).await.problem();
        assert_eq!(problem, (404, "product_not_found".into()), "{path}");
    }
    let answer = get("/v1/orders/7").token().send(&world).await;
    assert_eq!(answer.problem(), (404, "order_not_found".into()));
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn another_method_is_told_which_there_are() {
    let world = World::new().await;
    for (method, path, allowed) in [
        ("DELETE", "/v1/products", "GET,HEAD"),
        ("POST", "/v1/me", "GET,HEAD,PATCH,DELETE"),
        ("BREW", "/v1/users", "POST"),
    ] {
        let answer = call(method.parse().unwrap(), path).send(&world).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".into()), "{method} {path}");
        assert_eq!(answer.header("allow"), allowed, "{method} {path}");
    }
}

#[tokio::test]
async fn the_index_leads_to_the_routes() {
    let (world, _) = World::with_products(1).await;
    let answer = get("/v1").send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let index = answer.json();
    assert_eq!(index["name"], "souk");
    let products = index["links"]["products"].as_str().unwrap();
    assert_eq!(get(products).send(&world).await.status, 200);
}

#[tokio::test]
async fn accounts_and_payments_are_rendered() {
    let world = World::new().await;
    let body = json!({"email": "ada@example.org", "password": "12345678", "name": "Ada"});
    let answer = post("/v1/users").json(&body).send(&world).await;
    assert_eq!(answer.status, 201);
    let expected = json!({"user_id": "01890000-0000-7000-8000-000000000007", "email": "ada@example.org",
        "name": "Ada", "role": "customer", "addresses": []});
    assert_eq!(answer.json(), expected);
    assert!(!String::from_utf8_lossy(&answer.body).contains("12345678"));

    let address = json!({"recipient": "Ada", "line1": "1 Lane", "city": "York", "postcode": "Y1", "country": "GB"});
    let answer = post("/v1/me/addresses").token().json(&address).send(&world).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["city"]), (201, &json!("York")));

    let method = json!({"card_token": "tok_approve", "label": "mine"});
    let answer = post("/v1/payment-methods").token().json(&method).send(&world).await;
    assert_eq!(answer.json(), json!({"payment_method_id": "pm", "label": "mine"}));
    let answer = get("/v1/payment-methods").token().send(&world).await;
    assert_eq!(answer.json(), json!({"payment_methods": []}));
}

#[tokio::test]
async fn a_notice_of_the_provider_goes_on_byte_by_byte() {
    let world = World::new().await;
    let unsigned = post("/v1/webhooks/psp").body("{}").send(&world).await;
    assert_eq!(unsigned.problem(), (401, "unauthenticated".into()));
    assert!(world.shop.seen().is_empty());
    let notice = post("/v1/webhooks/psp").header("psp-signature", "c0ffee").body("{ \"a\":1}\n");
    assert_eq!(notice.send(&world).await.status, 204);
    let seen = world.shop.last("ReceiveWebhook").message;
    assert!(seen.contains(r#"b"{ \"a\":1}\n""#) && seen.contains("c0ffee"), "{seen}");
}

#[tokio::test]
async fn a_decision_about_a_refund_reaches_payment_with_its_reason() {
    let world = World::new().await;
    let listed = get("/v1/staff/refunds?order_id=o&page_size=7").token().send(&world).await.json();
    let seen = world.shop.last("ListRefunds").message;
    assert!(seen.contains(r#"order_id: "o", page_size: 7"#), "{seen}");
    assert_eq!(listed["refunds"][0]["state"], "refused");
    assert_eq!(listed["refunds"][0]["decisions"][0]["note"], "the bank is back");
    let note = json!({ "note": "why" });
    for (verb, method, status) in [("retry", "RetryRefund", 202), ("settle", "SettleRefund", 200)] {
        let answer = post(&format!("/v1/staff/refunds/o.cancellation/{verb}")).token().json(&note);
        assert_eq!(answer.send(&world).await.status, status);
        let seen = world.shop.last(method).message;
        assert!(seen.contains(r#"refund_id: "o.cancellation", note: "why""#), "{seen}");
    }
}
