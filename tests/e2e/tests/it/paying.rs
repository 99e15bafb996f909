//! Cards that fail in every way, and nobody is charged wrongly.

use anyhow::{Result, ensure};
use operator::Shop;
use serde_json::json;

use crate::shopper::{Shopper, Staff, booked, refusal, text};

pub async fn a_declined_card_cancels_and_releases(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let shopper = Shopper::with_card(shop, "tok_decline").await?;
    let product = staff.product(10).await?;
    let order = shopper.order(&product, 4).await?;
    let order = shopper.settles(&order).await?;
    ensure!(order["cancel_reason"] == "payment_declined", "{order}");
    staff.stock_is(&product, 10, 0, 0).await;
    ensure!(booked(shop, &order).await? == (0, 0, 0));
    Ok(())
}

pub async fn a_charge_whose_answer_was_lost_is_one_charge(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let product = staff.product(10).await?;
    for card in ["tok_lost", "tok_error"] {
        let shopper = Shopper::with_card(shop, card).await?;
        let order = shopper.order(&product, 1).await?;
        let order = shopper.reaches(&order, "confirmed").await?;
        ensure!(booked(shop, &order).await? == (250, 0, 1), "{card}");
    }
    Ok(())
}

pub async fn a_cancellation_while_paying_charges_nothing(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let shopper = Shopper::with_card(shop, "tok_hang").await?;
    let product = staff.product(10).await?;
    let order = shopper.order(&product, 4).await?;
    shopper.reaches(&order, "stock_held").await?;
    let path = format!("/v1/orders/{}/cancel", text(&order, "order_id"));
    for _ in 0..2 {
        let cancelled = shopper.post(&path, &json!({})).await?;
        ensure!(cancelled["cancel_reason"] == "customer", "{cancelled}");
    }
    staff.stock_is(&product, 10, 0, 0).await;
    let payment = format!("/v1/orders/{}/payment", text(&order, "order_id"));
    testkit::eventually("the payment is void", crate::shopper::SETTLED, async || {
        let payment = shopper.get(&payment).await.ok()?;
        (payment["state"] == "voided").then_some(())
    })
    .await;
    ensure!(booked(shop, &order).await? == (0, 0, 0));

    let settled = Shopper::new(shop).await?;
    let order = settled.order(&product, 1).await?;
    settled.reaches(&order, "confirmed").await?;
    let path = format!("/v1/orders/{}/cancel", text(&order, "order_id"));
    let late = refusal(settled.post(&path, &json!({})).await)?;
    ensure!(late == (409, "order_confirmed".into()), "{late:?}");
    Ok(())
}
