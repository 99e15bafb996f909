//! What the edge keeps, for how long, and what it never keeps.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use http::Method;
use operator::http::{Answer, Client};
use serde_json::{Value, json};
use testkit::eventually;

use crate::counting::Counting;
use crate::shop::{Front, LIMIT, get, send, sign_up};

/// `max-age` and `stale-while-revalidate` of a product, and a second that it may have been kept for before (gateway/README.md).
const STALE_MAX: Duration = Duration::from_secs(3);
/// For the requests themselves, on a busy machine.
const SLACK: Duration = Duration::from_millis(700);

fn cache(answer: &Answer) -> &str {
    answer.header("x-cache").unwrap_or("none")
}

pub async fn a_public_read_is_kept_for_a_second(front: &Front) -> Result<()> {
    let client = front.client();
    let path = "/v1/products?page_size=11";
    let first = get(&client, path).await?;
    ensure!((first.status, cache(&first)) == (200, "MISS"), "{first:?}");
    ensure!(first.header("x-trace-id").is_some(), "a request of one's own has a trace");
    let second = get(&client, path).await?;
    ensure!((second.status, cache(&second)) == (200, "HIT"), "{second:?}");
    ensure!(second.body == first.body && second.header("x-trace-id").is_none(), "{second:?}");

    let tag = first.header("etag").unwrap_or_default().to_owned();
    let request = client.request(Method::GET, path).header("if-none-match", &tag);
    let known = client.send(request.body(operator::http::empty())?, LIMIT).await?;
    ensure!((known.status, known.body.len()) == (304, 0), "the edge knows the tag: {known:?}");

    eventually("it is asked for again", STALE_MAX + SLACK, async || {
        let answer = get(&client, path).await.ok()?;
        (cache(&answer) != "HIT").then_some(())
    })
    .await;
    Ok(())
}

pub async fn pages_of_the_catalogue_are_kept_and_what_they_load_for_ever(
    front: &Front,
) -> Result<()> {
    let client = front.client();
    let home = get(&client, "/").await?;
    let home_text = String::from_utf8_lossy(&home.body).into_owned();
    let assets = home_text.split('"').filter(|it| it.starts_with("/assets/"));
    for path in ["/products?page_token=", "/search?q=vase"].into_iter().chain(assets) {
        let first = get(&client, path).await?;
        ensure!((first.status, cache(&first)) == (200, "MISS"), "{path}: {first:?}");
        let second = get(&client, path).await?;
        ensure!((second.status, cache(&second)) == (200, "HIT"), "{path}: {second:?}");
        ensure!(second.body == first.body, "{path}");
    }
    Ok(())
}

pub async fn of_many_who_want_the_same_one_asks(front: &Front) -> Result<()> {
    const MANY: usize = 100;
    let gateway = Counting::slow(&front.certificate()).await?;
    let edge = front.edge(&[gateway.address]).await?;
    let client = Client::new(&edge.url);
    let answers = try_join_all((0..MANY).map(|_| get(&client, "/v1/search?q=lantern"))).await?;
    ensure!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    println!("  {MANY} at once: the gateway was asked {} time(s)", gateway.requests());
    ensure!(gateway.requests() == 1, "{}", gateway.requests());
    Ok(())
}

pub async fn nobody_sees_a_price_older_than_three_seconds(front: &Front) -> Result<()> {
    let client = front.client();
    let product = front.product("CER-CUP-01").await?;
    let path = format!("/v1/products/{}", product.product_id);
    let price_path = format!("/v1/staff/products/{}/price", product.product_id);
    let staff = front.staff().await?;
    let mut oldest = Duration::ZERO;
    for price in [411, 422, 433] {
        get(&client, &path).await?; // so that an old one is there
        let body = json!({ "currency": "GBP", "minor_units": price });
        let changed = send(&client, Method::PUT, &price_path, Some(&staff), Some(&body)).await?;
        ensure!(changed.status < 300, "{changed:?}");
        let since = Instant::now();
        while since.elapsed() < STALE_MAX + SLACK * 2 {
            let asked = since.elapsed();
            let seen: Value = get(&client, &path).await?.json()?;
            if seen["price"]["minor_units"] != price {
                oldest = oldest.max(asked);
            }
        }
    }
    println!("  an old price was shown for {} ms at most", oldest.as_millis());
    ensure!(oldest > Duration::ZERO, "nothing was kept: the test shows nothing");
    ensure!(oldest <= STALE_MAX + SLACK, "{oldest:?}");
    Ok(())
}

pub async fn what_is_somebodys_own_is_never_kept(front: &Front) -> Result<()> {
    let client = front.client();
    let carts = [get(&client, "/v1/cart").await?, get(&client, "/v1/cart").await?];
    let id = |answer: &Answer| answer.json::<Value>().map(|cart| cart["cart_id"].clone());
    ensure!(id(&carts[0])? != id(&carts[1])?, "two guests have two carts");
    let (one, other) = (sign_up(&client, "one").await?, sign_up(&client, "other").await?);
    for path in ["/v1/me", "/v1/orders", "/v1/payment-methods", "/v1/cart"] {
        for token in [&one, &other, &one] {
            let answer = send(&client, Method::GET, path, Some(token), None).await?;
            ensure!((answer.status, cache(&answer)) == (200, "none"), "{path}: {answer:?}");
        }
    }
    for path in ["/cart", "/account", "/orders", "/checkout", "/sign-in"] {
        for _ in 0..2 {
            let answer = get(&client, path).await?;
            ensure!(cache(&answer) == "none", "{path}: {answer:?}");
            ensure!(answer.header("cache-control") == Some("no-store"), "{path}: {answer:?}");
        }
    }
    let me = |token| send(&client, Method::GET, "/v1/me", Some(token), None);
    let (mine, yours) = (me(&one).await?, me(&other).await?);
    ensure!(mine.body != yours.body, "each sees himself");
    Ok(())
}
