//! The cart, of a customer or of a guest. Names and prices are read for each view, never stored.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use kernel::{CartId, ProductId};
use proto::cart::v1 as cart;
use proto::product::v1 as product;
use serde::Deserialize;

use super::customer::Shopper;
use super::form::Form;
use super::html::{Layout, own, see_other};
use super::view::{amount, money};
use super::{Failed, cookies};
use crate::app::App;
use crate::problem::Problem;
use crate::render::required;
use crate::routes::carts::{on_sale, products};

/// A cart as it is shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) lines: Vec<Line>,
    /// None: it cannot be bought in one order.
    pub(super) total: Option<(String, i64)>,
}

/// How old prices and stock may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Prices {
    /// A second.
    OfAMomentAgo,
    /// Read for this page.
    OfNow,
}

pub(super) struct Line {
    pub(super) product_id: String,
    pub(super) name: String,
    pub(super) quantity: i64,
    pub(super) price: String,
    pub(super) sum: String,
    /// What is wrong with it, if anything.
    pub(super) trouble: String,
}

impl Shown {
    pub(super) fn total(&self) -> String {
        self.total.as_ref().map_or_else(String::new, |(currency, sum)| money(currency, *sum))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn can_be_bought(&self) -> bool {
        self.total.is_some() && !self.has_trouble()
    }

    /// Whether there is less of something than is wanted.
    pub(super) fn has_trouble(&self) -> bool {
        self.lines.iter().any(|line| !line.trouble.is_empty())
    }
}

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage {
    layout: Layout,
    cart: Shown,
    signed_in: bool,
}

pub(super) async fn show(State(app): State<App>, shopper: Shopper) -> Result<Response, Failed> {
    let cart = match shopper.cart_id() {
        Some(cart_id) => {
            let request = shopper.request(cart::GetCartRequest { cart_id });
            of(&app, request, Prices::OfAMomentAgo).await?
        }
        None => Shown::default(),
    };
    let signed_in = matches!(shopper, Shopper::Customer(_));
    Ok(own(StatusCode::OK, &CartPage { layout: Layout::new(app.copy(), "Cart"), cart, signed_in }))
}

/// The cart of a shopper who has one.
pub(super) async fn of(
    app: &App,
    request: tonic::Request<cart::GetCartRequest>,
    prices: Prices,
) -> Result<Shown, Problem> {
    let cart = required(app.cart().get_cart(request).await?.into_inner().cart)?;
    let known = products(app, &cart.items, prices == Prices::OfAMomentAgo).await?;
    let known: HashMap<&str, &product::Product> =
        known.iter().map(|product| (product.product_id.as_str(), product)).collect();
    let line = |item: &cart::Item| line(item, known.get(item.product_id.as_str()).copied());
    let lines = cart.items.iter().map(line).collect();
    Ok(Shown { lines, total: total(&cart.items, &known) })
}

fn line(item: &cart::Item, product: Option<&product::Product>) -> Line {
    let on_sale = product.filter(|product| !product.retired);
    let price = on_sale.and_then(|product| product.price.clone());
    let sum = price.clone().and_then(|mut price| {
        price.minor_units = price.minor_units.checked_mul(item.quantity)?;
        Some(price)
    });
    Line {
        product_id: item.product_id.clone(),
        name: product.map_or_else(|| "A product".to_owned(), |product| product.name.clone()),
        quantity: item.quantity,
        price: amount(&price),
        sum: amount(&sum),
        trouble: match on_sale {
            None => "no longer on sale".to_owned(),
            Some(it) if it.available <= 0 => "out of stock".to_owned(),
            Some(it) if it.available < item.quantity => format!("only {} left", it.available),
            Some(_) => String::new(),
        },
    }
}

/// What all of it costs; `None` when it cannot be bought in one order.
fn total(items: &[cart::Item], known: &HashMap<&str, &product::Product>) -> Option<(String, i64)> {
    let mut total: Option<(String, i64)> = None;
    for item in items {
        let product = known.get(item.product_id.as_str()).filter(|product| !product.retired)?;
        let price = product.price.as_ref()?;
        let (currency, so_far) = total.unwrap_or_else(|| (price.currency.clone(), 0));
        if currency != price.currency {
            return None;
        }
        let line = price.minor_units.checked_mul(item.quantity)?;
        total = Some((currency, so_far.checked_add(line)?));
    }
    total
}

#[derive(Deserialize)]
pub(super) struct Change {
    product_id: String,
    /// 0 takes it out.
    quantity: i64,
}

pub(super) async fn change(
    State(app): State<App>,
    shopper: Shopper,
    Form(Change { product_id, quantity }): Form<Change>,
) -> Result<Response, Failed> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "product_not_found", "no such product");
    let product_id = product_id.parse::<ProductId>().map_err(|_| missing())?.to_string();
    let new = matches!(shopper, Shopper::Newcomer).then(CartId::mint);
    let cart_id = new.map(|id| id.to_string()).or_else(|| shopper.cart_id()).unwrap_or_default();
    if quantity == 0 {
        let request = shopper.request(cart::RemoveItemRequest { cart_id, product_id });
        app.cart().remove_item(request).await?;
    } else {
        on_sale(&app, product_id.clone()).await?;
        let request = cart::PutItemRequest { cart_id, product_id, quantity };
        app.cart().put_item(shopper.request(request)).await?;
    }
    let mut response = see_other("/cart");
    if let Some(id) = new {
        cookies::set_cart(&app, &mut response, id);
    }
    Ok(response)
}
