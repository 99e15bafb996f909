use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use crate::shop::{Folder, Psp, order};

#[tokio::test]
async fn behaviour_changes_at_run_time() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let calm = shop.get("/v1/behaviour").await.1;
    assert_eq!(calm["decline"], 0.0);
    assert_eq!(calm["delay_ms"], json!({"min": 0, "max": 0}));

    assert_eq!(shop.set_behaviour(json!({"decline": 1.0})).await.0, StatusCode::OK);
    assert_eq!(
        shop.capture("a", &order("tok_approve", 1, "a")).await.0,
        StatusCode::PAYMENT_REQUIRED
    );
    assert_eq!(shop.set_behaviour(json!({})).await.1, calm, "what is not said is 0");
    shop.captured("b", 1).await;
}

#[tokio::test]
async fn ambiguous_outcomes_charge_once_and_end_in_an_answer() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    shop.set_behaviour(json!({"error_after_charge": 0.4, "drop_after_charge": 0.4})).await;
    let (mut lost, mut failed) = (0, 0);
    for number in 0..60 {
        let (key, body) = (format!("key-{number}"), order("tok_approve", 1, "order"));
        match shop.try_capture(&key, &body).await {
            None => lost += 1,
            Some((status, _)) => failed += usize::from(status == StatusCode::INTERNAL_SERVER_ERROR),
        }
        assert_eq!(shop.capture(&key, &body).await.0, StatusCode::OK);
    }
    assert!(lost > 5 && failed > 3, "{lost} lost, {failed} failed");
    assert_eq!(shop.ledger().await.len(), 60);
}

#[tokio::test]
async fn a_refund_can_be_lost_too() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let capture = shop.captured("key", 10).await;
    shop.set_behaviour(json!({"error_after_charge": 1.0})).await;
    assert_eq!(shop.refund("r", &capture, 1).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(shop.refund("r", &capture, 1).await.0, StatusCode::OK);
    assert_eq!(shop.ledger().await.len(), 2);
}

#[tokio::test]
async fn requests_take_as_long_as_they_are_told_to() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    shop.set_behaviour(json!({"delay_ms": {"min": 50, "max": 60}})).await;
    let started = Instant::now();
    shop.captured("key", 1).await;
    assert!(started.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_hang_by_chance_charges_nothing_and_a_recorded_key_never_hangs() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    shop.captured("before", 1).await;
    shop.set_behaviour(json!({"hang": 1.0})).await;
    shop.captured("before", 1).await;
    let body = order("tok_approve", 1, "order");
    tokio::time::timeout(Duration::from_millis(200), shop.capture("key", &body))
        .await
        .expect_err("no answer");
    assert_eq!(shop.by_key("key").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn nonsense_is_refused_and_changes_nothing() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let calm = shop.get("/v1/behaviour").await;
    let nonsense = [
        json!({"decline": 1.1}),
        json!({"hang": -0.1}),
        json!({"delay_ms": {"min": 2, "max": 1}}),
        json!({"webhook_delay_ms": 60_001}),
        json!({"declines": 0.5}),
        json!({"decline": "often"}),
    ];
    for behaviour in nonsense {
        assert_eq!(
            shop.set_behaviour(behaviour.clone()).await.0,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{behaviour}"
        );
    }
    assert_eq!(shop.get("/v1/behaviour").await, calm);
}
