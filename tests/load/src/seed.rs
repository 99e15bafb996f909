//! What has to be there before the first request counts: products with stock, and customers who have
//! signed in, given an address and a card, and put something into their carts. Passwords are hashed
//! here and never under load: argon2 is meant to be slow.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Method};
use operator::api::{Api, Refusal, bearer};
use operator::catalogue::{Line, pence, upload};
use operator::secrets::random_hex;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::shop::Target;

/// The section of the catalogue that is for load.
pub(crate) const CATEGORY: &str = "load";
/// No run comes to the end of it.
const STOCK: i64 = 10_000_000;
pub(crate) const PAGE: usize = 100;
/// The shop hashes two passwords at once.
const AT_ONCE: usize = 2;
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);

/// A customer who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) authorization: HeaderValue,
    pub(crate) refresh_token: String,
    pub(crate) signed_in: Instant,
    pub(crate) payment_method: String,
    /// Its carts and orders are in the database that a shard outage takes away.
    pub(crate) loses_its_shard: bool,
}

/// Products that can be bought, by their ids. A shop without its staff sells what it has.
pub(crate) async fn products(api: &Api, target: &Target, count: usize) -> Result<Vec<String>> {
    let category = match &target.staff {
        Some(staff) => {
            let token = api.sign_in(&staff.email, &staff.password).await.context("staff")?;
            upload(api, &token, lines(count)).await.context("bringing products")?;
            CATEGORY
        }
        None => "",
    };
    let products = listed(api, category, count).await?;
    ensure!(
        !products.is_empty(),
        "the shop has nothing in stock; --staff-password-file brings some"
    );
    Ok(products)
}

fn lines(count: usize) -> Vec<Line> {
    let line = |number: usize| Line {
        source: format!("{:064x}", 0x10ad), // always the same: the stock is brought once
        sku: format!("LOAD-{number:05}"),
        name: format!("Plain tile no. {number}"),
        description: "Glazed, 10 by 10 centimetres, in one of many colours.".to_owned(),
        category: CATEGORY.to_owned(),
        price: pence(100 + (number % 400) as i64),
        opening_stock: STOCK,
    };
    (0..count).map(line).collect()
}

async fn listed(api: &Api, category: &str, count: usize) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Page {
        products: Vec<Product>,
        #[serde(default)]
        next_page_token: String,
    }
    #[derive(Deserialize)]
    struct Product {
        product_id: String,
        available: i64,
    }
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/products?page_size={PAGE}&category={category}&page_token={token}");
        let page: Page = api.get(&path, None).await?.json()?;
        let in_stock = page.products.into_iter().filter(|product| product.available > 0);
        ids.extend(in_stock.map(|product| product.product_id));
        if page.next_page_token.is_empty() || ids.len() >= count {
            ids.truncate(count);
            return Ok(ids);
        }
        token = page.next_page_token;
    }
}

/// Customers, each with one product in the cart; `done` gets the number of those that are ready.
pub(crate) async fn members(
    api: &Api,
    count: usize,
    products: &[String],
    mut done: impl FnMut(usize),
) -> Result<Vec<Member>> {
    let run = random_hex();
    let run = &run[..12];
    let mut joining = stream::iter(0..count)
        .map(|number| {
            let email = format!("load-{run}-{number}@example.com");
            join(api, email, &products[number % products.len()])
        })
        .buffer_unordered(AT_ONCE);
    let mut members = Vec::with_capacity(count);
    while let Some(member) = joining.try_next().await.context("signing up customers")? {
        members.push(member);
        done(members.len());
    }
    Ok(members)
}

#[derive(Deserialize)]
struct Session {
    access_token: String,
    refresh_token: String,
}

async fn join(api: &Api, email: String, product: &str) -> Result<Member> {
    let password = random_hex();
    let account = json!({ "email": email, "password": password, "name": "Load" });
    patiently(async || api.post("/v1/users", None, &account).await).await?;
    let login = json!({ "email": email, "password": password });
    let session = patiently(async || api.post("/v1/sessions", None, &login).await).await?;
    let Session { access_token, refresh_token } = session.json()?;
    let token = Some(access_token.as_str());
    let address = json!({ "recipient": "Load", "line1": "1 Kiln Lane", "city": "Stoke",
        "postcode": "ST1 1AA", "country": "GB" });
    patiently(async || api.post("/v1/me/addresses", token, &address).await).await?;
    let card = json!({ "card_token": "tok_approve", "label": "load" });
    let card = patiently(async || api.post("/v1/payment-methods", token, &card).await).await?;
    let path = format!("/v1/cart/items/{product}");
    let one = json!({ "quantity": 1 });
    patiently(async || api.call(Method::PUT, &path, token, Some(&one), &[]).await).await?;
    #[derive(Deserialize)]
    struct Card {
        payment_method_id: String,
    }
    Ok(Member {
        authorization: bearer(&access_token)?,
        refresh_token,
        signed_in: Instant::now(),
        payment_method: card.json::<Card>()?.payment_method_id,
        loses_its_shard: false,
    })
}

/// A new access token for an old one that is about to expire.
pub(crate) async fn refresh(api: &Api, refresh_token: &str) -> Result<(HeaderValue, String)> {
    let body = json!({ "refresh_token": refresh_token });
    let session: Session = api.post("/v1/sessions/refresh", None, &body).await?.json()?;
    Ok((bearer(&session.access_token)?, session.refresh_token))
}

/// Asks again while the shop says that it is too busy.
async fn patiently<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        let refusal = answer.as_ref().err().and_then(|error| error.downcast_ref::<Refusal>());
        let busy = refusal.is_some_and(|refusal| [429, 503].contains(&refusal.status));
        if !busy || Instant::now() >= deadline {
            return answer;
        }
        sleep(AGAIN).await;
    }
}
