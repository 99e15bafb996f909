//! Pages of the catalogue: the same for everybody, made of what `/v1` keeps in memory.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kernel::ProductId;
use proto::product::v1 as product;
use rpc::deadline;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Failed;
use super::html::{BESIDE_WITHIN, Layout, public};
use super::view::{Categories, Category, Product, Products};
use crate::app::App;
use crate::pages::Wanted;
use crate::path::Id;
use crate::problem::Problem;
use crate::query::Query;

/// Of a list, and of a search.
const PAGE: u32 = 24;
/// Of a shelf beside something else.
const SHELF: u32 = 8;
/// A shelf with less on it is left out: in a new shop nearly nothing was sold yet.
const SHELF_MIN: usize = 3;

/// What the catalogue answers, from memory.
pub(super) async fn wanted<T: DeserializeOwned>(app: &App, wanted: Wanted) -> Result<T, Problem> {
    app.pages().of(wanted).await?.read()
}

/// What is beside the point of a page may be missing from it.
async fn beside<T: DeserializeOwned + Default>(app: &App, what: Wanted) -> T {
    deadline::within(BESIDE_WITHIN, wanted(app, what)).await.unwrap_or_default()
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    layout: Layout,
    categories: Vec<Category>,
    bestsellers: Vec<Product>,
    popular: Vec<Product>,
    products: Vec<Product>,
}

pub(super) async fn home(State(app): State<App>) -> Result<Response, Failed> {
    let all = product::ListProductsRequest { page_size: SHELF, ..Default::default() };
    let best = product::ListBestsellersRequest { page_size: SHELF, category: String::new() };
    let popular = product::ListPopularProductsRequest { page_size: SHELF };
    let (products, categories, best, popular): (_, Categories, Products, Products) = tokio::join!(
        wanted::<Products>(&app, Wanted::List(all)),
        beside(&app, Wanted::Categories(product::ListCategoriesRequest {})),
        beside(&app, Wanted::Bestsellers(best)),
        beside(&app, Wanted::Popular(popular)),
    );
    Ok(public(&HomePage {
        layout: Layout::new(app.copy(), "Souk"),
        categories: categories.categories,
        bestsellers: best.products,
        popular: popular.products,
        products: products?.products,
    }))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Listed {
    category: String,
    page_token: String,
}

#[derive(Template)]
#[template(path = "products.html")]
struct ProductsPage {
    layout: Layout,
    heading: String,
    category: String,
    products: Vec<Product>,
    next_page_token: String,
    /// Not from its beginning.
    continued: bool,
}

pub(super) async fn list(
    State(app): State<App>,
    listed: Result<Query<Listed>, Problem>,
) -> Result<Response, Failed> {
    let Query(Listed { category, page_token }) = listed?;
    let continued = !page_token.is_empty();
    let request = product::ListProductsRequest {
        page_size: PAGE,
        page_token,
        category: category.clone(),
        sku: String::new(),
    };
    let Products { products, next_page_token } = wanted(&app, Wanted::List(request)).await?;
    let heading = if category.is_empty() { "All products".into() } else { category.clone() };
    let layout = Layout::new(app.copy(), &heading);
    let page = ProductsPage { layout, heading, category, products, next_page_token, continued };
    Ok(public(&page))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Search {
    q: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    layout: Layout,
    products: Vec<Product>,
}

pub(super) async fn search(
    State(app): State<App>,
    search: Result<Query<Search>, Problem>,
) -> Result<Response, Failed> {
    let Query(Search { q }) = search?;
    let query = q.trim().to_owned();
    let found: Products = if query.is_empty() {
        Products::default()
    } else {
        let request = product::SearchProductsRequest { query: query.clone(), page_size: PAGE };
        wanted(&app, Wanted::Search(request)).await?
    };
    let layout = Layout { query, ..Layout::new(app.copy(), "Search") };
    Ok(public(&SearchPage { layout, products: found.products }))
}

#[derive(Template)]
#[template(path = "product.html")]
struct ProductPage {
    layout: Layout,
    product: Product,
    together: Vec<Product>,
}

pub(super) async fn one(
    State(app): State<App>,
    id: Result<Id<ProductId>, Problem>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    let together = product::ListBoughtTogetherRequest { product_id: id.to_string(), page_size: 4 };
    let (product, together): (_, Products) = tokio::join!(
        wanted::<Product>(&app, Wanted::Product(id)),
        beside(&app, Wanted::BoughtTogether(together)),
    );
    let product = product?;
    app.views().note(id);
    let layout = Layout::new(app.copy(), &product.name);
    Ok(public(&ProductPage { layout, product, together: together.products }))
}
