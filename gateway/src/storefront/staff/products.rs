//! The catalogue as staff see it, and the form for a new product.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use proto::product::v1 as product;
use serde::Deserialize;

use super::faults::{Faults, unix_lines};
use super::{Done, PAGE, Staff, layout};
use crate::app::App;
use crate::pages::Wanted;
use crate::problem::Problem;
use crate::query::Query;
use crate::render::required;
use crate::storefront::Failed;
use crate::storefront::catalogue::wanted;
use crate::storefront::form::Form;
use crate::storefront::html::{Layout, own, see_other};
use crate::storefront::view::Products;

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Listed {
    q: String,
    page_token: String,
}

#[derive(Template)]
#[template(path = "staff-products.html")]
struct ProductsPage {
    layout: Layout,
    q: String,
    found: Products,
    /// Not from its beginning.
    continued: bool,
    done: &'static str,
    new: NewProduct,
    faults: Faults,
}

pub(super) async fn list(
    State(app): State<App>,
    _staff: Staff,
    listed: Result<Query<Listed>, Problem>,
    done: Result<Query<Done>, Problem>,
) -> Result<Response, Failed> {
    let (Query(Listed { q, page_token }), Query(done)) = (listed?, done?);
    let (q, continued) = (q.trim().to_owned(), !page_token.is_empty());
    let found = if q.is_empty() {
        let all =
            product::ListProductsRequest { page_size: PAGE, page_token, ..Default::default() };
        wanted(&app, Wanted::List(all)).await?
    } else {
        search(&app, &q).await?
    };
    let (new, faults) = (NewProduct::default(), Faults::default());
    let (layout, done) = (layout(&app, "Products"), done.sentence());
    let page = ProductsPage { layout, q, found, continued, done, new, faults };
    Ok(own(StatusCode::OK, &page))
}

/// First the product that has this SKU, then those that have these words.
async fn search(app: &App, q: &str) -> Result<Products, Problem> {
    let by_sku = product::ListProductsRequest { sku: q.to_owned(), ..Default::default() };
    let by_words = product::SearchProductsRequest { query: q.to_owned(), page_size: PAGE };
    let (by_sku, by_words) = tokio::join!(
        wanted::<Products>(app, Wanted::List(by_sku)),
        wanted::<Products>(app, Wanted::Search(by_words)),
    );
    let mut products = by_sku?.products;
    for found in by_words?.products {
        if !products.iter().any(|it| it.product_id == found.product_id) {
            products.push(found);
        }
    }
    Ok(Products { products, next_page_token: String::new() })
}

/// As it was entered.
#[derive(Default, Deserialize)]
pub(super) struct NewProduct {
    sku: String,
    name: String,
    #[serde(default)]
    description: String,
    category: String,
    price: String,
    opening_stock: String,
}

#[derive(Template)]
#[template(path = "staff-new-product.html")]
struct NewProductPage {
    layout: Layout,
    new: NewProduct,
    faults: Faults,
}

/// A SKU is taken once: the form may be sent twice.
pub(super) async fn add(
    State(app): State<App>,
    staff: Staff,
    Form(new): Form<NewProduct>,
) -> Result<Response, Failed> {
    let mut faults = Faults::default();
    let request = product::AddProductRequest {
        sku: new.sku.trim().to_owned(),
        name: new.name.clone(),
        description: unix_lines(&new.description),
        category: new.category.clone(),
        price: faults.pounds("price", &new.price),
        opening_stock: faults.optional_number("opening_stock", &new.opening_stock),
    };
    if !faults.is_empty() {
        return Ok(again(&app, StatusCode::UNPROCESSABLE_ENTITY, new, faults));
    }
    let request = staff.token.request(request);
    match app.pages().adding().by(app.product().add_product(request)).await {
        Ok(added) => {
            let id = required(added.into_inner().product)?.product_id;
            Ok(see_other(&format!("/staff/products/{id}?done=added")))
        }
        Err(refused) => {
            let (status, faults) = Faults::of_refusal(refused)?;
            Ok(again(&app, status, new, faults))
        }
    }
}

/// The form alone: whether the catalogue can be read does not matter here.
fn again(app: &App, status: StatusCode, new: NewProduct, faults: Faults) -> Response {
    own(status, &NewProductPage { layout: layout(app, "A new product"), new, faults })
}
