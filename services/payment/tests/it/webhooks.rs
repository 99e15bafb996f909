//! Notices of the provider: believed to come from it, and not believed in what they say.

use hmac::{Hmac, Mac as _};
use kernel::OrderId;
use sha2::Sha256;
use testkit::eventually;
use tonic::Code;

use crate::shop::{SECRET, SOON, Shop};

fn notice(id: &str, order: OrderId) -> Vec<u8> {
    let data = serde_json::json!({
        "key": order, "capture_id": "cap_forged", "reference": order,
        "amount": {"currency": "GBP", "minor_units": 1}
    });
    let kind = "capture.succeeded";
    serde_json::json!({"id": id, "type": kind, "created_unix_ms": 1, "data": data})
        .to_string()
        .into_bytes()
}

fn sign(body: &[u8]) -> String {
    let mac: Hmac<Sha256> = Hmac::new_from_slice(SECRET.as_bytes()).unwrap();
    let code = mac.chain_update(body).finalize().into_bytes();
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_notice_is_refused_and_a_signed_one_that_says_nothing_is_not() {
    let shop = Shop::open().await;
    let body = notice("evt_1", OrderId::mint());
    for wrong in [String::new(), "00".repeat(32), sign(b"something else")] {
        let refused = shop.receive(&body, &wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert_eq!(rpc::status::reason(&refused).as_deref(), Some("bad_signature"));
    }
    shop.receive(&body, &sign(&body)).await.unwrap();
    shop.receive(b"{}", &sign(b"{}")).await.unwrap();
    assert_eq!(shop.count("webhooks"), 0, "there was nothing to hint at");
}

/// Makes the pause until the next try very long, once nobody is trying.
async fn pause(shop: &Shop) {
    let update = "update payments set leased_until = now() + interval '1 hour'
        where attempts > 0 and leased_by is null returning 1";
    eventually("it waits for its next try", SOON, async || (shop.sql(update) == "1").then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_a_hint_to_ask_now_and_no_more() {
    let mut shop = Shop::open().await;
    let customer = shop.customer("tok_approve").await;
    shop.provider.stop().await;
    let order = shop.hold(&customer, 1250).await;
    pause(&shop).await;
    let body = notice("evt_1", order);
    shop.receive(&body, &sign(&body)).await.unwrap();
    assert_eq!(shop.count("webhooks"), 1);
    eventually("it has been tried again", SOON, async || {
        let waits =
            "payments where leased_by is null and leased_until < now() + interval '1 minute'";
        (shop.count(waits) == 1).then_some(())
    })
    .await;
    assert_eq!(shop.state(order), "pending", "what the notice claims is not believed");

    pause(&shop).await;
    shop.receive(&body, &sign(&body)).await.unwrap(); // again: a hint that was taken before
    let later = "payments where leased_until > now() + interval '50 minutes'";
    assert_eq!(shop.count(later), 1);
    shop.provider.start_again().await;
    let body = notice("evt_2", order);
    shop.receive(&body, &sign(&body)).await.unwrap();
    shop.until(order, "captured").await;
    shop.receive(&body, &sign(&body)).await.unwrap();
    shop.balanced(order).await;
}
