//! A killed process has events and payments in hand. They are somebody's again soon after it is back, with
//! one copy and with two: an order in flight holds stock, and has a deadline.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::shops;
use futures_util::StreamExt as _;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use operator::{Shop, Signal};
use serde_json::Value;

use crate::shopper::{Shopper, Staff};

const VICTIMS: [&str; 4] = ["payment", "order", "product", "cart"];
const SHOPPERS: usize = 8;
const KILLS: usize = 3;
/// Half of what an order has to settle is gone when nothing moves for ten seconds.
const TOO_LATE: Duration = Duration::from_secs(5);

pub async fn orders_move_again_soon_after_a_kill() -> Result<()> {
    for (name, copies) in [("one-copy", 1), ("two-copies", 2)] {
        let replicas = VICTIMS.map(|service| format!("{service}={copies}")).join(",");
        let replicas = replicas.parse().map_err(anyhow::Error::msg)?;
        let shop = shops::open(name, |options| options.replicas = replicas).await?;
        let done = kill_in_turn(&shop).await.with_context(|| format!("copies: {copies}"));
        shops::close_after(name, shop, done).await?;
    }
    Ok(())
}

async fn kill_in_turn(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let product = staff.product(10_000).await?;
    let mut shoppers = Vec::new();
    for _ in 0..SHOPPERS {
        shoppers.push(Shopper::new(shop).await?); // at once, they are more hashes than a slow machine takes
    }
    for victim in VICTIMS {
        let mut took = Vec::new();
        for _ in 0..KILLS {
            took.push(kill_once(shop, &shoppers, &product, victim).await?);
        }
        let seconds: Vec<String> =
            took.iter().map(|it| format!("{:.1}", it.as_secs_f64())).collect();
        println!("  all settled {} s after {victim} was back", seconds.join(", "));
        ensure!(took.iter().all(|took| *took < TOO_LATE), "{victim}: {took:?}");
    }
    Ok(())
}

/// Kills one copy as soon as the first of many orders is placed. How long after its return all have settled.
async fn kill_once(
    shop: &Shop,
    shoppers: &[Shopper],
    product: &str,
    victim: &str,
) -> Result<Duration> {
    let place = |shopper| place(shopper, product);
    let mut placing: FuturesUnordered<_> = shoppers.iter().map(place).collect();
    let first = placing.next().await.context("nobody")??;
    let killed = shop.process(victim);
    shop.kill(victim, Signal::KILL)?;
    let (placed, ready) = tokio::join!(placing.collect::<Vec<_>>(), async {
        shop.ready_after(victim, killed).await.map(|()| Instant::now())
    });
    let back = ready?;
    let mut orders = placed.into_iter().collect::<Result<Vec<_>>>()?;
    orders.push(first);
    try_join_all(orders.iter().map(|(shopper, order)| shopper.reaches(order, "confirmed"))).await?;
    let settled = back.elapsed();
    for shopper in shoppers {
        shopper.cart_is_empty().await;
    }
    Ok(settled)
}

async fn place<'a>(shopper: &'a Shopper, product: &str) -> Result<(&'a Shopper, Value)> {
    Ok((shopper, shopper.order_patiently(product).await?))
}
