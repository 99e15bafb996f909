//! All routes, by context; the table is in README.md.

mod products;
mod users;
pub(crate) mod sessions;
pub(crate) mod carts;
mod orders;
mod returns;
mod payments;
mod refunds;
mod staff;
pub(crate) mod imports;
mod webhooks;
mod table;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::Config;
use crate::app::App;
use crate::problem::Problem;
use crate::stack::Stack;
use crate::storefront::{self, Origin, refusal, wants_html};

pub(crate) use table::Table;

/// The router, with everything that a request goes through around each route.
pub(crate) fn all(app: App, config: &Config) -> Router {
    table(config.origin.clone())
        .router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Stack::new(config))
        .with_state(app)
}

/// Every path that is served, with its parameters in braces. Which methods it has, it says in
/// `Allow` when it is asked with another.
pub fn paths() -> Vec<&'static str> {
    table(None).paths
}

fn table(origin: Option<Origin>) -> Table {
    Table::new()
        .route("/v1", get(index))
        .merge(storefront::routes(origin))
        .merge(products::routes())
        .merge(users::routes())
        .merge(sessions::routes())
        .merge(carts::routes())
        .merge(orders::routes())
        .merge(returns::routes())
        .merge(payments::routes())
        .merge(refunds::routes())
        .merge(staff::routes())
        .merge(imports::routes())
        .merge(webhooks::routes())
}

const INDEX: &str = concat!(
    r#"{"name":"souk","links":{"products":"/v1/products","search":"/v1/search?q=","popular":"/v1/popular","bestsellers":"/v1/bestsellers","categories":"/v1/categories","users":"/v1/users","#,
    r#""sessions":"/v1/sessions","me":"/v1/me","cart":"/v1/cart","payment_methods":"/v1/payment-methods","#,
    r#""orders":"/v1/orders"}}"#,
    "\n"
);

async fn index() -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    const AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");
    ([(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, AN_HOUR)], INDEX).into_response()
}

async fn not_found(headers: HeaderMap) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here");
    refusal(problem, wants_html(&headers))
}

async fn method_not_allowed(headers: HeaderMap) -> Response {
    let detail = "this is not a method of this resource; allow lists those that are";
    let code = "method_not_allowed";
    refusal(Problem::new(StatusCode::METHOD_NOT_ALLOWED, code, detail), wants_html(&headers))
}
