//! Two copies of product and two gateways, each with memories of their own: what they show was current within the last
//! second, whoever changes it meanwhile and through whom.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use futures_util::future::{join_all, try_join_all};
use http::Method;
use operator::Shop;
use operator::api::Api;
use serde_json::Value;

use crate::shopper::{Staff, gbp};

/// What the gateway and product may keep, together.
const LIFE: Duration = Duration::from_secs(1);
const WHILE: Duration = Duration::from_secs(5);
const PRODUCTS: usize = 8;
const READERS: usize = 4;
/// At which staff add a product.
const FIRST_PRICE: i64 = 250;

/// When each price was known to be replaced, in their order; the first is `FIRST_PRICE`.
type Replaced = Mutex<Vec<Instant>>;

pub async fn what_is_shown_was_current_within_the_last_second() -> Result<()> {
    let two = "product=2,gateway=2".parse().map_err(anyhow::Error::msg)?;
    let shop = shops::open("showing", |options| options.replicas = two).await?;
    let done = changed_and_read(&shop).await;
    shops::close_after("showing", shop, done).await
}

async fn changed_and_read(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let gateways: Vec<Api> = shop.urls().iter().map(|url| Api::new(url)).collect();
    ensure!(gateways.len() == 2, "{} gateways", gateways.len());
    let products = try_join_all((0..PRODUCTS).map(|_| staff.product(10))).await?;
    let replaced: Vec<Replaced> = products.iter().map(|_| Replaced::default()).collect();
    let until = Instant::now() + WHILE;
    let changing = async {
        for (number, replaced) in replaced.iter().enumerate().cycle() {
            if Instant::now() >= until {
                break;
            }
            let changes = replaced.lock().expect("nobody panicked").len();
            let next = FIRST_PRICE + 1 + i64::try_from(changes)?;
            // Through one of them: the other hears of nothing.
            price(&gateways[0], &staff, &products[number], next).await?;
            replaced.lock().expect("nobody panicked").push(Instant::now());
        }
        anyhow::Ok(())
    };
    let readers = gateways.iter().flat_map(|gateway| {
        (0..READERS).map(|_| read(gateway, &products, &replaced, until)).collect::<Vec<_>>()
    });
    let (changed, read) = tokio::join!(changing, join_all(readers));
    changed?;
    let read = read.into_iter().collect::<Result<Vec<_>>>()?;
    let (looks, from_memory) = read.iter().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let changes: usize = replaced.iter().map(|it| it.lock().expect("nobody panicked").len()).sum();
    println!("  {looks} looks at {changes} changes, {from_memory} were behind, none by a second");
    ensure!(changes > PRODUCTS && from_memory > 0, "nothing was shown from memory");
    Ok(())
}

async fn price(gateway: &Api, staff: &Staff, product: &str, pence: i64) -> Result<()> {
    let path = format!("/v1/staff/products/{product}/price");
    gateway.call(Method::PUT, &path, Some(&staff.token), Some(&gbp(pence)), &[]).await?;
    Ok(())
}

/// How many looks there were, and how many of them showed what had been replaced.
async fn read(
    gateway: &Api,
    products: &[String],
    replaced: &[Replaced],
    until: Instant,
) -> Result<(usize, usize)> {
    let (mut looks, mut behind) = (0, 0);
    let mut look = |asked: Instant, shown: &Value, replaced: &Replaced| {
        let late = late(asked, shown, replaced)?;
        looks += 1;
        behind += usize::from(late > Duration::ZERO);
        anyhow::Ok(())
    };
    while Instant::now() < until {
        for (product, replaced) in products.iter().zip(replaced) {
            let asked = Instant::now();
            let shown = gateway.get(&format!("/v1/products/{product}"), None).await?;
            look(asked, &shown.json()?, replaced)?;
        }
        let asked = Instant::now();
        let list: Value = gateway.get("/v1/products?page_size=100", None).await?.json()?;
        let listed = list["products"].as_array().map_or(&[][..], Vec::as_slice);
        for (product, replaced) in products.iter().zip(replaced) {
            let shown = listed.iter().find(|it| it["product_id"] == **product);
            look(asked, shown.context("a product is not listed")?, replaced)?;
        }
    }
    Ok((looks, behind))
}

/// How long before it was asked for the price that is shown had been replaced.
fn late(asked: Instant, shown: &Value, replaced: &Replaced) -> Result<Duration> {
    let pence = shown["price"]["minor_units"].as_i64().unwrap_or_default();
    let number = usize::try_from(pence - FIRST_PRICE)?;
    let gone = replaced.lock().expect("nobody panicked").get(number).copied();
    let late = gone.map_or(Duration::ZERO, |gone| asked.saturating_duration_since(gone));
    ensure!(late <= LIFE, "{pence} was replaced {late:?} before it was asked for");
    Ok(late)
}
