//! Our two cookies: a browser's session, and a guest's cart.
//!
//! With an https origin they are `__Host-` (RFC 6265bis, 4.1.3): no other host can set them, and no plain connection sends them. Browsers refuse that prefix
//! without `Secure`, and some refuse `Secure` on http://localhost; so without a configured https origin the names have no prefix.

use std::time::Duration;

use axum::response::Response;
use headers::{Cookie, HeaderMapExt as _};
use http::{HeaderMap, HeaderValue, header};
use kernel::CartId;

use crate::app::App;
use crate::sessions::SessionId;

const SESSION: (&str, &str) = ("__Host-souk-session", "souk-session");
const CART: (&str, &str) = ("__Host-souk-cart", "souk-cart");
/// Browsers keep no cookie for longer than 400 days.
const CART_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The session that the browser says it has, if it can be one.
pub(super) fn session(app: &App, headers: &HeaderMap) -> Option<SessionId> {
    SessionId::presented(headers.typed_get::<Cookie>()?.get(name(app, SESSION))?)
}

/// The guest's cart.
pub(super) fn cart(app: &App, headers: &HeaderMap) -> Option<CartId> {
    headers.typed_get::<Cookie>()?.get(name(app, CART))?.parse().ok()
}

/// The browser has this session from now on; it forgets it when it is closed.
pub(super) fn set_session(app: &App, response: &mut Response, id: &SessionId) {
    set(app, response, SESSION, id.expose(), None);
}

pub(super) fn remove_session(app: &App, response: &mut Response) {
    set(app, response, SESSION, "", Some(Duration::ZERO));
}

pub(super) fn set_cart(app: &App, response: &mut Response, id: CartId) {
    set(app, response, CART, &id.to_string(), Some(CART_LIFE));
}

pub(super) fn remove_cart(app: &App, response: &mut Response) {
    set(app, response, CART, "", Some(Duration::ZERO));
}

fn is_secure(app: &App) -> bool {
    app.origin().is_some_and(super::Origin::is_https)
}

fn name(app: &App, (secure, plain): (&'static str, &'static str)) -> &'static str {
    if is_secure(app) { secure } else { plain }
}

/// `Lax`: a link in a mail finds its reader signed in; a form elsewhere sends no cookie.
fn set(
    app: &App,
    response: &mut Response,
    names: (&'static str, &'static str),
    value: &str,
    life: Option<Duration>,
) {
    let secure = if is_secure(app) { "; Secure" } else { "" };
    let life = life.map(|life| format!("; Max-Age={}", life.as_secs())).unwrap_or_default();
    let name = name(app, names);
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{life}");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
