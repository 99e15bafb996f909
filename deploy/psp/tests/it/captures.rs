use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::shop::{Folder, Psp, gbp, order};

#[tokio::test]
async fn the_same_key_and_body_get_the_recorded_capture() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let first = shop.capture("key", &order("tok_approve", 255, "order-1")).await;
    let id = first.1["capture_id"].clone();
    assert_eq!(
        first,
        (StatusCode::OK, json!({"status": "captured", "capture_id": id, "amount": gbp(255)}))
    );
    assert_eq!(shop.capture("key", &order("tok_approve", 255, "order-1")).await, first);
    assert_eq!(shop.by_key("key").await, first);
    assert_eq!(shop.ledger().await.len(), 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    shop.captured("key", 255).await;
    for other in [
        order("tok_approve", 256, "key"),
        order("tok_other", 255, "key"),
        order("tok_approve", 255, "other"),
    ] {
        let (status, body) = shop.capture("key", &other).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused"))
        );
    }
    assert_eq!(shop.ledger().await.len(), 1);
}

#[tokio::test]
async fn fifty_concurrent_duplicates_capture_once() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let shop = shop.clone();
        requests
            .spawn(async move { shop.capture("key", &order("tok_approve", 255, "order-1")).await });
    }
    let replies = requests.join_all().await;
    assert!(
        replies.iter().all(|reply| *reply == replies[0] && reply.0 == StatusCode::OK),
        "{replies:?}"
    );
    assert_eq!(shop.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_declined_card_stays_declined_and_moves_no_money() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let first = shop.capture("key", &order("tok_decline", 255, "order-1")).await;
    assert_eq!(first.0, StatusCode::PAYMENT_REQUIRED);
    assert_eq!(
        (&first.1["status"], &first.1["code"]),
        (&json!("declined"), &json!("card_declined"))
    );
    assert_eq!(shop.capture("key", &order("tok_decline", 255, "order-1")).await, first);
    assert_eq!(shop.by_key("key").await, (StatusCode::OK, first.1));
    assert!(shop.ledger().await.is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_known_by_its_key() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    assert_eq!(shop.try_capture("key", &order("tok_lost", 255, "order-1")).await, None);
    let (status, body) = shop.by_key("key").await;
    assert_eq!((status, &body["status"]), (StatusCode::OK, &json!("captured")));
    assert_eq!(
        shop.capture("key", &order("tok_lost", 255, "order-1")).await,
        (StatusCode::OK, body)
    );
    assert_eq!(shop.ledger().await.len(), 1);
}

#[tokio::test]
async fn an_error_after_charging_is_known_by_its_key() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let (status, body) = shop.capture("key", &order("tok_error", 255, "order-1")).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal_error"))
    );
    assert_eq!(shop.capture("key", &order("tok_error", 255, "order-1")).await.0, StatusCode::OK);
    assert_eq!(shop.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_hanging_capture_neither_answers_nor_charges() {
    let folder = Folder::new();
    let psp = Psp::start(&folder).await;
    let body = order("tok_hang", 255, "order-1");
    let patience = Duration::from_millis(300);
    tokio::time::timeout(patience, psp.shop.capture("key", &body)).await.expect_err("no answer");
    assert_eq!(psp.shop.by_key("key").await.0, StatusCode::NOT_FOUND);
    assert_eq!(psp.shop.void("key").await.1["status"], "voided");
    assert_eq!(psp.shop.capture("key", &body).await.0, StatusCode::CONFLICT);
    let hanging = psp.shop.clone();
    let hanging = tokio::spawn(async move {
        hanging.try_capture("other", &order("tok_hang", 1, "order-2")).await
    });
    tokio::task::yield_now().await;
    psp.stop().await; // does not wait for what never ends
    assert_eq!(hanging.await.unwrap(), None);
}
