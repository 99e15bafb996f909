use http::StatusCode;
use serde_json::json;

use crate::shop::{Folder, Psp, gbp, order};

#[tokio::test]
async fn the_ledger_lists_money_that_moved_page_by_page() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    for number in 0..10 {
        let capture = shop.captured(&format!("key-{number}"), 100).await;
        shop.capture(&format!("declined-{number}"), &order("tok_decline", 1, "declined")).await;
        shop.refund(&format!("refund-{number}"), &capture, 1).await;
    }
    let entries = shop.ledger().await;
    assert_eq!(entries.len(), 20);
    assert!(entries.is_sorted_by_key(|entry| entry["seq"].as_u64()));
    let (capture, refund) = (&entries[0], &entries[1]);
    assert_eq!(
        (&capture["kind"], &capture["key"], &capture["amount"]),
        (&json!("capture"), &json!("key-0"), &gbp(100))
    );
    assert_eq!(
        (&refund["kind"], &refund["key"], &refund["amount"]),
        (&json!("refund"), &json!("refund-0"), &gbp(1))
    );
    assert_eq!(
        (&refund["capture_id"], &refund["reference"]),
        (&capture["capture_id"], &capture["reference"])
    );
}

#[tokio::test]
async fn the_summary_counts_one_reference_or_everything() {
    let folder = Folder::new();
    let Psp { shop, .. } = Psp::start(&folder).await;
    let capture = shop.captured("a", 100).await;
    shop.captured("b", 50).await;
    shop.refund("r", &capture, 30).await;
    shop.capture("c", &order("tok_decline", 1, "a")).await;
    shop.void("v").await;
    let sums =
        json!([{"currency": "GBP", "captured_minor_units": 100, "refunded_minor_units": 30}]);
    let of_a = json!({"reference": "a", "captures": 1, "refunds": 1, "declines": 1, "voids": 0, "sums": sums});
    assert_eq!(shop.summary("a").await, of_a);
    assert_eq!(shop.summary("nobody").await["captures"], 0);
    let (status, all) = shop.get("/v1/ledger/summary").await;
    assert_eq!((status, &all["captures"], &all["voids"]), (StatusCode::OK, &json!(2), &json!(1)));
    assert_eq!(all["sums"][0]["captured_minor_units"], 150);
}
