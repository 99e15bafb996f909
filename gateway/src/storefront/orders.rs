//! Orders: what each service has done for one, as it happens.

mod lanes;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use kernel::{OrderId, ReturnId};
use net::Permit;
use proto::order::v1 as order;
use proto::payment::v1::{GetPaymentRequest, Payment};
use rpc::deadline;
use serde::Deserialize;

use super::Failed;
use super::account::Nothing;
use super::customer::Customer;
use super::form::Form;
use super::html::{BESIDE_WITHIN, Layout, own, see_other};
use super::view::amount;
use crate::app::App;
use crate::live::{self, OrderStream};
use crate::path::Id;
use crate::problem::Problem;
use crate::query::{Page, Query};
use crate::render::required;
use crate::sse::{self, LastEventId};

use lanes::Lane;

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    layout: Layout,
    order: order::Order,
    lanes: [Lane; 3],
    heading: &'static str,
    explanation: &'static str,
}

impl OrderPage {
    fn is_settled(&self) -> bool {
        matches!(self.order.state(), order::State::Confirmed | order::State::Cancelled)
    }

    fn is_confirmed(&self) -> bool {
        self.order.state() == order::State::Confirmed
    }

    fn was_refunded(&self) -> bool {
        self.order.refunded.as_ref().is_some_and(|refunded| refunded.minor_units > 0)
    }
}

pub(super) async fn one(
    State(app): State<App>,
    customer: Customer,
    id: Result<Id<OrderId>, Problem>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    let request = customer.token.request(order::GetOrderRequest { order_id: id.to_string() });
    let (mut orders, payment) = (app.order(), payment_of(&app, &customer, id));
    let (order, payment) = tokio::join!(orders.get_order(request), payment);
    let order = required(order?.into_inner().order)?;
    let (heading, explanation) = lanes::summary(&order);
    Ok(own(
        StatusCode::OK,
        &OrderPage {
            layout: Layout::new(app.copy(), "Your order"),
            lanes: lanes::of(&order, payment.as_ref()),
            heading,
            explanation,
            order,
        },
    ))
}

/// Beside the point: payment may be away, or know nothing of it yet.
async fn payment_of(app: &App, customer: &Customer, id: OrderId) -> Option<Payment> {
    let request = customer.token.request(GetPaymentRequest { order_id: id.to_string() });
    let mut payment = app.payment();
    let answer = deadline::within(BESIDE_WITHIN, payment.get_payment(request)).await;
    answer.ok()?.into_inner().payment
}

/// The same stream as `/v1/orders/{id}/events`, by cookie: the page shows itself anew at each event.
pub(super) async fn watch(
    State(app): State<App>,
    customer: Customer,
    id: Result<Id<OrderId>, Problem>,
    LastEventId(after_version): LastEventId,
    permit: Option<Extension<Arc<Permit>>>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    match OrderStream::begin(&app, customer.token, id, after_version).await {
        Ok(versions) => {
            let permit = permit.map(|Extension(permit)| permit);
            Ok(sse::respond(sse::of_order(versions), &app, permit))
        }
        Err(refused) if live::is_end(&refused) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(refused) => Err(refused.into()),
    }
}

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage {
    layout: Layout,
    orders: Vec<order::Order>,
    next_page_token: String,
}

pub(super) async fn list(
    State(app): State<App>,
    customer: Customer,
    page: Result<Query<Page>, Problem>,
) -> Result<Response, Failed> {
    let Query(Page { page_token, .. }) = page?;
    let request = order::ListOrdersRequest { page_size: 20, page_token };
    let reply = app.order().list_orders(customer.token.request(request)).await?.into_inner();
    let order::ListOrdersResponse { orders, next_page_token } = reply;
    let layout = Layout::new(app.copy(), "Your orders");
    Ok(own(StatusCode::OK, &OrdersPage { layout, orders, next_page_token }))
}

pub(super) async fn cancel(
    State(app): State<App>,
    customer: Customer,
    id: Result<Id<OrderId>, Problem>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    let request = order::CancelOrderRequest { order_id: id.to_string() };
    app.order().cancel_order(customer.token.request(request)).await?;
    Ok(see_other(&format!("/orders/{id}")))
}

#[derive(Deserialize)]
pub(super) struct Returned {
    return_id: String,
    product_id: String,
    quantity: i64,
}

pub(super) async fn return_items(
    State(app): State<App>,
    customer: Customer,
    id: Result<Id<OrderId>, Problem>,
    Form(Returned { return_id, product_id, quantity }): Form<Returned>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    let item = order::return_items_request::Item { product_id, quantity };
    let request =
        order::ReturnItemsRequest { order_id: id.to_string(), return_id, items: vec![item] };
    app.order().return_items(customer.token.request(request)).await?;
    Ok(see_other(&format!("/orders/{id}")))
}

/// The id of a return that is not requested yet: its form may be sent twice.
fn fresh() -> String {
    ReturnId::mint().to_string()
}

/// A time for people and for programs: UTC, to the millisecond.
pub(super) fn time(unix_ms: &i64) -> String {
    let since = Duration::from_millis(u64::try_from(*unix_ms).unwrap_or_default());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}
