//! Payment methods: card tokens of the provider, never cards.

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use proto::payment::v1 as payment;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::problem::Problem;
use crate::render::{PaymentMethod, json, required};
use crate::token::Token;

pub(super) fn routes() -> Table {
    Table::new().route("/v1/payment-methods", get(list).post(add))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewMethod {
    card_token: String,
    #[serde(default)]
    label: String,
}

async fn add(
    State(app): State<App>,
    token: Token,
    Json(NewMethod { card_token, label }): Json<NewMethod>,
) -> Result<Response, Problem> {
    let request = token.request(payment::AddPaymentMethodRequest { card_token, label });
    let reply = app.payment().add_payment_method(request).await?.into_inner();
    let method = required(reply.payment_method)?;
    Ok(json(StatusCode::CREATED, &PaymentMethod::from(&method)))
}

#[derive(Serialize)]
struct Methods<'a> {
    payment_methods: Vec<PaymentMethod<'a>>,
}

async fn list(State(app): State<App>, token: Token) -> Result<Response, Problem> {
    let request = token.request(payment::ListPaymentMethodsRequest {});
    let reply = app.payment().list_payment_methods(request).await?.into_inner();
    let payment_methods = reply.payment_methods.iter().map(PaymentMethod::from).collect();
    Ok(json(StatusCode::OK, &Methods { payment_methods }))
}
