//! Refunds that the provider refused: staff see them and decide. Who is staff is for payment to say.

use axum::extract::{FromRequestParts, RawPathParams, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use http::request::Parts;
use proto::payment::v1 as payment;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::problem::Problem;
use crate::query::Query;
use crate::render::{Refund, json, required};
use crate::token::Token;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/staff/refunds", get(list))
        .route("/v1/staff/refunds/{id}/retry", post(retry))
        .route("/v1/staff/refunds/{id}/settle", post(settle))
}

/// The provider's key for a refund. Payment knows what it names.
struct RefundId(String);

impl<S: Send + Sync> FromRequestParts<S> for RefundId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        let id = params.and_then(|params| Some(params.iter().next()?.1.to_owned()));
        id.map(Self).ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "refund_not_found", "there is no such refund")
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Page {
    order_id: String,
    page_size: u32,
    page_token: String,
}

#[derive(Serialize)]
struct Refunds<'a> {
    refunds: Vec<Refund<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

async fn list(
    State(app): State<App>,
    token: Token,
    Query(Page { order_id, page_size, page_token }): Query<Page>,
) -> Result<Response, Problem> {
    let request = payment::ListRefundsRequest { order_id, page_size, page_token };
    let reply = app.payment().list_refunds(token.request(request)).await?.into_inner();
    let refunds = reply.refunds.iter().map(Refund::from).collect();
    Ok(json(StatusCode::OK, &Refunds { refunds, next_page_token: &reply.next_page_token }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    note: String,
}

async fn retry(
    State(app): State<App>,
    token: Token,
    RefundId(refund_id): RefundId,
    Json(Decision { note }): Json<Decision>,
) -> Result<Response, Problem> {
    let request = token.request(payment::RetryRefundRequest { refund_id, note });
    let refund = required(app.payment().retry_refund(request).await?.into_inner().refund)?;
    Ok(json(StatusCode::ACCEPTED, &Refund::from(&refund)))
}

async fn settle(
    State(app): State<App>,
    token: Token,
    RefundId(refund_id): RefundId,
    Json(Decision { note }): Json<Decision>,
) -> Result<Response, Problem> {
    let request = token.request(payment::SettleRefundRequest { refund_id, note });
    let refund = required(app.payment().settle_refund(request).await?.into_inner().refund)?;
    Ok(json(StatusCode::OK, &Refund::from(&refund)))
}
