//! Who is looking, by the cookie.

use axum::extract::FromRequestParts;
use http::request::Parts;
use kernel::CartId;

use super::{Failed, cookies};
use crate::app::App;
use crate::token::Token;

/// Somebody who is signed in.
pub(super) struct Customer {
    pub(super) token: Token,
}

impl FromRequestParts<App> for Customer {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failed> {
        let customer = signed_in(parts, app).await?;
        customer.ok_or(Failed::SignIn)
    }
}

async fn signed_in(parts: &Parts, app: &App) -> Result<Option<Customer>, Failed> {
    let Some(session) = cookies::session(app, &parts.headers) else { return Ok(None) };
    let access_token = app.sessions().access_token(&session).await?;
    let token = access_token.and_then(|token| Token::new(&token));
    Ok(token.map(|token| Customer { token }))
}

/// Whose cart it is.
pub(super) enum Shopper {
    Customer(Customer),
    Guest(CartId),
    /// Has no cart yet.
    Newcomer,
}

impl FromRequestParts<App> for Shopper {
    type Rejection = Failed;

    /// A session that has ended makes a guest.
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failed> {
        if let Some(customer) = signed_in(parts, app).await? {
            return Ok(Self::Customer(customer));
        }
        Ok(cookies::cart(app, &parts.headers).map_or(Self::Newcomer, Self::Guest))
    }
}

impl Shopper {
    /// `None` for who has none; empty for a customer, whose cart the service reads from the token.
    pub(super) fn cart_id(&self) -> Option<String> {
        match self {
            Self::Customer(_) => Some(String::new()),
            Self::Guest(id) => Some(id.to_string()),
            Self::Newcomer => None,
        }
    }

    pub(super) fn request<T>(&self, message: T) -> tonic::Request<T> {
        match self {
            Self::Customer(customer) => customer.token.request(message),
            Self::Guest(_) | Self::Newcomer => tonic::Request::new(message),
        }
    }
}
