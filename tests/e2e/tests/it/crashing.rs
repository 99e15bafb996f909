//! kill -9 of every service at every state of the saga: the order still settles.

use anyhow::{Context as _, Result, ensure};
use operator::{Shop, Signal};
use serde_json::{Value, json};
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, booked};
use crate::shops;

const SERVICES: [&str; 6] = ["gateway", "product", "user", "cart", "order", "payment"];

/// A state of the saga, and the process that is held still so that an order stays in it.
const STATES: [(&str, Option<&str>); 3] =
    [("placed", Some("product")), ("stock_held", Some("psp")), ("confirmed", None)];

pub async fn a_killed_service_delays_an_order_and_loses_nothing() -> Result<()> {
    let shop = shops::open("crashing", |_| ()).await?;
    let done = every_kill(&shop).await;
    if done.is_err() {
        shops::print_logs(&shop);
    }
    shops::close("crashing", shop).await?;
    done
}

async fn every_kill(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(1_000).await?;
    let mut sold = 0;
    for (state, held) in STATES {
        for victim in SERVICES {
            sold += 1;
            let order = one_kill(shop, &shopper, &product, state, held, victim).await;
            let order = order.with_context(|| format!("{victim} killed while {state}"))?;
            ensure!(booked(shop, &order).await? == (250, 0, 1), "charged once: {victim}, {state}");
        }
    }
    staff.stock_is(&product, 1_000 - sold, 0, sold).await;
    Ok(())
}

async fn one_kill(
    shop: &Shop,
    shopper: &Shopper,
    product: &str,
    state: &str,
    held: Option<&str>,
    victim: &str,
) -> Result<Value> {
    if let Some(held) = held {
        shop.kill(held, Signal::STOP)?;
    }
    let order = shopper.order(product, 1).await?;
    // The state was reached, and is what it is at the moment of the kill.
    shopper.reaches(&order, state).await?;
    let killed = shop.process(victim).context("not running")?;
    shop.kill(victim, Signal::KILL)?;
    if let Some(held) = held.filter(|held| *held != victim) {
        shop.kill(held, Signal::CONT)?;
    }
    let settled = shopper.reaches(&order, "confirmed").await?;
    eventually("it runs again", SETTLED, async || {
        shop.process(victim).filter(|process| *process != killed).map(drop)
    })
    .await;
    eventually("the shop answers", SETTLED, async || {
        let body = json!({ "quantity": 1 });
        let path = format!("/v1/cart/items/{product}");
        let put =
            shopper.api.call(http::Method::PUT, &path, Some(&shopper.token), Some(&body), &[]);
        put.await.ok()?;
        let path = format!("/v1/cart/items/{product}");
        let call = shopper.api.call(http::Method::DELETE, &path, Some(&shopper.token), None, &[]);
        call.await.ok().map(drop)
    })
    .await;
    Ok(settled)
}
