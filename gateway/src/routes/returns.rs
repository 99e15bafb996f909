//! Returns: customers request them, staff receives or refuses them. Who is staff is for order to say,
//! from the token.

use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use http::request::Parts;
use kernel::{OrderId, ReturnId};
use proto::order::v1 as order;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::path::{Id, Ids};
use crate::problem::Problem;
use crate::query::{Page, Query};
use crate::render::{Order, Return, json, required};
use crate::token::Token;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/orders/{id}/returns", post(request))
        .route("/v1/staff/returns", get(on_their_way))
        .route("/v1/staff/orders/{id}/returns/{return_id}/receive", post(receive))
        .route("/v1/staff/orders/{id}/returns/{return_id}/refuse", post(refuse))
}

/// `Idempotency-Key`, which is the id of the return that it stands for.
struct Key(Option<ReturnId>);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(key) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        let id = key.to_str().ok().and_then(|key| key.parse().ok());
        id.map(|id| Self(Some(id))).ok_or_else(|| {
            let detail = "the Idempotency-Key of a return is a UUID: it becomes the return's id";
            Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_invalid", detail)
        })
    }
}

impl Key {
    /// The id of the return: a request that is sent again must name the same.
    fn or(self, return_id: Option<ReturnId>) -> Result<ReturnId, Problem> {
        match (self.0, return_id) {
            (Some(key), Some(id)) if key != id => {
                Err(Problem::invalid("return_id", "differs from the Idempotency-Key"))
            }
            (Some(id), _) | (None, Some(id)) => Ok(id),
            (None, None) => {
                let detail = "a return needs an Idempotency-Key header, or its return_id: a UUID";
                Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", detail))
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default)]
    return_id: Option<ReturnId>,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    product_id: String,
    quantity: i64,
}

async fn request(
    State(app): State<App>,
    token: Token,
    Id(id): Id<OrderId>,
    key: Key,
    Json(Request { return_id, items }): Json<Request>,
) -> Result<Response, Problem> {
    let item =
        |Item { product_id, quantity }| order::return_items_request::Item { product_id, quantity };
    let request = token.request(order::ReturnItemsRequest {
        order_id: id.to_string(),
        return_id: key.or(return_id)?.to_string(),
        items: items.into_iter().map(item).collect(),
    });
    let order = required(app.order().return_items(request).await?.into_inner().order)?;
    Ok(json(StatusCode::ACCEPTED, &Order::from(&order)))
}

#[derive(Serialize)]
struct Returns<'a> {
    returns: Vec<Return<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

async fn on_their_way(
    State(app): State<App>,
    token: Token,
    Query(Page { page_size, page_token }): Query<Page>,
) -> Result<Response, Problem> {
    let request = token.request(order::ListReturnsRequest { page_size, page_token });
    let reply = app.order().list_returns(request).await?.into_inner();
    let returns = reply.returns.iter().map(Return::from).collect();
    Ok(json(StatusCode::OK, &Returns { returns, next_page_token: &reply.next_page_token }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    items: Vec<Item>,
    #[serde(default)]
    reason: String,
}

async fn receive(
    State(app): State<App>,
    token: Token,
    Ids(id, return_id): Ids<OrderId, ReturnId>,
    Json(Receipt { items, reason }): Json<Receipt>,
) -> Result<Response, Problem> {
    let item = |Item { product_id, quantity }| order::receive_return_request::Item {
        product_id,
        quantity,
    };
    let request = token.request(order::ReceiveReturnRequest {
        order_id: id.to_string(),
        return_id: return_id.to_string(),
        items: items.into_iter().map(item).collect(),
        reason,
    });
    let received = required(app.order().receive_return(request).await?.into_inner().r#return)?;
    Ok(json(StatusCode::OK, &Return::from(&received)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    reason: String,
}

async fn refuse(
    State(app): State<App>,
    token: Token,
    Ids(id, return_id): Ids<OrderId, ReturnId>,
    Json(Refusal { reason }): Json<Refusal>,
) -> Result<Response, Problem> {
    let (order_id, return_id) = (id.to_string(), return_id.to_string());
    let request = token.request(order::RefuseReturnRequest { order_id, return_id, reason });
    let refused = required(app.order().refuse_return(request).await?.into_inner().r#return)?;
    Ok(json(StatusCode::OK, &Return::from(&refused)))
}
