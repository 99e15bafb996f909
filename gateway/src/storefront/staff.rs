//! The staff's pages: what `/v1/staff` does, as forms. The user service says who is staff, before anything is read or done; what is
//! done the services check themselves, from the token.

mod faults;
mod products;
mod product;
mod returns;
mod refunds;
mod file;
mod imports;

use askama::Template;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use http::request::Parts;
use proto::order::v1::ListReturnsRequest;
use proto::payment::v1::ListRefundsRequest;
use proto::user::v1::Role;
use rpc::deadline;
use serde::Deserialize;

use super::Failed;
use super::account::user_of;
use super::customer::Customer;
use super::html::{BESIDE_WITHIN, Layout, own};
use crate::app::App;
use crate::problem::Problem;
use crate::routes::Table;
use crate::token::Token;

/// Of the catalogue.
const PAGE: u32 = 20;
/// Of what waits for a decision, each with its forms.
const DECISIONS: u32 = 10;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/staff", get(overview))
        .route("/staff/products", get(products::list).post(products::add))
        .route("/staff/products/{id}", get(product::show).post(product::change))
        .route("/staff/returns", get(returns::list).post(returns::decide))
        .route("/staff/refunds", get(refunds::list).post(refunds::decide))
        .route("/staff/imports", get(imports::form).post(imports::start))
        .route("/staff/imports/{id}", get(imports::one))
        .route("/staff/imports/{id}/live", get(imports::watch))
        .route("/staff/imports/{id}/cancel", post(imports::cancel))
}

/// Somebody of the staff.
struct Staff {
    token: Token,
}

impl FromRequestParts<App> for Staff {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Failed> {
        let customer = Customer::from_request_parts(parts, app).await?;
        if user_of(app, &customer).await?.role() == Role::Staff {
            return Ok(Self { token: customer.token });
        }
        // As the services say it.
        let detail = "only staff may do this";
        Err(Problem::new(StatusCode::FORBIDDEN, "staff_only", detail).into())
    }
}

fn layout(app: &App, title: &str) -> Layout {
    Layout::new(app.copy(), title).with_staff_link(Role::Staff)
}

/// What the form before this page has done.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Done {
    done: String,
}

impl Done {
    /// Empty when no form was sent.
    fn sentence(&self) -> &'static str {
        match self.done.as_str() {
            "added" => "The product was added.",
            "revised" => "The text was changed.",
            "price" => "The price was changed.",
            "receipt" => "The delivery was booked in.",
            "retired" => "The product is no longer on sale.",
            "received" => "The return was received: its refund is on its way.",
            "refused" => "The return was refused.",
            "retry" => "The provider will be asked again.",
            "settled" => "The refund was settled by hand.",
            _ => "",
        }
    }
}

#[derive(Template)]
#[template(path = "staff.html")]
struct Overview {
    layout: Layout,
    returns: String,
    refunds: String,
}

/// Everything that staff can do, and how much waits for them.
async fn overview(State(app): State<App>, staff: Staff) -> Result<Response, Failed> {
    let returns = ListReturnsRequest { page_size: DECISIONS, page_token: String::new() };
    let refunds = ListRefundsRequest { page_size: DECISIONS, ..ListRefundsRequest::default() };
    let (mut order, mut payment) = (app.order(), app.payment());
    let (returns, refunds) = tokio::join!(
        deadline::within(BESIDE_WITHIN, order.list_returns(staff.token.request(returns))),
        deadline::within(BESIDE_WITHIN, payment.list_refunds(staff.token.request(refunds))),
    );
    let returns = returns.ok().map(|reply| reply.into_inner());
    let refunds = refunds.ok().map(|reply| reply.into_inner());
    let page = Overview {
        layout: layout(&app, "Staff"),
        returns: waiting(returns.map(|it| (it.returns.len(), it.next_page_token))),
        refunds: waiting(refunds.map(|it| (it.refunds.len(), it.next_page_token))),
    };
    Ok(own(StatusCode::OK, &page))
}

/// How many, and the token of the page with more of them; `None` when that cannot be read.
fn waiting(found: Option<(usize, String)>) -> String {
    match found {
        None => "cannot be read at the moment".to_owned(),
        Some((0, _)) => "none waits for you".to_owned(),
        Some((1, rest)) if rest.is_empty() => "1 waits for you".to_owned(),
        Some((count, rest)) if rest.is_empty() => format!("{count} wait for you"),
        Some((count, _)) => format!("{count} or more wait for you"),
    }
}
