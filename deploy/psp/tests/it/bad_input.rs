use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::shop::{Folder, Psp, Shop, json_request, keyed, order};

async fn refusal(
    shop: &Shop,
    request: http::request::Builder,
    path: &str,
    body: String,
) -> (u16, String) {
    let (status, problem) = shop.send(request, path, body).await;
    assert_eq!(problem["status"], status.as_u16(), "{problem}");
    assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    (status.as_u16(), problem["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_bad_capture_has_a_status_and_a_code() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let good = order("tok_approve", 255, "order-1");
    let with = |path: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(path).unwrap() = value;
        body.to_string()
    };
    let unquoted = |number: &str| good.to_string().replace("255", number);
    let cases = [
        ("{".to_owned(), 400, "malformed_json"),
        (String::new(), 400, "malformed_json"),
        (format!("{good} x"), 400, "malformed_json"),
        ("[]".to_owned(), 422, "invalid_body"),
        (json!({"card_token": "tok"}).to_string(), 422, "invalid_body"),
        (with("/amount/minor_units", json!(0)), 422, "invalid_amount"),
        (with("/amount/minor_units", json!(-1)), 422, "invalid_amount"),
        (unquoted("2.5"), 422, "invalid_body"),
        (unquoted("9223372036854775808"), 422, "invalid_body"),
        (with("/amount/currency", json!("gbp")), 422, "invalid_amount"),
        (with("/amount/currency", json!("POUNDS")), 422, "invalid_amount"),
        (with("/card_token", json!("")), 422, "invalid_body"),
        (with("/reference", json!("a\nb")), 422, "invalid_body"),
        (with("/reference", json!("r".repeat(129))), 422, "invalid_body"),
        (with("/reference", json!("r".repeat(17_000))), 413, "body_too_large"),
    ];
    for (body, status, code) in cases {
        let shown = body.chars().take(80).collect::<String>();
        assert_eq!(
            refusal(&shop, keyed("key"), "/v1/captures", body).await,
            (status, code.to_owned()),
            "{shown}"
        );
    }
    assert_eq!(shop.by_key("key").await.0, StatusCode::NOT_FOUND);
    assert_eq!(shop.capture("key", &good).await.0, StatusCode::OK, "a refusal is not remembered");
}

#[tokio::test]
async fn headers_and_paths_are_checked() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let good = order("tok_approve", 255, "order-1").to_string();
    let no_key = json_request(Method::POST);
    let text =
        Request::post("/").header("idempotency-key", "k").header("content-type", "text/plain");
    let untyped = Request::post("/").header("idempotency-key", "k");
    let long_path = format!("/v1/captures/by-key/{}/void", "k".repeat(129));
    let cases = [
        (no_key, "/v1/captures", 400, "missing_idempotency_key"),
        (json_request(Method::POST), "/v1/refunds", 400, "missing_idempotency_key"),
        (keyed(""), "/v1/captures", 400, "invalid_idempotency_key"),
        (keyed("a b"), "/v1/captures", 400, "invalid_idempotency_key"),
        (keyed(&"k".repeat(129)), "/v1/captures", 400, "invalid_idempotency_key"),
        (text, "/v1/captures", 415, "unsupported_media_type"),
        (untyped, "/v1/captures", 415, "unsupported_media_type"),
        (Request::post("/"), long_path.as_str(), 400, "invalid_idempotency_key"),
        (Request::get("/"), "/v1/ledger?after=x", 400, "invalid_query"),
        (Request::get("/"), "/v1/captures", 405, "method_not_allowed"),
        (Request::get("/"), "/v2", 404, "no_such_route"),
        (Request::get("/"), "/v1/captures/by-key/nobody", 404, "unknown_key"),
    ];
    for (request, path, status, code) in cases {
        assert_eq!(
            refusal(&shop, request, path, good.clone()).await,
            (status, code.to_owned()),
            "{path}"
        );
    }
    assert!(shop.ledger().await.is_empty());
}

#[tokio::test]
async fn a_key_of_any_visible_characters_works_everywhere() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let key = format!("{}{}", "a/b?c%\"", "k".repeat(121));
    let captured = shop.capture(&key, &order("tok_approve", 255, "order-1")).await;
    assert_eq!(captured.0, StatusCode::OK);
    let encoded =
        key.replace('%', "%25").replace('/', "%2F").replace('?', "%3F").replace('"', "%22");
    assert_eq!(shop.by_key(&encoded).await, captured);
    assert_eq!(shop.void(&encoded).await, captured);
}
