//! Carts. With a token the user's own; without one a guest's, by `X-Cart-Id`, and a guest who
//! has none gets a fresh one. A cart knows what and how many; names and prices are read from
//! product for every view, never stored.

use std::collections::HashMap;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, put};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use kernel::{CartId, ProductId};
use proto::cart::v1 as cart;
use proto::product::v1 as product;
use serde::{Deserialize, Serialize};

use super::Table;
use crate::app::App;
use crate::json::Json;
use crate::path::Id;
use crate::prefer::Return;
use crate::problem::Problem;
use crate::render::{Amount, amount, json, required};
use crate::token::Token;

const CART_ID: HeaderName = HeaderName::from_static("x-cart-id");

pub(super) fn routes() -> Table {
    Table::new()
        .route("/v1/cart", get(show).delete(clear))
        .route("/v1/cart/items/{product_id}", put(put_item).delete(remove_item))
}

/// Whose cart.
enum Shopper {
    User(Token),
    Guest(CartId),
    /// A guest who has not been here before: the cart is empty.
    Newcomer(CartId),
}

impl Shopper {
    fn cart_id(&self) -> String {
        match self {
            Self::User(_) => String::new(), // the service reads it from the token
            Self::Guest(id) | Self::Newcomer(id) => id.to_string(),
        }
    }

    fn request<T>(&self, message: T) -> tonic::Request<T> {
        match self {
            Self::User(token) => token.request(message),
            Self::Guest(_) | Self::Newcomer(_) => tonic::Request::new(message),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Shopper {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(token) = Option::<Token>::from_request_parts(parts, state).await? {
            return Ok(Self::User(token));
        }
        let Some(id) = parts.headers.get(CART_ID) else {
            return Ok(Self::Newcomer(CartId::mint()));
        };
        let id = id.to_str().ok().and_then(|id| id.parse().ok());
        id.map(Self::Guest).ok_or_else(|| Problem::invalid("X-Cart-Id", "not the id of a cart"))
    }
}

async fn show(State(app): State<App>, shopper: Shopper) -> Result<Response, Problem> {
    let cart_id = shopper.cart_id();
    if let Shopper::Newcomer(_) = shopper {
        return view(&app, cart::Cart { cart_id, ..cart::Cart::default() }).await;
    }
    let request = shopper.request(cart::GetCartRequest { cart_id });
    let cart = app.cart().get_cart(request).await?.into_inner().cart;
    view(&app, required(cart)?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    quantity: i64,
}

async fn put_item(
    State(app): State<App>,
    shopper: Shopper,
    wish: Return,
    Id(product): Id<ProductId>,
    Json(Quantity { quantity }): Json<Quantity>,
) -> Result<Response, Problem> {
    let product_id = product.to_string();
    on_sale(&app, product_id.clone()).await?;
    let request = cart::PutItemRequest { cart_id: shopper.cart_id(), product_id, quantity };
    let cart = app.cart().put_item(shopper.request(request)).await?.into_inner().cart;
    changed(&app, required(cart)?, wish).await
}

/// Refuses what is not sold: the cart does not know what products there are.
pub(crate) async fn on_sale(app: &App, product_id: String) -> Result<(), Problem> {
    let request = product::GetProductRequest { product_id };
    let product = required(app.product().get_product(request).await?.into_inner().product)?;
    if product.retired {
        let detail = "this product is no longer on sale";
        return Err(Problem::new(StatusCode::CONFLICT, "product_retired", detail));
    }
    Ok(())
}

async fn remove_item(
    State(app): State<App>,
    shopper: Shopper,
    wish: Return,
    Id(product): Id<ProductId>,
) -> Result<Response, Problem> {
    let (cart_id, product_id) = (shopper.cart_id(), product.to_string());
    let request = shopper.request(cart::RemoveItemRequest { cart_id, product_id });
    let cart = app.cart().remove_item(request).await?.into_inner().cart;
    changed(&app, required(cart)?, wish).await
}

async fn clear(State(app): State<App>, shopper: Shopper) -> Result<Response, Problem> {
    let request = shopper.request(cart::ClearCartRequest { cart_id: shopper.cart_id() });
    let cart = required(app.cart().clear_cart(request).await?.into_inner().cart)?;
    Ok(named(StatusCode::NO_CONTENT.into_response(), &cart.cart_id))
}

#[derive(Serialize)]
struct View<'a> {
    cart_id: &'a str,
    version: i64,
    items: Vec<Item<'a>>,
    /// Absent when the cart mixes currencies or its worth is beyond counting.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<Amount<'a>>,
}

/// A line of a cart with its product, as far as that is known.
#[derive(Serialize)]
pub(crate) struct Item<'a> {
    pub(crate) product_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sku: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    pub(crate) quantity: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit_price: Option<Amount<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line_total: Option<Amount<'a>>,
    pub(crate) available: i64,
    /// No longer on sale: not part of the total.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unavailable: bool,
}

/// The cart; nothing for whoever fills a large one line by line and says so.
async fn changed(app: &App, cart: cart::Cart, wish: Return) -> Result<Response, Problem> {
    let mut response = match wish {
        Return::Minimal => named(StatusCode::NO_CONTENT.into_response(), &cart.cart_id),
        Return::Unsaid | Return::Representation => view(app, cart).await?,
    };
    wish.applied(response.headers_mut());
    Ok(response)
}

/// The cart with the names and prices of this moment.
async fn view(app: &App, cart: cart::Cart) -> Result<Response, Problem> {
    let products = products(app, &cart.items, true).await?;
    let items = items(&cart, &products);
    let (total, version) = (total(&items), cart.version);
    let view = View { cart_id: &cart.cart_id, version, items, total };
    Ok(named(json(StatusCode::OK, &view), &cart.cart_id))
}

/// The lines of a cart.
pub(crate) fn items<'a>(cart: &'a cart::Cart, products: &'a [product::Product]) -> Vec<Item<'a>> {
    let products: HashMap<&str, &product::Product> =
        products.iter().map(|product| (product.product_id.as_str(), product)).collect();
    let item = |item: &'a cart::Item| Item::new(item, products.get(&*item.product_id).copied());
    cart.items.iter().map(item).collect()
}

/// The products of a cart's lines, as far as they are known.
pub(crate) async fn products(
    app: &App,
    items: &[cart::Item],
    may_be_cached: bool,
) -> Result<Vec<product::Product>, Problem> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let product_ids = items.iter().map(|item| item.product_id.clone()).collect();
    let request = product::BatchGetProductsRequest { product_ids, may_be_cached };
    Ok(app.product().batch_get_products(request).await?.into_inner().products)
}

impl<'a> Item<'a> {
    fn new(item: &'a cart::Item, product: Option<&'a product::Product>) -> Self {
        let on_sale = product.filter(|product| !product.retired);
        let unit_price = on_sale.and_then(|product| amount(&product.price));
        let line_total = unit_price.as_ref().and_then(|price| {
            let minor_units = price.minor_units.checked_mul(item.quantity)?;
            Some(Amount { currency: price.currency, minor_units })
        });
        Self {
            product_id: &item.product_id,
            sku: product.map(|product| product.sku.as_str()),
            name: product.map(|product| product.name.as_str()),
            quantity: item.quantity,
            unit_price,
            line_total,
            available: on_sale.map_or(0, |product| product.available),
            unavailable: on_sale.is_none(),
        }
    }
}

/// The worth of what is on sale; `None` when it cannot be summed.
pub(crate) fn total<'a>(items: &[Item<'a>]) -> Option<Amount<'a>> {
    let mut total: Option<Amount<'a>> = None;
    for item in items.iter().filter(|item| !item.unavailable) {
        let line = item.line_total.as_ref()?;
        let so_far = total.as_ref().map_or(0, |total| total.minor_units);
        if total.is_some_and(|total| total.currency != line.currency) {
            return None;
        }
        let minor_units = so_far.checked_add(line.minor_units)?;
        total = Some(Amount { currency: line.currency, minor_units });
    }
    Some(total.unwrap_or(Amount { currency: "GBP", minor_units: 0 }))
}

/// Says whose cart this is in the head as well, for answers without a body.
fn named(mut response: Response, cart_id: &str) -> Response {
    if let Ok(id) = HeaderValue::from_str(cart_id) {
        response.headers_mut().insert(CART_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use proto::money::v1::Money;

    use super::*;

    fn product(id: &str, currency: &str, minor_units: i64, retired: bool) -> product::Product {
        let price = Some(Money { currency: currency.into(), minor_units });
        let product_id = id.to_owned();
        product::Product { product_id, price, retired, available: 7, ..Default::default() }
    }

    fn item(id: &str, quantity: i64) -> cart::Item {
        cart::Item { product_id: id.to_owned(), quantity }
    }

    fn sum(lines: &[(&cart::Item, Option<&product::Product>)]) -> Option<(String, i64)> {
        let items: Vec<_> = lines.iter().map(|(item, product)| Item::new(item, *product)).collect();
        total(&items).map(|total| (total.currency.to_owned(), total.minor_units))
    }

    #[test]
    fn the_total_counts_what_is_on_sale() {
        let (cup, old) = (product("cup", "GBP", 255, false), product("old", "GBP", 100, true));
        let (two, one) = (item("cup", 2), item("old", 1));
        let lines = [(&two, Some(&cup)), (&one, Some(&old)), (&one, None)];
        assert_eq!(sum(&lines), Some(("GBP".to_owned(), 510)));
        let gone = serde_json::to_value(Item::new(&one, None)).unwrap();
        let expected = serde_json::json!({"product_id": "old", "quantity": 1, "available": 0, "unavailable": true});
        assert_eq!(gone, expected);
    }

    #[test]
    fn no_total_is_better_than_a_wrong_one() {
        let (cup, tasse) = (product("cup", "GBP", 255, false), product("tasse", "EUR", 300, false));
        let (one, other) = (item("cup", 1), item("tasse", 1));
        assert_eq!(sum(&[(&one, Some(&cup)), (&other, Some(&tasse))]), None);
        let dear = product("cup", "GBP", i64::MAX, false);
        assert_eq!(sum(&[(&item("cup", 2), Some(&dear))]), None);
        assert_eq!(sum(&[]), Some(("GBP".to_owned(), 0)));
    }
}
