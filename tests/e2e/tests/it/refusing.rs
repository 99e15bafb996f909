//! Bad input gets one clear answer: `application/problem+json` with a stable code.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use operator::Shop;
use operator::http::{Answer, full};
use serde_json::{Value, json};

use crate::shopper::{SETTLED, Shopper, Staff, fresh};

/// One request that must be refused.
struct Bad<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a str>,
    key: Option<&'a str>,
    content_type: &'a str,
    body: String,
    status: u16,
    code: &'a str,
    field: Option<&'a str>,
}

#[expect(clippy::too_many_lines, reason = "a list of cases")]
pub async fn every_refusal_is_a_problem_with_a_code(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(5).await?;
    let item = format!("/v1/cart/items/{product}");
    let nowhere = format!("/v1/cart/items/{}", fresh());
    let unknown = format!("/v1/products/{}", fresh());
    let (token, key) = (Some(&*shopper.token), fresh());
    let order = json!({ "payment_method_id": shopper.card }).to_string();
    let quantity = |n: i64| json!({ "quantity": n }).to_string();
    let offer = json!({ "sku": "x", "name": "x", "description": "", "category": "x",
        "price": { "currency": "GBP", "minor_units": 1 }, "opening_stock": 1 });
    let bad = |method, path, token, body: &str, status, code, field| Bad {
        method,
        path,
        token,
        key: None,
        content_type: "application/json",
        body: body.to_owned(),
        status,
        code,
        field,
    };
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    let huge = format!("{{\"quantity\": 1, \"x\": \"{}\"}}", "x".repeat(600_000));
    let mut cases = vec![
        bad(get.clone(), &unknown, None, "", 404, "product_not_found", None),
        bad(get.clone(), "/v1/products/nonsense", None, "", 404, "product_not_found", None),
        bad(get.clone(), "/v1/nowhere", None, "", 404, "not_found", None),
        bad(Method::DELETE, "/v1/search", None, "", 405, "method_not_allowed", None),
        bad(put.clone(), &nowhere, token, &quantity(1), 404, "product_not_found", None),
        bad(put.clone(), &item, token, &quantity(0), 422, "invalid", Some("quantity")),
        bad(put.clone(), &item, token, &quantity(-1), 422, "invalid", Some("quantity")),
        bad(put.clone(), &item, token, &quantity(10_001), 422, "invalid", Some("quantity")),
        bad(put.clone(), &item, token, "{\"quantity\": 1", 400, "malformed_json", None),
        bad(put.clone(), &item, token, &huge, 413, "body_too_large", None),
        bad(get.clone(), "/v1/me", None, "", 401, "unauthenticated", None),
        bad(get.clone(), "/v1/me", Some("a.b.c"), "", 401, "unauthenticated", None),
        bad(post.clone(), "/v1/staff/products", token, &offer.to_string(), 403, "staff_only", None),
        bad(post.clone(), "/v1/orders", token, &order, 400, "idempotency_key_missing", None),
    ];
    cases.push(Bad {
        content_type: "text/plain",
        ..bad(put, &item, token, &quantity(1), 415, "unsupported_media_type", None)
    });
    cases.push(Bad {
        key: Some(&key),
        ..bad(post, "/v1/orders", token, &order, 409, "cart_empty", None)
    });
    for case in cases {
        let answer = send(shop, &shopper, &case).await?;
        check(&case, &answer).with_context(|| format!("{} {}", case.method, case.path))?;
    }
    Ok(())
}

async fn send(shop: &Shop, shopper: &Shopper, case: &Bad<'_>) -> Result<Answer> {
    let url = format!("{}{}", shop.urls()[0], case.path);
    let mut request = http::Request::builder().method(case.method.clone()).uri(url);
    request = request.header("content-type", case.content_type);
    if let Some(token) = case.token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if let Some(key) = case.key {
        request = request.header("idempotency-key", key);
    }
    shopper.api.client().send(request.body(full(case.body.clone()))?, SETTLED).await
}

fn check(case: &Bad<'_>, answer: &Answer) -> Result<()> {
    let body = String::from_utf8_lossy(&answer.body);
    ensure!(answer.status == case.status, "{} instead of {}: {body}", answer.status, case.status);
    ensure!(answer.header("content-type") == Some("application/problem+json"), "{body}");
    let problem: Value = answer.json()?;
    ensure!(problem["code"] == case.code && problem["status"] == case.status, "{body}");
    if let Some(field) = case.field {
        ensure!(problem["fields"][0]["field"] == field, "{body}");
    }
    let inside = ["sqlx", "postgres", "panicked", "constraint", "tonic"];
    ensure!(!inside.iter().any(|word| body.contains(word)), "tells what is inside: {body}");
    Ok(())
}

pub async fn what_is_somebody_elses_does_not_exist(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let (owner, other) = (Shopper::new(shop).await?, Shopper::new(shop).await?);
    let order = owner.order(&staff.product(5).await?, 1).await?;
    let id = crate::shopper::text(&order, "order_id");
    owner.settles(&order).await?;
    for (method, path) in [
        (Method::GET, format!("/v1/orders/{id}")),
        (Method::GET, format!("/v1/orders/{id}/events")),
        (Method::GET, format!("/v1/orders/{id}/payment")),
        (Method::POST, format!("/v1/orders/{id}/cancel")),
    ] {
        let body = json!({});
        let body = (method == Method::POST).then_some(&body);
        let answer = other.api.call(method, &path, Some(&other.token), body, &[]).await;
        let (status, _) = crate::shopper::refusal(answer).context(path.clone())?;
        ensure!(status == 404, "{path}: {status}");
    }
    Ok(())
}
