//! kill -9 of every service at every state of the saga: the order still settles.

use anyhow::{Context as _, Result, ensure};
use operator::{Shop, Signal};
use serde_json::{Value, json};
use stores::Server;
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, booked};
use crate::shops;

const SERVICES: [&str; 6] = ["gateway", "product", "user", "cart", "order", "payment"];

/// What is held still, so that an order stays in a state.
#[derive(Clone, Copy)]
enum Held {
    /// Without events an order is placed, and no more.
    Nats,
    /// Without the provider's answer it is not paid.
    Psp,
    Nothing,
}

const STATES: [(&str, Held); 3] =
    [("placed", Held::Nats), ("stock_held", Held::Psp), ("confirmed", Held::Nothing)];

impl Held {
    async fn hold(self, shop: &Shop) -> Result<()> {
        match self {
            Self::Nats => shop.stop_store(Server::Nats).await,
            Self::Psp => shop.kill("psp", Signal::STOP),
            Self::Nothing => Ok(()),
        }
    }

    async fn release(self, shop: &Shop) -> Result<()> {
        match self {
            Self::Nats => shop.start_store(Server::Nats).await,
            Self::Psp => shop.kill("psp", Signal::CONT),
            Self::Nothing => Ok(()),
        }
    }
}

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
    held: Held,
    victim: &str,
) -> Result<Value> {
    held.hold(shop).await?;
    let order = shopper.order(product, 1).await?;
    // The state was reached, and is what it is at the moment of the kill.
    shopper.reaches(&order, state).await?;
    let killed = shop.process(victim).context("not running")?;
    shop.kill(victim, Signal::KILL)?;
    held.release(shop).await?;
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
