//! Live orders, and what follows a moment later than a customer may think.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use operator::api::bearer;
use operator::http::{Body, empty};
use operator::{Shop, Signal};
use serde_json::json;
use tokio::time::timeout;

use crate::shopper::{SETTLED, Shopper, Staff, text};

/// What a client has read of its live stream.
struct Reader {
    body: Incoming,
    read: String,
}

pub async fn a_live_stream_outlives_the_copies_that_it_comes_from() -> Result<()> {
    let two = |options: &mut operator::Options| {
        options.replicas = "order=2".parse().expect("replicas");
    };
    let shop = shops::open("watching", two).await?;
    let done = kill_each_copy(&shop).await;
    shops::close_after("watching", shop, done).await
}

async fn kill_each_copy(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    shop.kill("psp", Signal::STOP)?; // nothing is paid now
    let order = shopper.order(&product, 1).await?;
    let path = format!("/v1/orders/{}/events", text(&order, "order_id"));
    let client = shopper.api.client();
    let answer = client.open(request(&shopper, &path, None)?).await?;
    let mut reader = Reader { body: answer.into_body(), read: String::new() };
    reader.until("\"stock_held\"").await?;
    for copy in ["order", "order-2"] {
        let killed = shop.process(copy);
        shop.kill(copy, Signal::KILL)?;
        shop.ready_after(copy, killed).await?;
    }
    shop.kill("psp", Signal::CONT)?;
    reader.until("\"confirmed\"").await?;
    let read = reader.rest().await?;

    ensure!(read.contains("\n\n: resuming\n\n"), "neither copy was the one: {read}");
    let ids = read.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok());
    let ids: Vec<u32> = ids.collect();
    ensure!(ids.is_sorted_by(|one, next| one < next), "each version comes once: {ids:?}");
    let last = ids.last().context("no version")?.to_string();
    let again = client.send(request(&shopper, &path, Some(&last))?, SETTLED).await?;
    ensure!((again.status, again.body.len()) == (204, 0), "{again:?}");
    Ok(())
}

fn request(shopper: &Shopper, path: &str, seen: Option<&str>) -> Result<http::Request<Body>> {
    let request = shopper.api.client().request(Method::GET, path);
    let mut request = request.header("authorization", bearer(&shopper.token)?);
    if let Some(seen) = seen {
        request = request.header("last-event-id", seen);
    }
    Ok(request.body(empty())?)
}

impl Reader {
    /// Reads on until this has come.
    async fn until(&mut self, text: &str) -> Result<()> {
        while !self.read.contains(text) {
            ensure!(self.more().await?, "it ended before {text}: {}", self.read);
        }
        Ok(())
    }

    async fn rest(mut self) -> Result<String> {
        while self.more().await? {}
        Ok(self.read)
    }

    /// Whether there was more.
    async fn more(&mut self) -> Result<bool> {
        let frame = timeout(SETTLED, self.body.frame()).await;
        let Some(frame) = frame.context("silence")? else { return Ok(false) };
        if let Ok(data) = frame?.into_data() {
            self.read.push_str(&String::from_utf8_lossy(&data));
        }
        Ok(true)
    }
}

/// `cancelled` is what the order says; the stock hears of it by an event.
pub async fn cancelled_is_seen_before_the_stock_is_free(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let shopper = Shopper::with_card(shop, "tok_hang").await?;
    let product = staff.product(100).await?;
    let mut took = Vec::new();
    for _ in 0..20 {
        let order = shopper.order(&product, 1).await?;
        shopper.reaches(&order, "stock_held").await?;
        let path = format!("/v1/orders/{}/cancel", text(&order, "order_id"));
        let cancelled = shopper.post(&path, &json!({})).await?;
        ensure!(cancelled["state"] == "cancelled", "{cancelled}");
        let began = Instant::now();
        staff.stock_is(&product, 100, 0, 0).await;
        took.push(began.elapsed());
    }
    took.sort();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "  the stock was free {:.0} ms after `cancelled` at the median, {:.0} at most ({} orders)",
        ms(took[took.len() / 2]),
        ms(took[took.len() - 1]),
        took.len()
    );
    Ok(())
}
