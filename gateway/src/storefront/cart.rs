//! The cart, of a customer or of a guest. Names and prices are read for each view, never stored.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use kernel::{CartId, ProductId};
use proto::cart::v1 as cart;
use serde::Deserialize;

use super::customer::Shopper;
use super::form::Form;
use super::html::{Layout, own, see_other};
use super::view::money;
use super::{Failed, cookies};
use crate::app::App;
use crate::problem::Problem;
use crate::render::{Amount, required};
use crate::routes::carts::{Item, items, on_sale, products, total};

/// A cart as it is shown.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) lines: Vec<Line>,
    /// Of what is on sale. None: it cannot be one order.
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
    let items = items(&cart, &known);
    let total = total(&items).map(|total| (total.currency.to_owned(), total.minor_units));
    Ok(Shown { lines: items.iter().map(Line::from).collect(), total })
}

impl From<&Item<'_>> for Line {
    fn from(item: &Item<'_>) -> Self {
        let written = |it: &Option<Amount<'_>>| {
            it.as_ref().map_or_else(String::new, |it| money(it.currency, it.minor_units))
        };
        Self {
            product_id: item.product_id.to_owned(),
            name: item.name.unwrap_or("A product").to_owned(),
            quantity: item.quantity,
            price: written(&item.unit_price),
            sum: written(&item.line_total),
            trouble: match item.available {
                _ if item.unavailable => "no longer on sale".to_owned(),
                ..=0 => "out of stock".to_owned(),
                few if few < item.quantity => format!("only {few} left"),
                _ => String::new(),
            },
        }
    }
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
