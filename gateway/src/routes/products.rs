//! The catalogue, for everybody. These answers may be kept for a second (see `conditional`), and are kept here as well (see `pages`).

use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use kernel::ProductId;
use proto::product::v1 as product;
use serde::Deserialize;

use super::Table;
use crate::app::App;
use crate::conditional::Known;
use crate::pages::Wanted;
use crate::path::Id;
use crate::problem::Problem;
use crate::query::Query;

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/products", get(list))
        .route("/v1/products/{id}", get(one))
        .route("/v1/search", get(search))
        .route("/v1/products/{id}/bought-together", get(bought_together))
        .route("/v1/popular", get(popular))
        .route("/v1/bestsellers", get(bestsellers))
        .route("/v1/categories", get(categories))
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
    shown(&app, Wanted::List(request), known).await
}

async fn one(
    State(app): State<App>,
    Id(id): Id<ProductId>,
    known: Known,
) -> Result<Response, Problem> {
    let answer = shown(&app, Wanted::Product(id), known).await?;
    app.views().note(id);
    Ok(answer)
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
    shown(&app, Wanted::Search(request), known).await
}

#[derive(Deserialize)]
struct Most {
    #[serde(default)]
    page_size: u32,
}

async fn popular(
    State(app): State<App>,
    Query(Most { page_size }): Query<Most>,
    known: Known,
) -> Result<Response, Problem> {
    let request = product::ListPopularProductsRequest { page_size };
    shown(&app, Wanted::Popular(request), known).await
}

async fn bought_together(
    State(app): State<App>,
    Id(id): Id<ProductId>,
    Query(Most { page_size }): Query<Most>,
    known: Known,
) -> Result<Response, Problem> {
    let request = product::ListBoughtTogetherRequest { product_id: id.to_string(), page_size };
    shown(&app, Wanted::BoughtTogether(request), known).await
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Bestsellers {
    page_size: u32,
    category: String,
}

async fn bestsellers(
    State(app): State<App>,
    Query(Bestsellers { page_size, category }): Query<Bestsellers>,
    known: Known,
) -> Result<Response, Problem> {
    let request = product::ListBestsellersRequest { page_size, category };
    shown(&app, Wanted::Bestsellers(request), known).await
}

async fn categories(State(app): State<App>, known: Known) -> Result<Response, Problem> {
    shown(&app, Wanted::Categories(product::ListCategoriesRequest {}), known).await
}

async fn shown(app: &App, wanted: Wanted, known: Known) -> Result<Response, Problem> {
    let page = app.pages().of(wanted).await?;
    Ok(known.or(page.tag.clone(), || page.answer()))
}
