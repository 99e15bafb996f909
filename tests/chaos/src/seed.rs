//! What is there before the first fault: products with stock, and customers.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use operator::Shop;
use operator::api::Api;
use operator::http::Client;
use operator::secrets::STAFF_EMAIL;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::calls::Calls;
use crate::customer::{Customer, Product};

const ORDINARY: i64 = 12;
/// Nobody comes to the end of it.
const PLENTY: i64 = 1_000_000;
/// Everybody does.
const FEW: i64 = 40;
/// So many that nobody puts one in more than a few times.
const MANY: i64 = 30;

/// What can be bought.
#[derive(Clone, Debug)]
pub(crate) struct Goods {
    /// Of which there is enough.
    pub(crate) ordinary: Vec<Product>,
    /// Of which there are few, and which many want.
    pub(crate) hot: Product,
    /// What the hasty put in, one after the other.
    pub(crate) many: Vec<Product>,
}

#[derive(Deserialize)]
struct Added {
    product_id: String,
}

/// Brings the products. `minutes` of a run want so many times the few, and the many.
pub(crate) async fn goods(shop: &Shop, minutes: u32) -> Result<Goods> {
    let api = api(shop)?;
    let token = api.sign_in(STAFF_EMAIL, &shop.staff_password()?).await.context("staff")?;
    let minutes = i64::from(minutes);
    let ordinary = products(&api, &token, "PLAIN", ORDINARY).await?;
    let many = products(&api, &token, "SMALL", MANY * minutes).await?;
    let hot = product(&api, &token, "HOT", 999, FEW * minutes).await?;
    Ok(Goods { ordinary, hot, many })
}

async fn products(api: &Api, token: &str, name: &str, count: i64) -> Result<Vec<Product>> {
    let mut products = Vec::new();
    for number in 0..count {
        let (sku, price) = (format!("{name}-{number}"), 100 + number);
        products.push(product(api, token, &sku, price, PLENTY).await?);
    }
    Ok(products)
}

async fn product(api: &Api, token: &str, sku: &str, price: i64, stock: i64) -> Result<Product> {
    let body = json!({ "sku": sku, "name": format!("Tile {sku}"), "description": "",
        "category": "chaos", "price": { "currency": "GBP", "minor_units": price },
        "opening_stock": stock });
    let added = api.post("/v1/staff/products", Some(token), &body).await.context("a product")?;
    Ok(Product { id: added.json::<Added>()?.product_id })
}

/// Signs up so many customers, who will go to these gateways and write down their calls there.
pub(crate) async fn customers(
    shop: &Shop,
    count: usize,
    gateways: &[Client],
    calls: &Arc<Calls>,
) -> Result<Vec<Customer>> {
    let mut customers = Vec::with_capacity(count);
    for number in 0..count {
        customers
            .push(customer(shop, number, gateways, calls).await.context("signing up a customer")?);
    }
    Ok(customers)
}

async fn customer(
    shop: &Shop,
    number: usize,
    gateways: &[Client],
    calls: &Arc<Calls>,
) -> Result<Customer> {
    let api = api(shop)?;
    let (email, password) = (format!("chaos-{number}@example.com"), "correct horse battery");
    let account = json!({ "email": email, "password": password, "name": "Nemo" });
    api.post("/v1/users", None, &account).await?;
    let token = api.sign_in(&email, password).await?;
    let address = json!({ "recipient": "Nemo", "line1": "1 Kiln Lane", "city": "Stoke",
        "postcode": "ST1 1AA", "country": "GB" });
    api.post("/v1/me/addresses", Some(&token), &address).await?;
    let cards = [card(&api, &token, "tok_one").await?, card(&api, &token, "tok_two").await?];
    Ok(Customer {
        number,
        gateways: gateways.to_vec(),
        email,
        password: password.to_owned(),
        token: Mutex::new(token),
        cards,
        calls: Arc::clone(calls),
    })
}

/// A member of staff, who calls as customers do, with a number of its own.
pub(crate) async fn staff(
    shop: &Shop,
    number: usize,
    gateways: &[Client],
    calls: &Arc<Calls>,
) -> Result<Customer> {
    let (api, password) = (api(shop)?, shop.staff_password()?);
    let token = api.sign_in(STAFF_EMAIL, &password).await.context("staff")?;
    Ok(Customer {
        number,
        gateways: gateways.to_vec(),
        email: STAFF_EMAIL.to_owned(),
        password,
        token: Mutex::new(token),
        cards: [String::new(), String::new()],
        calls: Arc::clone(calls),
    })
}

/// Every card that the provider does not know by name is a good one.
async fn card(api: &Api, token: &str, card: &str) -> Result<String> {
    let body = json!({ "card_token": card, "label": "chaos" });
    let card: Value = api.post("/v1/payment-methods", Some(token), &body).await?.json()?;
    let id = card["payment_method_id"].as_str().context("a card without an id")?;
    Ok(id.to_owned())
}

fn api(shop: &Shop) -> Result<Api> {
    Ok(Api::new(shop.urls().first().context("the shop has no gateway")?))
}
