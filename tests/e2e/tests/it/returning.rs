//! Returns.

use anyhow::{Result, ensure};
use operator::Shop;
use serde_json::{Value, json};
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, booked, fresh, gbp, refusal, text};

pub async fn a_return_is_refunded_and_restocked_when_it_is_received(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let order = shopper.order(&product, 3).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    let id = fresh();
    for _ in 0..2 {
        let requested = shopper.send_back(&order, &id, &product, 2).await?;
        ensure!(requested["lines"][0]["return_requested"] == 2, "once per id: {requested}");
        ensure!(requested["returns"][0]["state"] == "requested", "{requested}");
    }
    let refused = refusal(shopper.send_back(&order, &id, &product, 1).await)?;
    ensure!(refused == (422, "idempotency_key_reused".into()), "{refused:?}");
    let refused = refusal(shopper.send_back(&order, &fresh(), &product, 2).await)?;
    ensure!(refused == (409, "not_returnable".into()), "{refused:?}");
    staff.stock_is(&product, 7, 0, 3).await;
    ensure!(booked(shop, &order).await? == (750, 0, 1), "nothing has arrived yet");

    for _ in 0..2 {
        let received = staff.receive(&order, &id, &product, 2).await?;
        ensure!(received["items"][0]["received"] == 2, "{received}");
    }
    staff.stock_is(&product, 9, 0, 1).await;
    shopper.is_refunded(&order, 500).await;
    ensure!(booked(shop, &order).await? == (750, 500, 1));
    let seen = shopper.get(&format!("/v1/orders/{}", text(&order, "order_id"))).await?;
    ensure!(seen["returns"][0]["state"] == "refunded", "{seen}");
    ensure!(seen["lines"][0]["returned"] == 2, "{seen}");
    Ok(())
}

pub async fn a_refused_return_costs_and_restocks_nothing(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let order = shopper.order(&product, 1).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    let (id, order_id) = (fresh(), text(&order, "order_id"));
    shopper.send_back(&order, &id, &product, 1).await?;
    let path = format!("/v1/staff/orders/{order_id}/returns/{id}/refuse");
    let body = json!({ "reason": "not ours" });
    let as_customer = refusal(shopper.post(&path, &body).await)?;
    ensure!(as_customer == (403, "staff_only".into()), "{as_customer:?}");
    staff.api.post(&path, Some(&staff.token), &body).await?;
    let late = refusal(staff.receive(&order, &id, &product, 1).await)?;
    ensure!(late == (409, "return_already_refused".into()), "{late:?}");
    let seen = shopper.get(&format!("/v1/orders/{order_id}")).await?;
    ensure!(seen["returns"][0]["reason"] == "not ours" && seen["refunded"] == gbp(0), "{seen}");
    staff.stock_is(&product, 9, 0, 1).await;
    Ok(())
}

pub async fn a_refund_that_the_provider_refuses_is_settled_by_staff(shop: &Shop) -> Result<()> {
    let (staff, shopper) =
        (Staff::new(shop).await?, Shopper::with_card(shop, "tok_no_refund").await?);
    let product = staff.product(10).await?;
    let order = shopper.order(&product, 1).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    let (id, order_id) = (fresh(), text(&order, "order_id"));
    shopper.send_back(&order, &id, &product, 1).await?;
    staff.receive(&order, &id, &product, 1).await?;
    let waiting = format!("/v1/staff/refunds?order_id={order_id}");
    let refund = eventually("the refusal", SETTLED, async || {
        let seen: Value = staff.api.get(&waiting, Some(&staff.token)).await.ok()?.json().ok()?;
        let refund = seen["refunds"][0].clone();
        (refund["state"] == "refused").then_some(refund)
    })
    .await;
    ensure!(refund["amount"] == gbp(250) && refund["refusal"] == "refund_refused", "{refund}");
    let path = format!("/v1/staff/refunds/{}/settle", text(&refund, "refund_id"));
    let body = json!({ "note": "by bank transfer" });
    let as_customer = refusal(shopper.post(&path, &body).await)?;
    ensure!(as_customer == (403, "staff_only".into()), "{as_customer:?}");
    for _ in 0..2 {
        let settled: Value = staff.api.post(&path, Some(&staff.token), &body).await?.json()?;
        let decisions = settled["decisions"].as_array().map_or(0, Vec::len);
        ensure!(settled["state"] == "settled_by_hand" && decisions == 1, "{settled}");
    }
    shopper.is_refunded(&order, 250).await;
    ensure!(booked(shop, &order).await? == (250, 0, 1), "the provider gave nothing back");
    Ok(())
}
