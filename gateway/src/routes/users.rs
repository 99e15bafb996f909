//! Accounts: registering, and the customer's own.

use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use proto::user::v1 as user;
use serde::Deserialize;

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::problem::Problem;
use crate::render::{Address, User, json, required};
use crate::token::Token;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/users", post(register))
        .route("/v1/me", get(me).patch(update).delete(erase))
        .route("/v1/me/addresses", post(add_address))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    email: String,
    password: String,
    name: String,
}

async fn register(
    State(app): State<App>,
    Json(new): Json<Registration>,
) -> Result<Response, Problem> {
    let Registration { email, password, name } = new;
    let request = user::RegisterRequest { email, password, name };
    let user = required(app.user().register(request).await?.into_inner().user)?;
    Ok(json(StatusCode::CREATED, &User::from(&user)))
}

async fn me(State(app): State<App>, token: Token) -> Result<Response, Problem> {
    let request = token.request(user::GetUserRequest {});
    let user = required(app.user().get_user(request).await?.into_inner().user)?;
    Ok(json(StatusCode::OK, &User::from(&user)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    name: String,
}

async fn update(
    State(app): State<App>,
    token: Token,
    Json(Update { name }): Json<Update>,
) -> Result<Response, Problem> {
    let request = token.request(user::UpdateUserRequest { name });
    let user = required(app.user().update_user(request).await?.into_inner().user)?;
    Ok(json(StatusCode::OK, &User::from(&user)))
}

async fn erase(State(app): State<App>, token: Token) -> Result<StatusCode, Problem> {
    app.user().erase_user(token.request(user::EraseUserRequest {})).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAddress {
    recipient: String,
    line1: String,
    #[serde(default)]
    line2: String,
    city: String,
    postcode: String,
    country: String,
}

async fn add_address(
    State(app): State<App>,
    token: Token,
    Json(new): Json<NewAddress>,
) -> Result<Response, Problem> {
    let address = user::Address {
        address_id: String::new(),
        recipient: new.recipient,
        line1: new.line1,
        line2: new.line2,
        city: new.city,
        postcode: new.postcode,
        country: new.country,
    };
    let request = token.request(user::AddAddressRequest { address: Some(address) });
    let address = required(app.user().add_address(request).await?.into_inner().address)?;
    Ok(json(StatusCode::CREATED, &Address::from(&address)))
}
