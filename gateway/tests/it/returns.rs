//! Requesting a return, and what staff does with it.

use kernel::{OrderId, ProductId, ReturnId};
use proto::order::v1::{Order, Return, ReturnState, State, r#return};
use serde_json::{Value, json};

use crate::client::{get, post};
use crate::orders::order;
use crate::shop::money;
use crate::world::World;

fn with_return(id: &str, state: ReturnState) -> Order {
    let found = Return {
        return_id: id.into(),
        order_id: "o".into(),
        state: state.into(),
        items: vec![r#return::Item { product_id: "p".into(), quantity: 2, received: 1 }],
        refund: money(255),
        requested_at_unix_ms: 1,
        decided_at_unix_ms: 2,
        decided_by: "them".into(),
        reason: "one is broken".into(),
        refunded_at_unix_ms: 0,
    };
    Order { returns: vec![found], ..order("o", 3, State::Confirmed) }
}

fn rendered(id: &str, state: &str) -> Value {
    json!({"return_id": id, "order_id": "o", "state": state,
        "items": [{"product_id": "p", "quantity": 2, "received": 1}],
        "refund": {"currency": "GBP", "minor_units": 255}, "requested_at_unix_ms": 1,
        "decided_at_unix_ms": 2, "decided_by": "them", "reason": "one is broken"})
}

#[tokio::test]
async fn a_return_is_named_by_its_key_or_in_its_body() {
    let world = World::new().await;
    world.shop.state().order = order("o", 3, State::Confirmed);
    let path = format!("/v1/orders/{}/returns", OrderId::mint());
    let (id, product) = (ReturnId::mint().to_string(), ProductId::mint().to_string());
    let items = json!([{"product_id": product, "quantity": 1}]);
    let (named, unnamed) = (json!({"return_id": id, "items": items}), json!({"items": items}));
    let by_key = || post(&path).token().header("idempotency-key", &id);
    let ways = [post(&path).token().json(&named), by_key().json(&unnamed), by_key().json(&named)];
    for request in ways {
        assert_eq!(request.send(&world).await.status, 202);
        let seen = world.shop.last("ReturnItems").message;
        assert!(seen.contains(&id) && seen.contains(&product), "{seen}");
    }
}

#[tokio::test]
async fn a_return_without_a_key_or_with_two_is_refused() {
    let world = World::new().await;
    let path = format!("/v1/orders/{}/returns", OrderId::mint());
    let items = json!([{"product_id": ProductId::mint(), "quantity": 1}]);
    let unnamed = json!({"items": items});
    let answer = post(&path).token().json(&unnamed).send(&world).await;
    assert_eq!(answer.problem(), (400, "idempotency_key_missing".into()));
    let request = post(&path).token().header("idempotency-key", "mine").json(&unnamed);
    assert_eq!(request.send(&world).await.problem(), (400, "idempotency_key_invalid".into()));
    let named = json!({"return_id": ReturnId::mint(), "items": items});
    let other = ReturnId::mint().to_string();
    let request = post(&path).token().header("idempotency-key", &other).json(&named);
    let answer = request.send(&world).await;
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["return_id".to_owned()]));
    let misnamed = json!({"return_id": "mine", "items": items});
    let answer = post(&path).token().json(&misnamed).send(&world).await;
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["return_id".to_owned()]));
    let body = json!({"return_id": other, "items": [{"product_id": "p"}]});
    let answer = post(&path).token().json(&body).send(&world).await;
    assert_eq!(answer.fields(), ["items[0].quantity"]);
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn a_customer_sees_how_the_returns_of_an_order_stand() {
    let world = World::new().await;
    let states = [
        (ReturnState::Requested, "requested"),
        (ReturnState::Received, "received"),
        (ReturnState::Refused, "refused"),
        (ReturnState::Refunded, "refunded"),
    ];
    for (state, text) in states {
        world.shop.state().order = with_return("r", state);
        let path = format!("/v1/orders/{}", OrderId::mint());
        let answer = get(&path).token().send(&world).await;
        assert_eq!(answer.json()["returns"], json!([rendered("r", text)]));
    }
}

#[tokio::test]
async fn staff_lists_receives_and_refuses_returns() {
    let world = World::new().await;
    let (id, order) = (ReturnId::mint().to_string(), OrderId::mint().to_string());
    world.shop.state().order = with_return(&id, ReturnState::Received);
    let answer = get("/v1/staff/returns?page_size=5&page_token=t").token().send(&world).await;
    let expected = json!({"returns": [rendered(&id, "received")], "next_page_token": "t2"});
    assert_eq!(answer.json(), expected);
    let seen = world.shop.last("ListReturns").message;
    assert!(seen.contains("page_size: 5") && seen.contains("page_token: \"t\""), "{seen}");

    let path = format!("/v1/staff/orders/{order}/returns/{id}");
    let items = json!([{"product_id": "p", "quantity": 1}]);
    let body = json!({"items": items, "reason": "one is broken"});
    let answer = post(&format!("{path}/receive")).token().json(&body).send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, rendered(&id, "received")));
    let seen = world.shop.last("ReceiveReturn").message;
    assert!([&*order, &id, "one is broken"].iter().all(|part| seen.contains(part)), "{seen}");

    let refuse = |body| post(&format!("{path}/refuse")).token().json(&body);
    assert_eq!(refuse(json!({"reason": "worn"})).send(&world).await.status, 200);
    assert!(world.shop.last("RefuseReturn").message.contains("worn"));
    assert_eq!(refuse(json!({})).send(&world).await.fields(), ["reason"]);
    let nothing = format!("/v1/staff/orders/{order}/returns/7/refuse");
    let answer = post(&nothing).token().json(&json!({"reason": "worn"})).send(&world).await;
    assert_eq!(answer.problem(), (404, "return_not_found".into()));
}
