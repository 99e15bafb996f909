//! What was put in a cart once is bought once at most, and what was not sold is there again.

use anyhow::{Result, ensure};
use e2e::shops;
use http::Method;
use operator::{Shop, Signal};
use serde_json::{Value, json};
use stores::Server;
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, booked, fresh, gbp, refusal, text};

/// Product and quantity, as an order or a cart has them.
fn lines(of: &Value, field: &str) -> Vec<(String, i64)> {
    let lines = of[field].as_array().cloned().unwrap_or_default();
    lines.iter().map(|it| (text(it, "product_id"), it["quantity"].as_i64().unwrap_or(0))).collect()
}

async fn cart(shopper: &Shopper) -> Result<Vec<(String, i64)>> {
    Ok(lines(&shopper.get("/v1/cart").await?, "items"))
}

async fn cart_becomes(shopper: &Shopper, expected: &[(String, i64)]) {
    eventually("the cart is as it should be", SETTLED, async || {
        (cart(shopper).await.ok()? == expected).then_some(())
    })
    .await;
}

pub async fn second_checkout_excludes_lines_already_ordered() -> Result<()> {
    let shop = shops::open("carts", |_| ()).await?;
    let done = buy_without_a_pause(&shop).await;
    shops::close_after("carts", shop, done).await
}

/// The bus is away, so no service hears of any order before the last one is placed.
async fn buy_without_a_pause(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let mut products = Vec::new();
    for _ in 0..5 {
        products.push(staff.product(1_000).await?);
    }
    let mut shoppers = Vec::new();
    for _ in 0..6 {
        shoppers.push(Shopper::new(shop).await?); // on both shards, in all likelihood
    }
    shop.stop_store(Server::Nats).await?;
    let mut orders = Vec::new();
    for shopper in &shoppers {
        for product in &products {
            // What is shown is what was put in since the last order, and nothing else.
            let shown = shopper.put_in_cart(product, 2).await?;
            ensure!(lines(&shown, "items") == [(product.clone(), 2)], "{shown}");
            let order: Value = shopper.checkout(&fresh()).await?.json()?;
            ensure!(lines(&order, "lines") == [(product.clone(), 2)], "{order}");
            ensure!(cart(shopper).await?.is_empty(), "what is ordered is in no cart");
            let again = refusal(shopper.checkout(&fresh()).await)?;
            ensure!(again == (409, "cart_already_ordered".into()), "{again:?}");
            orders.push((shopper, order));
        }
        // The same once more is bought once more.
        shopper.put_in_cart(&products[0], 2).await?;
        let order: Value = shopper.checkout(&fresh()).await?.json()?;
        ensure!(lines(&order, "lines") == [(products[0].clone(), 2)], "{order}");
        orders.push((shopper, order));
    }
    shop.start_store(Server::Nats).await?;
    for (shopper, order) in &orders {
        shopper.reaches(order, "confirmed").await?;
        ensure!(booked(shop, order).await? == (500, 0, 1), "{order}");
    }
    staff.stock_is(&products[0], 1_000 - 24, 0, 24).await;
    staff.stock_is(&products[1], 1_000 - 12, 0, 12).await;
    Ok(())
}

pub async fn a_killed_cart_or_order_sells_nothing_twice() -> Result<()> {
    let shop = shops::open("killed-carts", |_| ()).await?;
    let done = kill_while_buying(&shop).await;
    shops::close_after("killed-carts", shop, done).await
}

/// Two products, one after the other, by somebody who has patience and no pause.
async fn kill_while_buying(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let (cup, bowl) = (staff.product(100).await?, staff.product(100).await?);
    for victim in ["cart", "order", "cart", "order"] {
        let shopper = Shopper::new(shop).await?;
        let killed = shop.process(victim);
        let buys = async {
            let mut orders = Vec::new();
            for product in [&cup, &bowl] {
                let put = async || shopper.put_in_cart(product, 1).await.ok();
                eventually("it is in the cart", SETTLED, put).await;
                let key = fresh();
                let order = eventually("it is ordered", SETTLED, async || {
                    shopper.checkout(&key).await.ok()
                });
                orders.push(order.await.json::<Value>()?);
            }
            anyhow::Ok(orders)
        };
        let kills = async { shop.kill(victim, Signal::KILL) };
        let (orders, killed_it) = tokio::join!(buys, kills);
        killed_it?;
        let orders = orders?;
        shop.ready_after(victim, killed).await?;
        for (order, product) in orders.iter().zip([&cup, &bowl]) {
            ensure!(lines(order, "lines") == [(product.clone(), 1)], "{victim}: {order}");
            shopper.reaches(order, "confirmed").await?;
        }
        shopper.cart_is_empty().await;
    }
    staff.stock_is(&cup, 96, 0, 4).await;
    staff.stock_is(&bowl, 96, 0, 4).await;
    Ok(())
}

pub async fn unsold_goods_are_in_the_cart_again(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let (cup, rare) = (staff.product(10).await?, staff.product(1).await?);

    let declined = Shopper::with_card(shop, "tok_decline").await?;
    declined.put_in_cart(&cup, 2).await?;
    let order = declined.order(&rare, 1).await?;
    ensure!(cart(&declined).await?.is_empty(), "it is being sold");
    declined.reaches(&order, "cancelled").await?;
    let both = [(cup.clone(), 2), (rare.clone(), 1)];
    cart_becomes(&declined, &both).await;

    let sold_out = Shopper::new(shop).await?;
    let order = sold_out.order(&rare, 2).await?;
    sold_out.reaches(&order, "cancelled").await?;
    cart_becomes(&sold_out, &[(rare.clone(), 2)]).await;

    let decides_anew = Shopper::with_card(shop, "tok_hang").await?;
    decides_anew.put_in_cart(&cup, 2).await?;
    let order = decides_anew.order(&rare, 1).await?;
    decides_anew.put_in_cart(&cup, 5).await?;
    let remove = format!("/v1/cart/items/{rare}");
    let (api, token) = (&decides_anew.api, Some(&*decides_anew.token));
    api.call(Method::DELETE, &remove, token, None, &[]).await?;
    let cancel = format!("/v1/orders/{}/cancel", text(&order, "order_id"));
    decides_anew.post(&cancel, &json!({})).await?;

    let cancels = Shopper::with_card(shop, "tok_hang").await?;
    let order = cancels.order(&cup, 3).await?;
    let cancel = format!("/v1/orders/{}/cancel", text(&order, "order_id"));
    cancels.post(&cancel, &json!({})).await?;
    // Whoever cancels wants nothing back: this one's end is known when the next one's lines return.
    declined.checkout(&fresh()).await?;
    cart_becomes(&declined, &both).await;
    ensure!(cart(&cancels).await?.is_empty(), "the customer did not want it");
    ensure!(cart(&decides_anew).await? == [(cup, 5)], "as the customer has decided");
    Ok(())
}

pub async fn nobody_pays_a_total_that_was_not_agreed_to(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let (cup, bowl) = (staff.product(10).await?, staff.product(10).await?);
    shopper.put_in_cart(&bowl, 1).await?;
    let agreed = shopper.put_in_cart(&cup, 2).await?["total"].clone();
    let path = format!("/v1/staff/products/{cup}/price");
    staff.api.call(Method::PUT, &path, Some(&staff.token), Some(&gbp(400)), &[]).await?;
    let body =
        |total: &Value| json!({ "payment_method_id": shopper.card, "expected_total": total });
    let key = fresh();
    let refused = shopper.checkout_with(&key, &body(&agreed)).await.err();
    let refused = refused.and_then(|error| error.downcast::<operator::api::Refusal>().ok());
    ensure!(
        refused.as_ref().is_some_and(|it| (it.status, &*it.code) == (409, "total_changed")),
        "{refused:?}"
    );
    for wrong in [json!({ "currency": "EUR", "minor_units": 1050 }), gbp(-1)] {
        let refused = refusal(shopper.checkout_with(&key, &body(&wrong)).await)?;
        ensure!(refused == (422, "invalid".into()), "{wrong}: {refused:?}");
    }
    let now = shopper.get("/v1/cart").await?["total"].clone();
    ensure!(now == gbp(1_050), "{now}");
    let order: Value = shopper.checkout_with(&key, &body(&now)).await?.json()?;
    shopper.reaches(&order, "confirmed").await?;
    ensure!(booked(shop, &order).await? == (1_050, 0, 1));
    Ok(())
}
