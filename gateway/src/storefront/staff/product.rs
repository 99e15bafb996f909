//! One product: its text, its price, and its stock. Each form does its work once, however often it is sent: a text is for one version, and
//! a delivery note counts once.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use kernel::ProductId;
use proto::product::v1 as product;
use rpc::deadline;
use serde::Deserialize;

use super::faults::{Faults, entered, unix_lines};
use super::{Done, Staff, layout};
use crate::app::App;
use crate::path::{Id, InPath as _};
use crate::problem::Problem;
use crate::query::Query;
use crate::storefront::Failed;
use crate::storefront::form::Form;
use crate::storefront::html::{BESIDE_WITHIN, Layout, own, see_other};
use crate::storefront::view::amount;

const OUTDATED: &str = "Somebody has changed this product since. It is shown as it is now; what you send now replaces it.";

#[derive(Template)]
#[template(path = "staff-product.html")]
struct ProductPage {
    layout: Layout,
    product: product::Product,
    /// None: it cannot be read at the moment.
    stock: Option<product::Stock>,
    revision: Revision,
    price: String,
    delivery: Delivery,
    faults: Faults,
    done: &'static str,
}

/// As it was entered.
#[derive(Deserialize)]
pub(super) struct Revision {
    version: String,
    name: String,
    description: String,
    category: String,
}

/// As it was entered.
#[derive(Deserialize)]
pub(super) struct Price {
    price: String,
}

/// As it was entered.
#[derive(Default, Deserialize)]
pub(super) struct Delivery {
    quantity: String,
    receipt: String,
}

/// What was entered before, in one of the forms, and what is said about it.
#[derive(Default)]
struct Before {
    revision: Option<Revision>,
    /// The product has changed since that was entered: sent again, it is for the version that is shown now.
    outdated: bool,
    price: Option<String>,
    delivery: Option<Delivery>,
    faults: Faults,
    done: &'static str,
}

type Wanted = Result<Id<ProductId>, Problem>;

pub(super) async fn show(
    State(app): State<App>,
    staff: Staff,
    id: Wanted,
    done: Result<Query<Done>, Problem>,
) -> Result<Response, Failed> {
    let (Id(id), Query(done)) = (id?, done?);
    let before = Before { done: done.sentence(), ..Before::default() };
    Ok(page(&app, &staff, id, StatusCode::OK, before).await?)
}

async fn page(
    app: &App,
    staff: &Staff,
    id: ProductId,
    status: StatusCode,
    before: Before,
) -> Result<Response, Problem> {
    let (product, stock) = tokio::join!(as_it_is(app, id), stock_of(app, staff, id));
    let product = product?;
    let current = |it: Revision| Revision { version: product.version.to_string(), ..it };
    let revision = before.revision.map(|it| if before.outdated { current(it) } else { it });
    let page = ProductPage {
        layout: layout(app, &product.name),
        stock: stock.ok(),
        revision: revision.unwrap_or_else(|| Revision {
            version: product.version.to_string(),
            name: product.name.clone(),
            description: product.description.clone(),
            category: product.category.clone(),
        }),
        price: before.price.unwrap_or_else(|| entered(&product.price)),
        delivery: before.delivery.unwrap_or_default(),
        faults: before.faults,
        done: before.done,
        product,
    };
    Ok(own(status, &page))
}

/// Not from memory: staff change what they see.
async fn as_it_is(app: &App, id: ProductId) -> Result<product::Product, Problem> {
    let product_ids = vec![id.to_string()];
    let request = product::BatchGetProductsRequest { product_ids, may_be_cached: false };
    let found = app.product().batch_get_products(request).await?.into_inner().products;
    found.into_iter().next().ok_or_else(|| {
        let (code, detail) = ProductId::MISSING;
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    })
}

async fn stock_of(app: &App, staff: &Staff, id: ProductId) -> Result<product::Stock, Problem> {
    let request = staff.token.request(product::GetStockRequest { product_id: id.to_string() });
    let mut product = app.product();
    let answer = deadline::within(BESIDE_WITHIN, product.get_stock(request)).await?;
    crate::render::required(answer.into_inner().stock)
}

/// After a form: the page says what was done, or what was wrong with what was entered.
async fn after<T>(
    app: &App,
    staff: &Staff,
    id: ProductId,
    changed: Result<T, Problem>,
    done: &'static str,
    before: Before,
) -> Result<Response, Failed> {
    let refused = match changed {
        Ok(_) => return Ok(see_other(&format!("/staff/products/{id}?done={done}"))),
        Err(refused) => refused,
    };
    let (status, mut faults) = Faults::of_refusal(refused.clone())?;
    let outdated = refused.code() == "version_conflict";
    if outdated {
        OUTDATED.clone_into(&mut faults.whole);
    }
    let shown = page(app, staff, id, status, Before { faults, outdated, ..before }).await;
    Ok(shown.map_err(|_away_as_well| refused)?)
}

/// One of the forms of the page. All go to its own path, so that whoever has to sign in first comes back to a page.
#[derive(Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    Text(Revision),
    Price(Price),
    Stock(Delivery),
    Retire,
}

pub(super) async fn change(
    State(app): State<App>,
    staff: Staff,
    id: Wanted,
    Form(change): Form<Change>,
) -> Result<Response, Failed> {
    let Id(id) = id?;
    match change {
        Change::Text(revision) => revise(&app, &staff, id, revision).await,
        Change::Price(price) => change_price(&app, &staff, id, price).await,
        Change::Stock(delivery) => receive(&app, &staff, id, delivery).await,
        Change::Retire => retire(&app, &staff, id).await,
    }
}

async fn revise(
    app: &App,
    staff: &Staff,
    id: ProductId,
    revision: Revision,
) -> Result<Response, Failed> {
    let request = staff.token.request(product::ReviseProductRequest {
        product_id: id.to_string(),
        // What is no number is no version of any product.
        version: revision.version.parse().unwrap_or_default(),
        name: revision.name.clone(),
        description: unix_lines(&revision.description),
        category: revision.category.clone(),
    });
    let revised = app.pages().changing(id).by(app.product().revise_product(request)).await;
    let before = Before { revision: Some(revision), ..Before::default() };
    after(app, staff, id, revised, "revised", before).await
}

async fn change_price(
    app: &App,
    staff: &Staff,
    id: ProductId,
    Price { price }: Price,
) -> Result<Response, Failed> {
    let mut faults = Faults::default();
    let amount = faults.pounds("price", &price);
    let before = Before { price: Some(price), ..Before::default() };
    if !faults.is_empty() {
        let before = Before { faults, ..before };
        return Ok(page(app, staff, id, StatusCode::UNPROCESSABLE_ENTITY, before).await?);
    }
    let (product_id, price) = (id.to_string(), amount);
    let request = staff.token.request(product::ChangePriceRequest { product_id, price });
    let changed = app.pages().changing(id).by(app.product().change_price(request)).await;
    after(app, staff, id, changed, "price", before).await
}

async fn receive(
    app: &App,
    staff: &Staff,
    id: ProductId,
    delivery: Delivery,
) -> Result<Response, Failed> {
    let mut faults = Faults::default();
    let quantity = faults.number("quantity", &delivery.quantity);
    let receipt = delivery.receipt.trim().to_owned();
    let before = Before { delivery: Some(delivery), ..Before::default() };
    if !faults.is_empty() {
        let before = Before { faults, ..before };
        return Ok(page(app, staff, id, StatusCode::UNPROCESSABLE_ENTITY, before).await?);
    }
    let product_id = id.to_string();
    let request = product::ReceiveStockRequest { product_id, quantity, receipt };
    let request = staff.token.request(request);
    let received = app.pages().changing(id).by(app.product().receive_stock(request)).await;
    after(app, staff, id, received, "receipt", before).await
}

async fn retire(app: &App, staff: &Staff, id: ProductId) -> Result<Response, Failed> {
    let request = staff.token.request(product::RetireProductRequest { product_id: id.to_string() });
    let retired = app.pages().changing(id).by(app.product().retire_product(request)).await;
    after(app, staff, id, retired, "retired", Before::default()).await
}
