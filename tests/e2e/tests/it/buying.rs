//! Carts and checkouts.

use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join_all};
use http::Method;
use operator::Shop;
use serde_json::{Value, json};
use testkit::eventually;

use crate::shopper::{PASSWORD, SETTLED, Shopper, Staff, booked, fresh, gbp, refusal, text};

pub async fn an_order_settles_and_everything_adds_up(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let placed = shopper.order(&product, 3).await?;
    ensure!(placed["state"] == "placed" && placed["total"] == gbp(750), "{placed}");
    let order = shopper.reaches(&placed, "confirmed").await?;
    ensure!(order["version"] == 3 && order["steps"].as_array().is_some_and(|s| s.len() == 3));
    staff.stock_is(&product, 7, 0, 3).await;
    ensure!(booked(shop, &order).await? == (750, 0, 1));
    let payment = shopper.get(&format!("/v1/orders/{}/payment", text(&order, "order_id"))).await?;
    ensure!(payment["state"] == "captured" && payment["amount"] == gbp(750), "{payment}");
    let orders = shopper.get("/v1/orders").await?;
    ensure!(orders["orders"].as_array().is_some_and(|orders| orders.len() == 1), "{orders}");
    shopper.cart_is_empty().await;
    Ok(())
}

pub async fn twenty_duplicates_with_one_key_are_one_order(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    shopper.put_in_cart(&product, 1).await?;
    let key = fresh();
    let answers = join_all((0..20).map(|_| shopper.checkout(&key))).await;
    let (placed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let bodies: Vec<_> = placed.into_iter().flatten().map(|answer| answer.body).collect();
    ensure!(bodies.iter().all(|body| *body == bodies[0]), "equal answers");
    for answer in refused {
        let refused = refusal(answer)?;
        ensure!(refused == (409, "idempotency_key_in_flight".into()), "{refused:?}");
    }
    let order: Value = serde_json::from_slice(&bodies[0])?;
    shopper.reaches(&order, "confirmed").await?;
    let again = shopper.checkout(&key).await?;
    ensure!(again.body == bodies[0], "the same answer when the order has long been settled");
    staff.stock_is(&product, 9, 0, 1).await;
    Ok(())
}

pub async fn two_tabs_are_one_order(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    shopper.put_in_cart(&product, 2).await?;
    let (first, second) = (fresh(), fresh());
    let answers = tokio::join!(shopper.checkout(&first), shopper.checkout(&second));
    let (placed, refused): (Vec<_>, Vec<_>) =
        [answers.0, answers.1].into_iter().partition(Result::is_ok);
    ensure!(placed.len() == 1 && refused.len() == 1);
    for answer in refused {
        let (status, code) = refusal(answer)?;
        ensure!(
            status == 409 && ["cart_already_ordered", "cart_empty"].contains(&&*code),
            "{code}"
        );
    }
    for answer in placed.into_iter().flatten() {
        shopper.reaches(&answer.json()?, "confirmed").await?;
    }
    staff.stock_is(&product, 8, 0, 2).await;
    Ok(())
}

pub async fn a_key_with_another_body_is_refused(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    shopper.put_in_cart(&staff.product(10).await?, 1).await?;
    let key = fresh();
    shopper.checkout(&key).await?;
    let other = json!({ "payment_method_id": fresh() });
    let answer = refusal(shopper.checkout_with(&key, &other).await)?;
    ensure!(answer == (422, "idempotency_key_reused".into()), "{answer:?}");
    Ok(())
}

pub async fn what_is_not_there_is_not_sold(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let (rare, common) = (staff.product(1).await?, staff.product(10).await?);
    shopper.put_in_cart(&common, 4).await?;
    let order = shopper.order(&rare, 2).await?;
    let order = shopper.settles(&order).await?;
    ensure!(order["cancel_reason"] == "out_of_stock", "{order}");
    staff.stock_is(&rare, 1, 0, 0).await;
    staff.stock_is(&common, 10, 0, 0).await;
    ensure!(booked(shop, &order).await? == (0, 0, 0), "nobody paid");
    Ok(())
}

pub async fn twenty_buyers_of_five_pieces_buy_five(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let product = staff.product(5).await?;
    let mut buyers = Vec::new();
    for _ in 0..20 {
        buyers.push(Shopper::new(shop).await?);
    }
    let orders = try_join_all(buyers.iter().map(|buyer| buyer.order(&product, 1))).await?;
    let pairs = buyers.iter().zip(&orders);
    let ends = try_join_all(pairs.map(|(buyer, order)| buyer.settles(order))).await?;
    let confirmed = ends.iter().filter(|order| order["state"] == "confirmed").count();
    ensure!(confirmed == 5, "{confirmed} of 20 got one of 5");
    staff.stock_is(&product, 0, 0, 5).await;
    Ok(())
}

pub async fn a_guests_cart_is_merged_at_sign_in(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let (both, guests) = (staff.product(50).await?, staff.product(50).await?);
    shopper.put_in_cart(&both, 1).await?;
    let guest: Value = shopper.api.get("/v1/cart", None).await?.json()?;
    let guest = text(&guest, "cart_id");
    let headers = [("x-cart-id", &*guest)];
    for product in [&both, &guests] {
        let path = format!("/v1/cart/items/{product}");
        let body = json!({ "quantity": 2 });
        shopper.api.call(Method::PUT, &path, None, Some(&body), &headers).await?;
    }
    let sign_in = json!({ "email": shopper.email, "password": PASSWORD, "guest_cart_id": guest });
    for _ in 0..2 {
        // A second sign-in with the same guest's cart adds nothing.
        shopper.api.post("/v1/sessions", None, &sign_in).await?;
    }
    let cart = shopper.get("/v1/cart").await?;
    let items = cart["items"].as_array().cloned().unwrap_or_default();
    let quantity = |product: &str| {
        let item = items.iter().find(|item| item["product_id"] == *product);
        item.map(|item| item["quantity"].clone())
    };
    ensure!(quantity(&both) == Some(json!(3)), "{cart}");
    ensure!(quantity(&guests) == Some(json!(2)), "{cart}");
    ensure!(cart["total"] == gbp(5 * 250), "{cart}");
    Ok(())
}

pub async fn a_price_change_is_what_the_next_order_pays(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    shopper.put_in_cart(&product, 2).await?;
    let path = format!("/v1/staff/products/{product}/price");
    staff.api.call(Method::PUT, &path, Some(&staff.token), Some(&gbp(400)), &[]).await?;
    let order: Value = shopper.checkout(&fresh()).await?.json()?;
    ensure!(order["total"] == gbp(800), "{order}");
    shopper.reaches(&order, "confirmed").await?;
    ensure!(booked(shop, &order).await? == (800, 0, 1));
    Ok(())
}

pub async fn what_is_bought_together_is_shown_with_either(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let (cup, saucer) = (staff.product(10).await?, staff.product(10).await?);
    shopper.put_in_cart(&saucer, 4).await?;
    let order = shopper.order(&cup, 2).await?;
    shopper.reaches(&order, "confirmed").await?;
    for (product, companion) in [(&cup, &saucer), (&saucer, &cup)] {
        let path = format!("/v1/products/{product}/bought-together");
        let shown = eventually("it is counted", SETTLED, async || {
            let shown = shopper.get(&path).await.ok()?["products"].clone();
            (shown != json!([])).then_some(shown)
        });
        let shown = shown.await;
        let one = (&shown[0]["product_id"], &shown[0]["orders"], shown.as_array().map(Vec::len));
        ensure!(one == (&json!(companion), &json!(1), Some(1)), "{shown}");
    }
    for precomputed in ["/v1/bestsellers", "/v1/categories"] {
        let shown = shopper.get(precomputed).await?;
        ensure!(shown["as_of_unix_ms"].as_i64().is_some_and(|at| at > 0), "{shown}");
    }
    Ok(())
}

/// Real invoices have more than a thousand lines.
pub async fn an_order_of_two_thousand_lines_settles(shop: &Shop) -> Result<()> {
    const LINES: usize = 2_000;
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let source = fresh();
    let line = |n: usize| {
        let offer = json!({ "source": source, "sku": format!("{source}-{n}"),
            "name": format!("bead {n}"), "description": "", "category": "Beads",
            "price": gbp(10), "opening_stock": 5 });
        format!("{offer}\n")
    };
    let body: String = (0..LINES).map(line).collect();
    let request = staff.api.client().request(Method::POST, "/v1/staff/import");
    let request = request
        .header("authorization", format!("Bearer {}", staff.token))
        .header("content-type", "application/x-ndjson")
        .body(operator::http::full(body))?;
    let report = staff.api.client().send(request, SETTLED).await?;
    ensure!(report.status == 200, "{}", String::from_utf8_lossy(&report.body));
    for n in 0..LINES {
        let found = shopper.get(&format!("/v1/products?sku={source}-{n}")).await?;
        let product = text(&found["products"][0], "product_id");
        shopper.put_in_cart_quietly(&product).await?;
    }
    let order: Value = shopper.checkout(&fresh()).await?.json()?;
    ensure!(order["lines"].as_array().is_some_and(|lines| lines.len() == LINES));
    ensure!(order["total"] == gbp(10 * 2_000), "{}", order["total"]);
    shopper.reaches(&order, "confirmed").await?;
    Ok(())
}
