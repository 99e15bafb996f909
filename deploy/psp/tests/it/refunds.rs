use std::sync::Arc;

use http::StatusCode;
use proptest::prelude::*;
use psp::{
    amount::Amount,
    ledger::{Charge, Ledger, Refusal},
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::shop::{Folder, Psp, gbp, keyed, order};

#[tokio::test]
async fn refunds_stop_at_the_capture() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let capture = shop.captured("key", 255).await;
    assert_eq!(shop.refund("r1", &capture, 200).await.0, StatusCode::OK);
    let (status, body) = shop.refund("r2", &capture, 56).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("refund_exceeds_capture"))
    );
    assert_eq!(shop.refund("r2", &capture, 55).await.0, StatusCode::OK); // a refusal is not remembered
    let (status, _) = shop.refund("r3", &capture, i64::MAX).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let sums =
        json!([{"currency": "GBP", "captured_minor_units": 255, "refunded_minor_units": 255}]);
    assert_eq!(shop.summary("key").await["sums"], sums);
}

#[tokio::test]
async fn a_refused_refund_moves_nothing_and_may_be_asked_for_again() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let capture = shop.captured("key", 255).await;
    shop.set_behaviour(json!({"refuse_refund": 1.0})).await;
    let (status, body) = shop.refund("r1", &capture, 200).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("refund_refused"))
    );
    shop.set_behaviour(json!({})).await;
    let made = shop.refund("r1", &capture, 200).await;
    assert_eq!(made.0, StatusCode::OK);
    shop.set_behaviour(json!({"refuse_refund": 1.0})).await;
    assert_eq!(shop.refund("r1", &capture, 200).await, made, "what is recorded stays");

    shop.set_behaviour(json!({})).await;
    let (_, captured) = shop.capture("stubborn", &order("tok_no_refund", 255, "stubborn")).await;
    let capture = captured["capture_id"].as_str().unwrap();
    assert_eq!(shop.refund("r2", capture, 1).await.1["code"], "refund_refused");
    assert_eq!(shop.summary("stubborn").await["refunds"], 0);
}

#[tokio::test]
async fn a_refund_is_made_once_per_key() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let capture = shop.captured("key", 255).await;
    let first = shop.refund("key", &capture, 100).await; // refund keys are apart from capture keys
    assert_eq!(first.1["status"], "refunded");
    assert_eq!(shop.refund("key", &capture, 100).await, first);
    let (status, body) = shop.refund("key", &capture, 101).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("idempotency_key_reused"))
    );
    assert_eq!(shop.ledger().await.len(), 2);
}

#[tokio::test]
async fn only_a_capture_can_be_refunded_and_in_its_own_currency() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let capture = shop.captured("key", 255).await;
    shop.void("void").await;
    let beyond = capture.replace("0000000001", "0000000002"); // the void's place
    for unknown in ["cap_nonsense", "", beyond.as_str()] {
        let (status, body) = shop.refund("r1", unknown, 1).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::NOT_FOUND, &json!("unknown_capture")),
            "{unknown}"
        );
    }
    let euros = json!({"capture_id": capture, "amount": {"currency": "EUR", "minor_units": 1}});
    let (status, body) = shop.send(keyed("r2"), "/v1/refunds", euros.to_string()).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("currency_mismatch"))
    );
    assert_eq!(gbp(255), shop.ledger().await[0]["amount"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn refunds_never_exceed_their_capture(captured in 1_i64..1000, refunds in prop::collection::vec(1_i64..600, 1..12)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let made = runtime.block_on(refund_all_at_once(captured, refunds.clone()));
        prop_assert!(made.iter().sum::<i64>() <= captured);
        let left = captured - made.iter().sum::<i64>();
        let refused = refunds.len() - made.len();
        let too_large = refunds.iter().filter(|refund| **refund > left).count();
        prop_assert!(refused <= too_large, "a refund that fits is made: {made:?} of {refunds:?}, {left} left");
    }
}

/// The refunds that were made, in any order; checked against the ledger that is read back afterwards.
async fn refund_all_at_once(captured: i64, refunds: Vec<i64>) -> Vec<i64> {
    let folder = Folder::new();
    let (ledger, writer) = Ledger::open(folder.path()).unwrap();
    let writer = tokio::spawn(writer.run());
    let amount = Amount::new("GBP", captured).unwrap();
    let charge = Charge { card_token: "tok".into(), amount, reference: "order-1".into() };
    let capture = ledger.capture("key", charge, false).await.unwrap().record.seq;
    let mut requests = JoinSet::new();
    for (number, refund) in refunds.into_iter().enumerate() {
        let ledger = Arc::clone(&ledger);
        let amount = Amount::new("GBP", refund).unwrap();
        requests.spawn(async move {
            match ledger.refund(&format!("r{number}"), capture, amount).await {
                Ok(_) => Some(refund),
                Err(refusal) => {
                    (refusal != Refusal::RefundExceedsCapture).then(|| panic!("{refusal}"))
                }
            }
        });
    }
    let made: Vec<i64> = requests.join_all().await.into_iter().flatten().collect();
    ledger.close();
    writer.await.unwrap().unwrap();
    drop(ledger);
    let (reread, _writer) = Ledger::open(folder.path()).unwrap(); // applies the same rule to every line
    let tally = serde_json::to_value(reread.tally(Some("order-1")).await.unwrap()).unwrap();
    assert_eq!(tally["sums"][0]["refunded_minor_units"], made.iter().sum::<i64>());
    made
}
