//! Signing in and out.

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use kernel::CartId;
use proto::cart::v1::MergeCartRequest;
use proto::user::v1 as user;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::problem::Problem;
use crate::render::{json, required};
use crate::token::Token;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/sessions", post(sign_in).delete(sign_out))
        .route("/v1/sessions/refresh", post(refresh))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    email: String,
    password: String,
    guest_cart_id: Option<String>,
}

#[derive(Serialize)]
struct Session<'a> {
    access_token: &'a str,
    refresh_token: &'a str,
    expires_in_seconds: u32,
    user_id: &'a str,
    /// Only told to who brought a cart. `false`: the cart is still a guest's, and another sign-in
    /// with it tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    cart_merged: Option<bool>,
}

impl<'a> Session<'a> {
    fn new(session: &'a user::Session, cart_merged: Option<bool>) -> Self {
        Self {
            access_token: &session.access_token,
            refresh_token: &session.refresh_token,
            expires_in_seconds: session.expires_in_seconds,
            user_id: &session.user_id,
            cart_merged,
        }
    }
}

async fn sign_in(State(app): State<App>, Json(body): Json<SignIn>) -> Result<Response, Problem> {
    let guest = body.guest_cart_id.map(|id| id.parse::<CartId>()).transpose();
    let guest = guest.map_err(|_| Problem::invalid("guest_cart_id", "not an id"))?;
    let request = user::SignInRequest { email: body.email, password: body.password };
    let session = required(app.user().sign_in(request).await?.into_inner().session)?;
    let merged = match guest {
        Some(guest) => Some(merge(&app, &session.access_token, guest).await),
        None => None,
    };
    Ok(json(StatusCode::CREATED, &Session::new(&session, merged)))
}

/// Whether the guest's cart is the user's now. Whoever is signed in stays so, cart or no cart.
pub(crate) async fn merge(app: &App, access_token: &str, guest: CartId) -> bool {
    let Some(token) = Token::new(access_token) else { return false };
    let request = token.request(MergeCartRequest { guest_cart_id: guest.to_string() });
    let merged = app.cart().merge_cart(request).await;
    if let Err(refused) = &merged {
        tracing::warn!(code = ?refused.code(), message = refused.message(), "a cart was not merged");
    }
    merged.is_ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refresh {
    refresh_token: String,
}

async fn refresh(
    State(app): State<App>,
    Json(Refresh { refresh_token }): Json<Refresh>,
) -> Result<Response, Problem> {
    let request = user::RefreshSessionRequest { refresh_token };
    let session = required(app.user().refresh_session(request).await?.into_inner().session)?;
    Ok(json(StatusCode::OK, &Session::new(&session, None)))
}

async fn sign_out(State(app): State<App>, token: Token) -> Result<StatusCode, Problem> {
    app.user().sign_out(token.request(user::SignOutRequest {})).await?;
    Ok(StatusCode::NO_CONTENT)
}
