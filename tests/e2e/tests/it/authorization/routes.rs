//! Every route as everybody.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use http::Method;
use kernel::PaymentMethodId;
use operator::http::{Answer, full};
use serde_json::{Value, json};

use super::{Access, Cast, EVERYBODY, Verdict, Who};
use crate::shopper::{SETTLED, fresh, gbp};

/// A route, whom it is for, and what those are answered.
type Row = (&'static str, Access, u16);

/// In the order in which they are asked: what ends something comes last.
const ROUTES: &[Row] = &[
    ("GET /", Access::Page, 200),
    ("GET /products", Access::Page, 200),
    ("GET /products/{id}", Access::Page, 200),
    ("GET /search", Access::Page, 200),
    ("GET /cart", Access::Page, 200),
    ("POST /cart", Access::Page, 403),
    ("GET /sign-in", Access::Page, 200),
    ("POST /sign-in", Access::Page, 403),
    ("GET /register", Access::Page, 200),
    ("POST /register", Access::Page, 403),
    ("POST /sign-out", Access::Page, 403),
    ("GET /account", Access::Page, 303),
    ("POST /account/addresses", Access::Page, 403),
    ("POST /account/cards", Access::Page, 403),
    ("GET /checkout", Access::Page, 303),
    ("POST /checkout", Access::Page, 403),
    ("GET /orders", Access::Page, 303),
    ("GET /orders/{id}", Access::Page, 303),
    ("GET /orders/{id}/live", Access::Page, 303),
    ("POST /orders/{id}/cancel", Access::Page, 403),
    ("POST /orders/{id}/returns", Access::Page, 403),
    ("GET /assets/{name}", Access::Page, 404), // no such file
    ("GET /pictures/{name}", Access::Page, 404),
    ("GET /staff", Access::Page, 303),
    ("GET /staff/products", Access::Page, 303),
    ("POST /staff/products", Access::Page, 403),
    ("GET /staff/products/{id}", Access::Page, 303),
    ("POST /staff/products/{id}", Access::Page, 403),
    ("GET /staff/returns", Access::Page, 303),
    ("POST /staff/returns", Access::Page, 403),
    ("GET /staff/refunds", Access::Page, 303),
    ("POST /staff/refunds", Access::Page, 403),
    ("GET /staff/imports", Access::Page, 303),
    ("POST /staff/imports", Access::Page, 403),
    ("GET /staff/imports/{id}", Access::Page, 303),
    ("GET /staff/imports/{id}/live", Access::Page, 303),
    ("POST /staff/imports/{id}/cancel", Access::Page, 403),
    ("GET /v1", Access::Open, 200),
    ("GET /v1/products", Access::Open, 200),
    ("GET /v1/products/{id}", Access::Open, 200),
    ("GET /v1/products/{id}/bought-together", Access::Open, 200),
    ("GET /v1/popular", Access::Open, 200),
    ("GET /v1/bestsellers", Access::Open, 200),
    ("GET /v1/categories", Access::Open, 200),
    ("GET /v1/search", Access::Open, 422), // nothing is searched for
    ("POST /v1/users", Access::Open, 422), // nobody is named
    ("POST /v1/sessions", Access::Open, 422),
    ("POST /v1/sessions/refresh", Access::Open, 422),
    ("GET /v1/me", Access::SignedIn, 200),
    ("PATCH /v1/me", Access::SignedIn, 200),
    ("POST /v1/me/addresses", Access::SignedIn, 201),
    ("GET /v1/payment-methods", Access::SignedIn, 200),
    ("POST /v1/payment-methods", Access::SignedIn, 201),
    ("GET /v1/cart", Access::Guest, 200),
    ("PUT /v1/cart/items/{product_id}", Access::Guest, 200),
    ("DELETE /v1/cart/items/{product_id}", Access::Guest, 200),
    ("DELETE /v1/cart", Access::Guest, 204),
    ("GET /v1/orders", Access::SignedIn, 200),
    ("POST /v1/orders", Access::SignedIn, 409), // the cart is empty
    ("GET /v1/orders/{id}", Access::Owner, 200),
    ("GET /v1/orders/{id}/events", Access::Owner, 200),
    ("GET /v1/orders/{id}/payment", Access::Owner, 200),
    ("POST /v1/orders/{id}/cancel", Access::Owner, 409), // it is confirmed
    ("POST /v1/orders/{id}/returns", Access::Owner, 202),
    ("POST /v1/staff/products", Access::Staff, 201),
    ("PATCH /v1/staff/products/{id}", Access::Staff, 409), // of another version
    ("PUT /v1/staff/products/{id}/price", Access::Staff, 200),
    ("POST /v1/staff/products/{id}/receipts", Access::Staff, 200),
    ("GET /v1/staff/products/{id}/stock", Access::Staff, 200),
    ("POST /v1/staff/import", Access::Staff, 200),
    ("POST /v1/staff/imports", Access::Staff, 422), // an empty file
    ("GET /v1/staff/imports/{id}", Access::Staff, 404), // no such import
    ("GET /v1/staff/imports/{id}/events", Access::Staff, 404),
    ("POST /v1/staff/imports/{id}/cancel", Access::Staff, 404),
    ("DELETE /v1/staff/products/{id}", Access::Staff, 200),
    ("GET /v1/staff/refunds", Access::Staff, 200),
    ("POST /v1/staff/refunds/{id}/retry", Access::Staff, 404), // no such refund
    ("POST /v1/staff/refunds/{id}/settle", Access::Staff, 404),
    ("GET /v1/staff/returns", Access::Staff, 200),
    ("POST /v1/staff/orders/{id}/returns/{return_id}/receive", Access::Staff, 404), // no such order
    ("POST /v1/staff/orders/{id}/returns/{return_id}/refuse", Access::Staff, 404),
    ("POST /v1/webhooks/psp", Access::Provider, 0),
    ("DELETE /v1/me", Access::SignedIn, 204),
    ("DELETE /v1/sessions", Access::SignedIn, 204),
];

/// What may be done again with the token of a sign-in that it ended: the answer may have been lost.
const REPEATED: &[(&str, Who)] = &[
    ("DELETE /v1/sessions", Who::SignedOut),
    ("DELETE /v1/sessions", Who::Erased),
    ("DELETE /v1/me", Who::Erased),
];

/// The complaints.
pub async fn ask(cast: &Cast<'_>) -> Result<Vec<String>> {
    let mut wrong = missing(cast).await?;
    for (route, access, good) in ROUTES {
        for who in EVERYBODY {
            let answer = send(cast, route, who).await.with_context(|| (*route).to_owned())?;
            let repeated = REPEATED.contains(&(*route, who));
            let expected = if repeated { *good } else { status(access.verdict(who), *good) };
            let right = *access != Access::Page || is_as_pages_answer(&answer);
            if answer.status != expected || !right {
                let body = String::from_utf8_lossy(&answer.body);
                wrong
                    .push(format!("{route} as {who:?}: {}, not {expected}: {body}", answer.status));
            }
        }
    }
    Ok(wrong)
}

fn status(verdict: Verdict, good: u16) -> u16 {
    match verdict {
        Verdict::Allowed => good,
        Verdict::Unauthenticated => 401,
        Verdict::Forbidden => 403,
        Verdict::NotFound => 404,
    }
}

/// What a page answers to somebody without a cookie, and to a form that no page of ours sent.
fn is_as_pages_answer(answer: &Answer) -> bool {
    match answer.status {
        303 => answer.header("location").is_some_and(|to| to.starts_with("/sign-in?next=")),
        403 => String::from_utf8_lossy(&answer.body).contains("cross_origin"),
        _ => true,
    }
}

/// Routes without a row, and rows without a route.
async fn missing(cast: &Cast<'_>) -> Result<Vec<String>> {
    let rows: BTreeSet<String> = ROUTES.iter().map(|(route, ..)| (*route).to_owned()).collect();
    let mut served = BTreeSet::new();
    for path in gateway::paths() {
        // A method that no route has is told those that it has.
        let client = cast.owner.api.client();
        let request = client.request("BREW".parse()?, &filled(cast, path)).body(full(""))?;
        let answer = client.send(request, SETTLED).await?;
        let methods = answer.header("allow").with_context(|| format!("{path} allows nothing"))?;
        let methods = methods.split(',').filter(|method| *method != "HEAD");
        served.extend(methods.map(|method| format!("{method} {path}")));
    }
    let no_row = served.difference(&rows).map(|route| {
        format!("{route} has no row: add (\"{route}\", Access::…, 200) to ROUTES in {}", file!())
    });
    let gone = rows.difference(&served).map(|route| format!("no route {route}: take its row out"));
    Ok(no_row.chain(gone).collect())
}

fn filled(cast: &Cast<'_>, path: &str) -> String {
    let of_order = path.strip_prefix("/v1").unwrap_or(path).starts_with("/orders");
    let id = if of_order { &cast.order } else { &cast.product };
    // Nobody's return: routes that name one are asked about an order that is not there.
    let path = path.replace("{return_id}", &cast.product);
    let path = path.replace("{id}", id).replace("{product_id}", &cast.product);
    path.replace("{name}", "x.svg") // no name that is served
}

async fn send(cast: &Cast<'_>, route: &str, who: Who) -> Result<Answer> {
    let (method, path) = route.split_once(' ').context("a method and a path")?;
    let client = cast.owner.api.client();
    let mut request = client.request(method.parse::<Method>()?, &filled(cast, path));
    let import = path == "/v1/staff/import" || path == "/v1/staff/imports";
    let content_type = if import { "application/x-ndjson" } else { "application/json" };
    request = request.header("content-type", content_type).header("idempotency-key", fresh());
    if let Some(token) = cast.tokens.of(who) {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if import { String::new() } else { body(cast, route).to_string() };
    client.send(request.body(full(body))?, SETTLED).await
}

/// A request that is good, where that matters: the services look at the token first.
fn body(cast: &Cast<'_>, route: &str) -> Value {
    match route {
        "PATCH /v1/me" => json!({ "name": "Zohra" }),
        "POST /v1/me/addresses" => json!({ "recipient": "Z", "line1": "1 Gate", "city": "Fes",
            "postcode": "30000", "country": "MA" }),
        "POST /v1/payment-methods" => json!({ "card_token": "tok_approve" }),
        "PUT /v1/cart/items/{product_id}" => json!({ "quantity": 1 }),
        "POST /v1/orders" => json!({ "payment_method_id": PaymentMethodId::mint().to_string() }),
        "POST /v1/orders/{id}/returns"
        | "POST /v1/staff/orders/{id}/returns/{return_id}/receive" => {
            json!({ "items": [{ "product_id": cast.product, "quantity": 1 }] })
        }
        "POST /v1/staff/orders/{id}/returns/{return_id}/refuse" => json!({ "reason": "x" }),
        "POST /v1/staff/products" => json!({ "sku": fresh(), "name": "x",
            "category": "x", "price": gbp(1) }),
        "PATCH /v1/staff/products/{id}" => json!({ "version": 999, "name": "x",
            "description": "", "category": "x" }),
        "PUT /v1/staff/products/{id}/price" => gbp(250),
        "POST /v1/staff/products/{id}/receipts" => json!({ "quantity": 1, "receipt": "matrix" }),
        "POST /v1/staff/refunds/{id}/retry" | "POST /v1/staff/refunds/{id}/settle" => {
            json!({ "note": "x" })
        }
        _ => json!({}),
    }
}
