//! The storefront: pages for browsers, rendered here (server-side rendering). They show what `/v1` answers, work without JavaScript,
//! and are enhanced by one script.
//!
//! Pages have cookies and no bearers, `/v1` has bearers and no cookies: so no other site can make a browser act in `/v1` (no CSRF there),
//! and forms here have to come from an origin of ours ([`origin`]). Public pages read no cookie at all, so that any cache may keep them.

mod assets;
mod html;
mod view;
mod pictures;
mod failed;
mod cookies;
mod origin;
mod form;
mod upload;
mod customer;
mod catalogue;
mod cart;
mod account;
mod checkout;
mod orders;
mod staff;

pub(crate) use failed::refusal;
pub(crate) use html::wants_html;
pub(crate) use origin::Origin;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::routes::Table;

use failed::Failed;

/// The pages. `ours`: where browsers reach the shop, when that is configured.
pub(crate) fn routes(ours: Option<Origin>) -> Table {
    let Table { router, paths } = pages();
    Table { router: router.layer(from_fn_with_state(ours, failed::around)), paths }
}

fn pages() -> Table {
    Table::new()
        .route("/", get(catalogue::home))
        .route("/products", get(catalogue::list))
        .route("/products/{id}", get(catalogue::one))
        .route("/search", get(catalogue::search))
        .route("/cart", get(cart::show).post(cart::change))
        .route("/sign-in", get(account::sign_in_page).post(account::sign_in))
        .route("/register", get(account::register_page).post(account::register))
        .route("/sign-out", post(account::sign_out))
        .route("/account", get(account::show))
        .route("/account/addresses", post(account::add_address))
        .route("/account/cards", post(account::add_card))
        .route("/checkout", get(checkout::show).post(checkout::place))
        .route("/orders", get(orders::list))
        .route("/orders/{id}", get(orders::one))
        .route("/orders/{id}/live", get(orders::watch))
        .route("/orders/{id}/cancel", post(orders::cancel))
        .route("/orders/{id}/returns", post(orders::return_items))
        .route("/assets/{name}", get(assets::serve))
        .route("/pictures/{name}", get(pictures::serve))
        .merge(staff::routes())
}
