//! Returns.

use anyhow::{Result, ensure};
use operator::Shop;
use serde_json::json;
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, booked, fresh, gbp, refusal, text};

pub async fn a_return_is_refunded_and_restocked(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let order = shopper.order(&product, 3).await?;
    let order = shopper.reaches(&order, "confirmed").await?;
    let id = text(&order, "order_id");
    let path = format!("/v1/orders/{id}/returns");
    let items = json!([{ "product_id": product, "quantity": 2 }]);
    let body = json!({ "return_id": fresh(), "items": items });
    for _ in 0..2 {
        let returned = shopper.post(&path, &body).await?;
        ensure!(returned["lines"][0]["returned"] == 2, "once per id: {returned}");
    }
    staff.stock_is(&product, 9, 0, 1).await;
    eventually("refunded", SETTLED, async || {
        let order = shopper.get(&format!("/v1/orders/{id}")).await.ok()?;
        (order["refunded"] == gbp(500)).then_some(())
    })
    .await;
    ensure!(booked(shop, &order).await? == (750, 500, 1));
    let too_many = json!({ "return_id": fresh(), "items": items });
    let refused = refusal(shopper.post(&path, &too_many).await)?;
    ensure!(refused == (422, "not_returnable".into()), "{refused:?}");
    Ok(())
}
