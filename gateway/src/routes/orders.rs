//! Orders: placing one, watching it settle, cancelling. An answer is a function of the
//! service's reply alone, so a repeated request gets an equal answer, from any gateway.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use kernel::OrderId;
use net::Permit;
use proto::order::v1 as order;
use proto::payment::v1::GetPaymentRequest;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::live::{self, OrderStream};
use crate::path::Id;
use crate::problem::Problem;
use crate::query::{Page, Query};
use crate::render::{Money, Order, Payment, TotalChanged, json, required};
use crate::sse::{self, LastEventId};
use crate::token::Token;

/// The detail that order puts beside its refusal.
const TOTAL_CHANGED: &str = "souk.order.v1.TotalChanged";

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/orders", get(list).post(place))
        .route("/v1/orders/{id}", get(one))
        .route("/v1/orders/{id}/events", get(watch))
        .route("/v1/orders/{id}/cancel", post(cancel))
        .route("/v1/orders/{id}/payment", get(payment))
}

/// What makes a repeated checkout the same checkout.
struct IdempotencyKey(String);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refusal = |code, detail| Problem::new(StatusCode::BAD_REQUEST, code, detail);
        let key = parts.headers.get("idempotency-key").ok_or_else(|| {
            refusal("idempotency_key_missing", "a checkout needs an Idempotency-Key header")
        })?;
        let key = key.as_bytes();
        let visible = (1..=128).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        let key = if visible { std::str::from_utf8(key).ok() } else { None };
        key.map(|key| Self(key.to_owned())).ok_or_else(|| {
            let detail = "an Idempotency-Key has 1 to 128 visible ASCII characters";
            refusal("idempotency_key_invalid", detail)
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkout {
    payment_method_id: String,
    #[serde(default)]
    address_id: Option<String>,
    #[serde(default)]
    expected_total: Option<Money>,
}

async fn place(
    State(app): State<App>,
    token: Token,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    Json(checkout): Json<Checkout>,
) -> Result<Response, Problem> {
    let request = token.request(order::PlaceOrderRequest {
        idempotency_key,
        payment_method_id: checkout.payment_method_id,
        address_id: checkout.address_id.unwrap_or_default(),
        expected_total: checkout.expected_total.map(Into::into),
    });
    let placed = app.order().place_order(request).await.map_err(not_placed)?;
    let order = required(placed.into_inner().order)?;
    let mut response = json(StatusCode::ACCEPTED, &Order::from(&order));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/orders/{}", order.order_id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A customer who has agreed to another total is told what it is by now.
fn not_placed(refused: tonic::Status) -> Problem {
    let changed = rpc::status::detail::<order::TotalChanged>(&refused, TOTAL_CHANGED);
    let problem = Problem::from(refused);
    match changed {
        Some(changed) => problem.with(&TotalChanged::from(&changed)),
        None => problem,
    }
}

#[derive(Serialize)]
struct Orders<'a> {
    orders: Vec<Order<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

async fn list(
    State(app): State<App>,
    token: Token,
    Query(Page { page_size, page_token }): Query<Page>,
) -> Result<Response, Problem> {
    let request = token.request(order::ListOrdersRequest { page_size, page_token });
    let reply = app.order().list_orders(request).await?.into_inner();
    let orders = reply.orders.iter().map(Order::brief).collect();
    Ok(json(StatusCode::OK, &Orders { orders, next_page_token: &reply.next_page_token }))
}

async fn one(
    State(app): State<App>,
    token: Token,
    Id(id): Id<OrderId>,
) -> Result<Response, Problem> {
    let request = token.request(order::GetOrderRequest { order_id: id.to_string() });
    let order = required(app.order().get_order(request).await?.into_inner().order)?;
    Ok(json(StatusCode::OK, &Order::from(&order)))
}

async fn watch(
    State(app): State<App>,
    token: Token,
    Id(id): Id<OrderId>,
    LastEventId(after_version): LastEventId,
    permit: Option<Extension<Arc<Permit>>>,
) -> Result<Response, Problem> {
    match OrderStream::begin(&app, token, id, after_version).await {
        Ok(versions) => {
            let permit = permit.map(|Extension(permit)| permit);
            Ok(sse::respond(sse::of_order(versions), &app, permit))
        }
        // What tells an EventSource not to come back.
        Err(refused) if live::is_end(&refused) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(refused) => Err(refused.into()),
    }
}

async fn cancel(
    State(app): State<App>,
    token: Token,
    Id(id): Id<OrderId>,
) -> Result<Response, Problem> {
    let request = token.request(order::CancelOrderRequest { order_id: id.to_string() });
    let order = required(app.order().cancel_order(request).await?.into_inner().order)?;
    Ok(json(StatusCode::ACCEPTED, &Order::from(&order)))
}

async fn payment(
    State(app): State<App>,
    token: Token,
    Id(id): Id<OrderId>,
) -> Result<Response, Problem> {
    let request = token.request(GetPaymentRequest { order_id: id.to_string() });
    let payment = required(app.payment().get_payment(request).await?.into_inner().payment)?;
    Ok(json(StatusCode::OK, &Payment::from(&payment)))
}
