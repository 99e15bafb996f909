//! What staff do. Who is staff is for product to say, from the token.

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, patch, post, put};
use futures_util::stream::{self, Stream};
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1 as product;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::Table;
use crate::app::App;
use crate::body;
use crate::json::{self as json_body, Json};
use crate::lines::Lines;
use crate::path::Id;
use crate::problem::Problem;
use crate::render::{Money, Product, Stock, json, required};
use crate::token::Token;

/// Lines read ahead of what product has taken.
const AHEAD: usize = 64;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/staff/products", post(add))
        .route("/v1/staff/products/{id}", patch(revise).delete(retire))
        .route("/v1/staff/products/{id}/price", put(change_price))
        .route("/v1/staff/products/{id}/receipts", post(receive))
        .route("/v1/staff/products/{id}/stock", get(stock))
        .route("/v1/staff/import", post(import))
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImportedProduct {
    source: String,
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

impl From<ImportedProduct> for product::ImportProductsRequest {
    fn from(line: ImportedProduct) -> Self {
        Self {
            source: line.source,
            sku: line.sku,
            name: line.name,
            description: line.description,
            category: line.category,
            price: Some(line.price.into()),
            opening_stock: line.opening_stock,
        }
    }
}

#[derive(Serialize)]
struct Imported {
    added: i64,
    revised: i64,
    unchanged: i64,
    stock_received: i64,
}

/// Passes the lines on as they come, as fast as product takes them. A bad line breaks the call
/// off: what product had already written stays, and the whole file is simply sent again.
async fn import(
    State(app): State<App>,
    token: Token,
    request: Request,
) -> Result<Response, Problem> {
    body::check_type(request.headers(), "application/x-ndjson")?;
    let mut lines = Lines::new(request.into_body());
    let reply = app.pages().changing_all().by(passed_on(&app, &token, &mut lines)).await;
    if reply.is_err() {
        body::linger(lines.into_body()).await;
    }
    let reply = reply?;
    let product::ImportProductsResponse { added, revised, unchanged, stock_received } = reply;
    Ok(json(StatusCode::OK, &Imported { added, revised, unchanged, stock_received }))
}

async fn passed_on(
    app: &App,
    token: &Token,
    lines: &mut Lines,
) -> Result<product::ImportProductsResponse, Problem> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let mut product = app.product();
    let mut call = std::pin::pin!(product.import_products(token.request(until_end(receiver))));
    let reply = tokio::select! {
        read = read(lines, sender) => {
            read?;
            call.await
        }
        reply = &mut call => reply,
    };
    Ok(reply?.into_inner())
}

/// Lines, and the good end.
type Line = Option<product::ImportProductsRequest>;

/// The lines up to the good end. Without one (a bad line, a client that disconnected) the stream
/// stays open until the call is dropped, which product sees as broken off: a part of a file must
/// never look like the whole.
fn until_end(receiver: mpsc::Receiver<Line>) -> impl Stream<Item = product::ImportProductsRequest> {
    stream::unfold(receiver, |mut receiver| async {
        match receiver.recv().await {
            Some(line) => Some((line?, receiver)),
            None => std::future::pending().await,
        }
    })
}

async fn read(lines: &mut Lines, sender: mpsc::Sender<Line>) -> Result<(), Problem> {
    while let Some((number, line)) = lines.next().await? {
        let parsed: Result<ImportedProduct, _> = json_body::parse(&line);
        let line = parsed.map_err(|problem| problem.in_line(number))?;
        if sender.send(Some(line.into())).await.is_err() {
            return Ok(()); // the call is over, and says why
        }
    }
    let _ = sender.send(None).await; // as above
    Ok(())
}
