//! What staff do. Who is staff is for product to say, from the token.

use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, patch, post, put};
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1 as product;
use serde::Deserialize;

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::path::Id;
use crate::problem::Problem;
use crate::render::{Money, Product, Stock, json, required};
use crate::token::Token;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/staff/products", post(add))
        .route("/v1/staff/products/{id}", patch(revise).delete(retire))
        .route("/v1/staff/products/{id}/price", put(change_price))
        .route("/v1/staff/products/{id}/receipts", post(receive))
        .route("/v1/staff/products/{id}/stock", get(stock))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewProduct {
    sku: String,
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    category: String,
    price: Money,
    #[serde(default)]
    opening_stock: i64,
}

async fn add(
    State(app): State<App>,
    token: Token,
    Json(new): Json<NewProduct>,
) -> Result<Response, Problem> {
    let request = token.request(product::AddProductRequest {
        sku: new.sku,
        name: new.name,
        description: new.description,
        category: new.category,
        price: Some(new.price.into()),
        opening_stock: new.opening_stock,
    });
    let reply = app.pages().adding().by(app.product().add_product(request)).await?.into_inner();
    rendered(StatusCode::CREATED, reply.product)
}

fn rendered(status: StatusCode, product: Option<product::Product>) -> Result<Response, Problem> {
    Ok(json(status, &Product::from(&required(product)?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revision {
    version: i64,
    name: String,
    description: String,
    category: String,
}

async fn revise(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ProductId>,
    Json(revision): Json<Revision>,
) -> Result<Response, Problem> {
    let request = token.request(product::ReviseProductRequest {
        product_id: id.to_string(),
        version: revision.version,
        name: revision.name,
        description: revision.description,
        category: revision.category,
    });
    let reply = app.pages().changing(id).by(app.product().revise_product(request)).await?;
    rendered(StatusCode::OK, reply.into_inner().product)
}

async fn change_price(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ProductId>,
    Json(price): Json<Money>,
) -> Result<Response, Problem> {
    let (product_id, price) = (id.to_string(), Some(price.into()));
    let request = token.request(product::ChangePriceRequest { product_id, price });
    let reply = app.pages().changing(id).by(app.product().change_price(request)).await?;
    rendered(StatusCode::OK, reply.into_inner().product)
}

async fn retire(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ProductId>,
) -> Result<Response, Problem> {
    let request = token.request(product::RetireProductRequest { product_id: id.to_string() });
    let reply = app.pages().changing(id).by(app.product().retire_product(request)).await?;
    rendered(StatusCode::OK, reply.into_inner().product)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipt {
    quantity: i64,
    receipt: String,
}

async fn receive(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ProductId>,
    Json(Receipt { quantity, receipt }): Json<Receipt>,
) -> Result<Response, Problem> {
    let product_id = id.to_string();
    let request = token.request(product::ReceiveStockRequest { product_id, quantity, receipt });
    let reply = app.pages().changing(id).by(app.product().receive_stock(request)).await?;
    let stock = required(reply.into_inner().stock)?;
    Ok(json(StatusCode::OK, &Stock::from(&stock)))
}

async fn stock(
    State(app): State<App>,
    token: Token,
    Id(id): Id<ProductId>,
) -> Result<Response, Problem> {
    let request = token.request(product::GetStockRequest { product_id: id.to_string() });
    let stock = required(app.product().get_stock(request).await?.into_inner().stock)?;
    Ok(json(StatusCode::OK, &Stock::from(&stock)))
}
