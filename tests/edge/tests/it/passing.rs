//! What goes through the edge as it comes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use http_body_util::BodyExt as _;
use operator::Signal;
use operator::api::{Api, bearer};
use operator::catalogue::{self, Line, pence};
use operator::customer::{Purchase, Wish, buy};
use operator::http::{empty, full};
use serde_json::json;
use tokio::time::timeout;

use crate::shop::{Front, LIMIT, send, sign_up};

/// An answer that is collected before it is passed on would be here when the order is settled, and
/// here nothing settles.
const AT_ONCE: Duration = Duration::from_secs(5);

pub async fn an_order_is_placed_and_followed_live(front: &Front) -> Result<()> {
    let api = Api::new(&front.edge.url);
    let purchase = Purchase {
        wish: Wish::Sku("CER-BOWL-01".into()),
        quantity: 1,
        card_token: "tok_approve".into(),
    };
    let bought = buy(&api, &purchase).await?;
    ensure!(bought.order.state == "confirmed", "{:?}", bought.order);

    front.shop.kill("psp", Signal::STOP)?; // nothing is paid now
    let streamed = stream_of_an_open_order(front).await;
    front.shop.kill("psp", Signal::CONT)?;
    streamed
}

async fn stream_of_an_open_order(front: &Front) -> Result<()> {
    let api = Api::new(&front.edge.url);
    let token = sign_up(&front.client(), "watcher").await?;
    let order = place(front, &api, &token).await?;
    let path = format!("/v1/orders/{order}/events");
    let request = api.client().request(Method::GET, &path);
    let request = request.header("authorization", bearer(&token)?).body(empty())?;
    let began = Instant::now();
    let answer = timeout(AT_ONCE, api.client().open(request)).await.context("no head")??;
    let mut body = answer.into_body();
    let mut text = String::new();
    while !text.contains("event: order") {
        let frame = timeout(AT_ONCE, body.frame()).await.context("nothing comes through")?;
        let data = frame.context("the stream ended")??.into_data().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&data));
    }
    println!("  the first event of an open order came after {} ms", began.elapsed().as_millis());
    ensure!(text.starts_with("retry: 1000"), "{text}");
    Ok(())
}

async fn place(front: &Front, api: &Api, token: &str) -> Result<String> {
    let address = json!({ "recipient": "Zohra", "line1": "1 Gate", "city": "Fes",
        "postcode": "30000", "country": "MA" });
    api.post("/v1/me/addresses", Some(token), &address).await?;
    let card = json!({ "card_token": "tok_approve" });
    let card = api.post("/v1/payment-methods", Some(token), &card).await?;
    let card: serde_json::Value = card.json()?;
    let product = front.product("CER-BOWL-01").await?.product_id;
    let path = format!("/v1/cart/items/{product}");
    let quantity = json!({ "quantity": 1 });
    api.call(Method::PUT, &path, Some(token), Some(&quantity), &[]).await?;
    let body = json!({ "payment_method_id": card["payment_method_id"] });
    let key = [("idempotency-key", "watched")];
    let order = api.call(Method::POST, "/v1/orders", Some(token), Some(&body), &key).await?;
    let order: serde_json::Value = order.json()?;
    Ok(order["order_id"].as_str().context("no order_id")?.to_owned())
}

/// More than twice the limit that every other route has.
pub async fn an_import_is_a_stream_of_any_length(front: &Front) -> Result<()> {
    const LINES: usize = 6_000;
    let line = |number: usize| Line {
        source: "5".repeat(64),
        sku: format!("BEAD-{number}"),
        name: format!("Bead number {number}"),
        description: "A bead of coloured glass, sold by the piece and sent in a paper bag. "
            .repeat(4),
        category: "Beads".into(),
        price: pence(10),
        opening_stock: 5,
    };
    let lines: Vec<Line> = (0..LINES).map(line).collect();
    let bytes: usize = lines.iter().map(|line| line.description.len()).sum();
    ensure!(bytes > 1_500_000, "{bytes}");
    let api = Api::new(&front.edge.url);
    let imported = catalogue::upload(&api, &front.staff().await?, lines).await?;
    ensure!(imported.added == LINES as i64, "{imported:?}");
    Ok(())
}

pub async fn what_is_too_large_is_refused_in_the_gateways_words(front: &Front) -> Result<()> {
    let client = front.client();
    let body = json!({ "email": "x".repeat(300_000), "password": "p", "name": "n" });
    let answer = send(&client, Method::POST, "/v1/users", None, Some(&body)).await?;
    let problem: serde_json::Value = answer.json()?;
    ensure!((answer.status, &problem["code"]) == (413, &json!("body_too_large")), "{problem}");
    let unsigned = json!({ "id": "1" });
    let answer = send(&client, Method::POST, "/v1/webhooks/psp", None, Some(&unsigned)).await?;
    ensure!(answer.status == 401, "the provider's notices come in here, signed: {answer:?}");
    Ok(())
}

/// The gateway knows no address of its own: a form is one of ours when it comes from the host that it is for, port included.
pub async fn a_form_is_ours_at_the_address_of_the_edge(front: &Front) -> Result<()> {
    let client = front.client();
    let product = front.product("CER-CUP-01").await?;
    let form = format!("product_id={}&quantity=1", product.product_id);
    for (origin, status) in [(&*front.edge.url, 303), ("http://elsewhere.example", 403)] {
        let request = client.request(Method::POST, "/cart").header("origin", origin);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = client.send(request.body(full(form.clone().into_bytes()))?, LIMIT).await?;
        ensure!(answer.status == status, "{origin}: {answer:?}");
    }
    Ok(())
}
