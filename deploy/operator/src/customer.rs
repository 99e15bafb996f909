//! One customer, from the first visit to the settled order, through the public API alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use crate::api::{Api, Order, Product};
use crate::board::now_unix_ms;
use crate::events;
use crate::secrets::random_hex;

/// A checkout's own deadline cancels it long before.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// What somebody wants.
#[derive(Clone, Debug)]
pub enum Wish {
    /// The best match that is in stock.
    Search(String),
    /// This very product.
    Sku(String),
}

/// One purchase.
#[derive(Clone, Debug)]
pub struct Purchase {
    /// What.
    pub wish: Wish,
    /// How many.
    pub quantity: u32,
    /// The payment provider's token of the card.
    pub card_token: String,
}

/// Something the customer did before the checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// What it was.
    pub what: String,
    /// Which service answered, behind the gateway.
    pub service: &'static str,
    /// How long the customer waited.
    pub took: Duration,
}

/// A purchase that came to its end.
#[derive(Clone, Debug)]
pub struct Bought {
    /// What led to it.
    pub deeds: Vec<Deed>,
    /// What was bought.
    pub product: Product,
    /// How many.
    pub quantity: u32,
    /// The order, confirmed or cancelled.
    pub order: Order,
    /// Of the checkout and all that followed from it.
    pub trace_id: String,
    /// When the checkout was sent, in milliseconds since 1970.
    pub sent_unix_ms: i64,
    /// From the checkout to its acceptance (202).
    pub accepted: Duration,
    /// From the checkout to the moment at which the customer saw the end.
    pub settled: Duration,
}

/// Registers somebody new and buys.
///
/// # Errors
/// When the shop refuses a step, or the order is not settled within a minute.
pub async fn buy(api: &Api, purchase: &Purchase) -> Result<Bought> {
    let mut visit = Visit { api, deeds: Vec::new(), since: Instant::now() };
    let token = visit.sign_up().await?;
    let product = visit.find(&purchase.wish).await?;
    visit.fill_cart(&token, &product, purchase.quantity).await?;
    let method = visit.give_card(&token, &purchase.card_token).await?;
    let deeds = visit.deeds;

    let (trace_id, sent_unix_ms, sent) = (random_id(16), now_unix_ms(), Instant::now());
    let placed = checkout(api, &token, &method, &trace_id).await?;
    let accepted = sent.elapsed();
    let order = events::follow(api, &token, &placed.order_id, SETTLED_MAX, |_| ()).await?;
    let settled = sent.elapsed();
    let quantity = purchase.quantity;
    Ok(Bought { deeds, product, quantity, order, trace_id, sent_unix_ms, accepted, settled })
}

struct Visit<'a> {
    api: &'a Api,
    deeds: Vec<Deed>,
    since: Instant,
}

impl Visit<'_> {
    fn did(&mut self, service: &'static str, what: impl Into<String>) {
        let now = Instant::now();
        self.deeds.push(Deed { what: what.into(), service, took: now - self.since });
        self.since = now;
    }

    async fn sign_up(&mut self) -> Result<String> {
        let email = format!("customer-{}@example.com", random_id(6));
        let password = random_hex();
        let body = json!({ "email": email, "password": password, "name": "Amina Haddad" });
        self.api.post("/v1/users", None, &body).await?;
        self.did("user", "registered");
        let token = self.api.sign_in(&email, &password).await?;
        self.did("user", "signed in");
        let address = json!({
            "recipient": "Amina Haddad", "line1": "4 Lantern Row", "city": "Bristol",
            "postcode": "BS1 4ND", "country": "GB",
        });
        self.api.post("/v1/me/addresses", Some(&token), &address).await?;
        self.did("user", "gave an address");
        Ok(token)
    }

    async fn find(&mut self, wish: &Wish) -> Result<Product> {
        #[derive(Deserialize)]
        struct Products {
            products: Vec<Product>,
        }
        let (path, what) = match wish {
            Wish::Search(text) => {
                (format!("/v1/search?q={text}&page_size=20"), format!("searched for {text:?}"))
            }
            Wish::Sku(sku) => (format!("/v1/products?sku={sku}"), format!("looked for {sku}")),
        };
        let found: Products = self.api.get(&path, None).await?.json()?;
        self.did("product", what);
        let any = matches!(wish, Wish::Sku(_));
        let mut products = found.products.into_iter();
        let product = products.find(|product| any || product.available > 0);
        product.with_context(|| match wish {
            Wish::Search(text) => format!("nothing that matches {text:?} is in stock"),
            Wish::Sku(sku) => format!("there is no product {sku} on sale"),
        })
    }

    async fn fill_cart(&mut self, token: &str, product: &Product, quantity: u32) -> Result<()> {
        let path = format!("/v1/cart/items/{}", product.product_id);
        let body = json!({ "quantity": quantity });
        self.api.call(Method::PUT, &path, Some(token), Some(&body), &[]).await?;
        self.did("cart", format!("put {quantity} in the cart"));
        Ok(())
    }

    async fn give_card(&mut self, token: &str, card_token: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct PaymentMethod {
            payment_method_id: String,
        }
        let body = json!({ "card_token": card_token, "label": "demonstration card" });
        let method = self.api.post("/v1/payment-methods", Some(token), &body).await?;
        self.did("payment", "gave a card");
        Ok(method.json::<PaymentMethod>()?.payment_method_id)
    }
}

/// The request says that its trace is to be recorded.
async fn checkout(api: &Api, token: &str, method: &str, trace_id: &str) -> Result<Order> {
    let traceparent = format!("00-{trace_id}-{}-01", random_id(8));
    let key = random_hex();
    let headers = [("traceparent", traceparent.as_str()), ("idempotency-key", key.as_str())];
    let body = json!({ "payment_method_id": method });
    let answer = api.call(Method::POST, "/v1/orders", Some(token), Some(&body), &headers).await?;
    ensure!(answer.status == 202, "a checkout is answered with 202, not {}", answer.status);
    answer.json()
}

/// So many random bytes in hexadecimal, the first of them not 0.
fn random_id(bytes: usize) -> String {
    let random: [u8; 16] = rand::random();
    let first = random[0] | 0x10;
    let rest = &random[1..bytes.min(random.len())];
    std::iter::once(&first).chain(rest).map(|byte| format!("{byte:02x}")).collect()
}
