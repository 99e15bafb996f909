//! The catalogue, for everybody. These answers may be kept for a second (see `conditional`); one product is kept here as well (see `pages`).

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1 as product;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::conditional::{Known, tag_of};
use crate::path::Id;
use crate::problem::Problem;
use crate::query::Query;
use crate::render::{self, Product, json};

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/products", get(list))
        .route("/v1/products/{id}", get(one))
        .route("/v1/search", get(search))
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Page {
    page_size: u32,
    page_token: String,
    category: String,
    sku: String,
}

#[derive(Serialize)]
struct Products<'a> {
    products: Vec<Product<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    next_page_token: &'a str,
}

async fn list(
    State(app): State<App>,
    Query(page): Query<Page>,
    known: Known,
) -> Result<Response, Problem> {
    let request = product::ListProductsRequest {
        page_size: page.page_size,
        page_token: page.page_token,
        category: page.category,
        sku: page.sku,
    };
    let reply = app.product().list_products(request).await?.into_inner();
    Ok(answer(&reply.products, &reply.next_page_token, known))
}

async fn one(
    State(app): State<App>,
    Id(id): Id<ProductId>,
    known: Known,
) -> Result<Response, Problem> {
    let page = app.pages().of(id).await?;
    Ok(known.or(page.tag.clone(), || page.answer()))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page_size: u32,
}

async fn search(
    State(app): State<App>,
    Query(search): Query<Search>,
    known: Known,
) -> Result<Response, Problem> {
    if search.q.trim().is_empty() {
        return Err(Problem::invalid("q", "say what to search for"));
    }
    let request = product::SearchProductsRequest { query: search.q, page_size: search.page_size };
    let reply = app.product().search_products(request).await?.into_inner();
    Ok(answer(&reply.products, "", known))
}

fn answer(products: &[product::Product], next_page_token: &str, known: Known) -> Response {
    let told = products.iter().map(|p| (p.product_id.as_str(), p.version, p.available));
    known.or(tag_of(told, next_page_token), || {
        let products = products.iter().map(render::Product::from).collect();
        json(StatusCode::OK, &Products { products, next_page_token })
    })
}
