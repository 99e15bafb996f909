use http::StatusCode;
use serde_json::json;

use crate::shop::{Folder, Psp, order};

#[tokio::test]
async fn a_voided_key_never_captures() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let voided = (StatusCode::OK, json!({"status": "voided"}));
    assert_eq!(shop.void("key").await, voided);
    assert_eq!(shop.void("key").await, voided);
    let refused = shop.capture("key", &order("tok_approve", 255, "order-1")).await;
    assert_eq!(refused, (StatusCode::CONFLICT, json!({"status": "voided"})));
    assert_eq!(shop.by_key("key").await, voided);
    assert!(shop.ledger().await.is_empty());
}

#[tokio::test]
async fn a_void_that_comes_too_late_says_what_happened() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let captured = shop.capture("captured", &order("tok_approve", 255, "order-1")).await;
    assert_eq!(shop.void("captured").await, captured);
    let (_, declined) = shop.capture("declined", &order("tok_decline", 255, "order-1")).await;
    assert_eq!(shop.void("declined").await, (StatusCode::OK, declined));
}

#[tokio::test]
async fn of_a_void_and_a_capture_that_race_one_wins() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let mut captures = 0;
    for round in 0..300 {
        let key = format!("key-{round}");
        let body = order("tok_approve", 255, "race");
        let (capture, void) = if round % 2 == 0 {
            tokio::join!(shop.capture(&key, &body), shop.void(&key))
        } else {
            let (void, capture) = tokio::join!(shop.void(&key), shop.capture(&key, &body));
            (capture, void)
        };
        let expected =
            if void.1["status"] == "voided" { StatusCode::CONFLICT } else { StatusCode::OK };
        assert_eq!(capture, (expected, void.1), "round {round}");
        captures += usize::from(capture.0 == StatusCode::OK);
    }
    assert_eq!(shop.ledger().await.len(), captures);
}
