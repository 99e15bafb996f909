//! kill -9 of every service at every state of the saga: the order still settles.

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use operator::{Shop, Signal};
use serde_json::Value;
use stores::Server;

use crate::operating;
use crate::shopper::{Shopper, Staff, booked};

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
    shops::close_after("crashing", shop, done).await
}

pub async fn services_start_without_the_bus() -> Result<()> {
    let shop = shops::open("busless", |_| ()).await?;
    let done = start_without_the_bus(&shop).await;
    shops::close_after("busless", shop, done).await
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
    let order = shopper.order_patiently(product).await?;
    // The state was reached, and is what it is at the moment of the kill.
    shopper.reaches(&order, state).await?;
    let killed = shop.process(victim);
    shop.kill(victim, Signal::KILL)?;
    held.release(shop).await?;
    let settled = shopper.reaches(&order, "confirmed").await?;
    shop.ready_after(victim, killed).await?;
    shopper.cart_is_empty().await;
    Ok(settled)
}

/// The bus is no part of what a service needs to start: the outbox holds what it has to say.
async fn start_without_the_bus(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    shop.stop_store(Server::Nats).await?;
    for service in SERVICES {
        let killed = shop.process(service);
        shop.kill(service, Signal::KILL)?;
        shop.ready_after(service, killed).await.context("without NATS")?;
    }
    let order = shopper.order_patiently(&product).await?;
    let waiting = operating::order(shop, &["outbox", "status"])?;
    ensure!(waiting.contains(" 1 wait"), "the event is a row until then: {waiting}");
    shop.start_store(Server::Nats).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    operating::what_operators_do(shop).await?;
    ensure!(booked(shop, &order).await? == (250, 0, 1), "{order}");
    staff.stock_is(&product, 9, 0, 1).await;
    Ok(())
}
