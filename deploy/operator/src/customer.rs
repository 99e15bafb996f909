//! One customer, from the first visit to the settled order, through the public API alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::api::{Api, Order, Product, Refusal};
use crate::board::now_unix_ms;
use crate::events;
use crate::secrets::random_hex;

/// Timeout of an order; the deadline of its checkout cancels it long before.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// How long 503 is retried.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(250);

/// What a customer wants to buy.
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

/// Registers a new customer and buys.
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
        let password = random_hex();
        let email = patiently(async || {
            // Another one each time: an attempt whose answer was lost may have taken the last one.
            let email = format!("customer-{}@example.com", random_id(6));
            let body = json!({ "email": email, "password": password, "name": "Amina Haddad" });
            self.api.post("/v1/users", None, &body).await.map(|_| email)
        });
        let email = email.await?;
        self.did("user", "registered");
        let token = patiently(async || self.api.sign_in(&email, &password).await).await?;
        self.did("user", "signed in");
        let address = json!({
            "recipient": "Amina Haddad", "line1": "4 Lantern Row", "city": "Bristol",
            "postcode": "BS1 4ND", "country": "GB",
        });
        let give = async || self.api.post("/v1/me/addresses", Some(&token), &address).await;
        patiently(give).await?;
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
        let found: Products = patiently(async || self.api.get(&path, None).await).await?.json()?;
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
        let put = async || self.api.call(Method::PUT, &path, Some(token), Some(&body), &[]).await;
        patiently(put).await?;
        self.did("cart", format!("put {quantity} in the cart"));
        Ok(())
    }

    async fn give_card(&mut self, token: &str, card_token: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct PaymentMethod {
            payment_method_id: String,
        }
        let body = json!({ "card_token": card_token, "label": "demonstration card" });
        let give = async || self.api.post("/v1/payment-methods", Some(token), &body).await;
        let method = patiently(give).await?;
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
    let post =
        async || api.call(Method::POST, "/v1/orders", Some(token), Some(&body), &headers).await;
    let answer = patiently(post).await?;
    ensure!(answer.status == 202, "a checkout is answered with 202, not {}", answer.status);
    answer.json()
}

/// Asks again while the shop says that it cannot answer right now (503), for some seconds. The key
/// of a checkout makes even that safe.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        let busy = answer.as_ref().err().and_then(|error| error.downcast_ref::<Refusal>());
        if busy.is_none_or(|refusal| refusal.status != 503) || Instant::now() >= deadline {
            return answer;
        }
        sleep(AGAIN).await;
    }
}

/// Random bytes in hexadecimal, the first of them not 0; the parameter is their number.
fn random_id(bytes: usize) -> String {
    let random: [u8; 16] = rand::random();
    let first = random[0] | 0x10;
    let rest = &random[1..bytes.min(random.len())];
    std::iter::once(&first).chain(rest).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16) -> Refusal {
        Refusal { status, code: "x".into(), detail: String::new(), trace_id: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_shop_that_cannot_answer_is_asked_again() {
        for (answers, asked, ends_well) in
            [(vec![503, 503, 200], 3, true), (vec![422, 200], 1, false), (vec![200], 1, true)]
        {
            let mut left = answers.into_iter();
            let mut count = 0;
            let outcome = patiently(async || {
                count += 1;
                match left.next() {
                    Some(200) => Ok(()),
                    status => Err(refusal(status.unwrap_or(503)).into()),
                }
            });
            assert_eq!(outcome.await.is_ok(), ends_well);
            assert_eq!(count, asked);
        }
    }

    #[test]
    fn random_ids_have_the_length_that_was_asked_for() {
        for bytes in [6, 8, 16] {
            let id = random_id(bytes);
            assert_eq!(id.len(), 2 * bytes);
            assert_ne!(&id[..1], "0");
        }
    }
}
