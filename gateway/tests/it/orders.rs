//! Placing orders and what comes after.

use kernel::OrderId;
use proto::order::v1::{CancelReason, Line, Order, State, Step, TotalChanged, total_changed};
use rpc::status::{refusal, with_detail};
use serde_json::json;
use tonic::Code;

use crate::client::{get, post};
use crate::shop::money;
use crate::world::World;

pub fn order(id: &str, version: i64, state: State) -> Order {
    let line = Line {
        product_id: "p".into(),
        sku: "CUP".into(),
        name: "Cup".into(),
        quantity: 2,
        unit_price: money(255),
        returned: 0,
        return_requested: 0,
    };
    Order {
        order_id: id.into(),
        state: state.into(),
        cancel_reason: CancelReason::Unspecified.into(),
        total: money(510),
        refunded: None,
        lines: vec![line],
        version,
        steps: vec![Step { state: State::Placed.into(), at_unix_ms: 1_700_000_000_000 }],
        payment_method_id: "pm".into(),
        returns: Vec::new(),
    }
}

fn rendered(id: &str) -> serde_json::Value {
    json!({"order_id": id, "state": "placed", "version": 1, "payment_method_id": "pm",
        "total": {"currency": "GBP", "minor_units": 510},
        "refunded": {"currency": "GBP", "minor_units": 0},
        "lines": [{"product_id": "p", "sku": "CUP", "name": "Cup", "quantity": 2, "returned": 0,
                   "return_requested": 0, "unit_price": {"currency": "GBP", "minor_units": 255}}],
        "returns": [], "steps": [{"state": "placed", "at_unix_ms": 1_700_000_000_000_i64}]})
}

#[tokio::test]
async fn a_checkout_answers_with_the_order_and_where_it_is() {
    let world = World::new().await;
    let id = OrderId::mint().to_string();
    world.shop.state().order = order(&id, 1, State::Placed);
    let checkout = || {
        let request = post("/v1/orders").token().header("idempotency-key", "k-1");
        request.json(&json!({"payment_method_id": "pm"}))
    };
    let answer = checkout().send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (202, rendered(&id)));
    assert_eq!(answer.header("location"), format!("/v1/orders/{id}"));
    assert!(world.shop.last("PlaceOrder").message.contains("idempotency_key: \"k-1\""));
    assert_eq!(checkout().send(&world).await.body, answer.body, "equal replies, equal answers");

    let there = get(answer.header("location")).token().send(&world).await;
    assert_eq!((there.status.as_u16(), there.json()), (200, rendered(&id)));
}

#[tokio::test]
async fn a_checkout_needs_a_key_that_can_be_read() {
    let world = World::new().await;
    let body = json!({"payment_method_id": "pm"});
    let answer = post("/v1/orders").token().json(&body).send(&world).await;
    assert_eq!(answer.problem(), (400, "idempotency_key_missing".into()));
    let long = "k".repeat(129);
    for key in ["", "two words", "k\tk", &long] {
        let request = post("/v1/orders").token().header("idempotency-key", key).json(&body);
        let answer = request.send(&world).await;
        assert_eq!(answer.problem(), (400, "idempotency_key_invalid".into()), "{key:?}");
    }
    assert!(world.shop.seen().is_empty());
    world.shop.state().order = order("o", 1, State::Placed);
    let key = format!("!~{}", "k".repeat(126));
    let request = post("/v1/orders").token().header("idempotency-key", &key).json(&body);
    assert_eq!(request.send(&world).await.status, 202);
}

#[tokio::test]
async fn a_total_that_has_changed_is_told_with_the_lines_that_moved() {
    let world = World::new().await;
    let line = total_changed::Line {
        product_id: "p".into(),
        name: "Cup".into(),
        quantity: 2,
        unit_price: money(255),
        previous_unit_price: money(250),
    };
    let changed = TotalChanged { total: money(510), lines: vec![line] };
    let refusal = refusal(Code::Aborted, "total_changed", "the total is 510 GBP by now");
    let refusal = with_detail(refusal, "souk.order.v1.TotalChanged", &changed);
    world.shop.state().refusals.insert("PlaceOrder", refusal);
    let agreed = json!({"currency": "GBP", "minor_units": 500});
    let body = json!({"payment_method_id": "pm", "expected_total": agreed});
    let request = post("/v1/orders").token().header("idempotency-key", "k-1").json(&body);
    let answer = request.send(&world).await;
    assert_eq!(answer.problem(), (409, "total_changed".into()));
    let (told, gbp) =
        (answer.json(), |minor: i64| json!({"currency": "GBP", "minor_units": minor}));
    assert_eq!(told["total"], gbp(510));
    let line = json!({"product_id": "p", "name": "Cup", "quantity": 2, "unit_price": gbp(255),
        "previous_unit_price": gbp(250)});
    assert_eq!(told["lines"], json!([line]));
    assert!(world.shop.last("PlaceOrder").message.contains("minor_units: 500"));

    let body = json!({"payment_method_id": "pm", "expected_total": 500});
    let request = post("/v1/orders").token().header("idempotency-key", "k-1").json(&body);
    assert_eq!(request.send(&world).await.problem().0, 422);
}

#[tokio::test]
async fn a_list_is_without_lines_and_returns() {
    let world = World::new().await;
    world.shop.state().order = order("o", 1, State::Confirmed);
    let answer = get("/v1/orders?page_size=5&page_token=t").token().send(&world).await;
    let mut expected = rendered("o");
    for left_out in ["lines", "returns"] {
        expected.as_object_mut().unwrap().remove(left_out);
    }
    expected["state"] = "confirmed".into();
    assert_eq!(answer.json(), json!({"orders": [expected]}));
    let seen = world.shop.last("ListOrders").message;
    assert!(seen.contains("page_size: 5") && seen.contains("page_token: \"t\""), "{seen}");
}

#[tokio::test]
async fn a_cancelled_order_says_why() {
    let world = World::new().await;
    let reasons = [
        (CancelReason::OutOfStock, "out_of_stock"),
        (CancelReason::PaymentDeclined, "payment_declined"),
        (CancelReason::Deadline, "deadline"),
        (CancelReason::Customer, "customer"),
    ];
    for (reason, text) in reasons {
        let mut cancelled = order("o", 2, State::Cancelled);
        cancelled.cancel_reason = reason.into();
        world.shop.state().order = cancelled;
        let path = format!("/v1/orders/{}/cancel", OrderId::mint());
        let answer = post(&path).token().send(&world).await;
        assert_eq!(answer.status, 202);
        assert_eq!(answer.json()["state"], "cancelled");
        assert_eq!(answer.json()["cancel_reason"], text);
    }
}

#[tokio::test]
async fn the_payment_of_an_order() {
    let world = World::new().await;
    let id = OrderId::mint().to_string();
    let answer = get(&format!("/v1/orders/{id}/payment")).token().send(&world).await;
    let expected = json!({"order_id": id, "state": "captured",
        "amount": {"currency": "GBP", "minor_units": 510},
        "refunded": {"currency": "GBP", "minor_units": 0}});
    assert_eq!(answer.json(), expected);
}
