//! What a refusal of a service becomes.

use kernel::OrderId;
use rpc::status::{invalid, refusal};
use serde_json::json;
use tonic::{Code, Status};

use crate::client::{get, post};
use crate::world::World;

const SECRET: &str = "relation \"orders\" does not exist";

/// gRPC code, reason → HTTP status, code of the problem, whether the service's sentence is told.
const TABLE: &[(Code, &str, u16, &str, bool)] = &[
    (Code::Ok, "", 500, "internal", false),
    (Code::Cancelled, "", 503, "unavailable", false),
    (Code::Unknown, "", 500, "internal", false),
    (Code::InvalidArgument, "", 422, "invalid", true),
    (Code::InvalidArgument, "not_returnable", 422, "not_returnable", true),
    (Code::DeadlineExceeded, "", 504, "deadline", false),
    (Code::DeadlineExceeded, "deadline_exceeded", 504, "deadline", false),
    (Code::NotFound, "", 404, "not_found", true),
    (Code::NotFound, "order_not_found", 404, "order_not_found", true),
    (Code::NotFound, "product_not_found", 404, "product_not_found", true),
    (Code::AlreadyExists, "", 409, "already_exists", true),
    (Code::AlreadyExists, "email_taken", 409, "email_taken", true),
    (Code::AlreadyExists, "sku_taken", 409, "sku_taken", true),
    (Code::PermissionDenied, "", 403, "forbidden", true),
    (Code::PermissionDenied, "staff_only", 403, "staff_only", true),
    (Code::PermissionDenied, "caller_not_allowed", 500, "internal", false),
    (Code::ResourceExhausted, "", 503, "overloaded", false),
    (Code::ResourceExhausted, "overloaded", 503, "overloaded", false),
    (Code::ResourceExhausted, "rate_limited", 429, "rate_limited", true),
    (Code::FailedPrecondition, "", 409, "conflict", true),
    (Code::FailedPrecondition, "cart_empty", 409, "cart_empty", true),
    (Code::FailedPrecondition, "address_missing", 409, "address_missing", true),
    (Code::FailedPrecondition, "order_confirmed", 409, "order_confirmed", true),
    (Code::FailedPrecondition, "order_not_confirmed", 409, "order_not_confirmed", true),
    (Code::FailedPrecondition, "idempotency_key_reused", 422, "idempotency_key_reused", true),
    (Code::Aborted, "", 409, "conflict", true),
    (Code::Aborted, "version_conflict", 409, "version_conflict", true),
    (Code::Aborted, "cart_already_ordered", 409, "cart_already_ordered", true),
    (Code::Aborted, "idempotency_key_in_flight", 409, "idempotency_key_in_flight", true),
    (Code::OutOfRange, "", 422, "invalid", true),
    (Code::Unimplemented, "", 500, "internal", false),
    (Code::Internal, "", 500, "internal", false),
    (Code::Unavailable, "", 503, "unavailable", false),
    (Code::Unavailable, "draining", 503, "unavailable", false),
    (Code::DataLoss, "", 500, "internal", false),
    (Code::Unauthenticated, "", 401, "unauthenticated", true),
    (Code::Unauthenticated, "bad_credentials", 401, "bad_credentials", true),
];

#[tokio::test]
async fn every_code_and_reason_has_its_problem() {
    let world = World::new().await;
    for &(code, reason, status, wanted, told) in TABLE {
        let refused = match reason {
            "" => Status::new(code, SECRET),
            reason => refusal(code, reason, SECRET),
        };
        world.shop.refuse("GetOrder", refused);
        let path = format!("/v1/orders/{}", OrderId::mint());
        let answer = get(&path).token().send(&world).await;
        assert_eq!(answer.problem(), (status, wanted.to_owned()), "{code:?} {reason}");
        let tells = String::from_utf8_lossy(&answer.body).contains("relation");
        assert_eq!(tells, told, "{code:?} {reason}: {answer:?}");
        let comes_back = matches!(status, 429 | 503);
        assert_eq!(!answer.header("retry-after").is_empty(), comes_back, "{code:?} {reason}");
        assert_eq!(answer.header("www-authenticate") == "Bearer", status == 401, "{code:?}");
    }
}

#[test]
fn the_table_is_complete() {
    for code in 0..17 {
        let code = Code::from_i32(code);
        assert!(TABLE.iter().any(|row| row.0 == code), "{code:?}");
    }
}

#[tokio::test]
async fn fields_at_fault_are_passed_on() {
    let world = World::new().await;
    world.shop.refuse("Register", invalid([("email", "is no address"), ("password", "is short")]));
    let body = json!({"email": "a", "password": "b", "name": "c"});
    let answer = post("/v1/users").json(&body).send(&world).await;
    assert_eq!(answer.problem(), (422, "invalid".into()));
    assert_eq!(answer.fields(), ["email", "password"]);
    assert_eq!(answer.json()["fields"][1]["detail"], "is short");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_a_504_in_time() {
    let world = World::with(&["--deadline", "300ms"]).await;
    world.shop.gate.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let began = std::time::Instant::now();
    let answer = get("/v1/me").token().send(&world).await;
    assert_eq!(answer.problem(), (504, "deadline".into()));
    let took = began.elapsed().as_millis();
    assert!((290..1000).contains(&took), "{took} ms");
}

#[tokio::test]
async fn a_reply_without_its_content_is_ours() {
    let world = World::new().await;
    let body = json!({"sku": "a", "name": "b", "price": {"currency": "GBP", "minor_units": 1}});
    let answer = post("/v1/staff/products").token().json(&body).send(&world).await;
    assert_eq!(answer.problem(), (500, "internal".into()));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_a_503() {
    let world = World::new().await;
    assert_eq!(get("/v1/me").token().send(&world).await.status, 200);
    world.services.request();
    let began = std::time::Instant::now();
    let answer = get("/v1/me").token().send(&world).await;
    assert_eq!(answer.problem(), (503, "unavailable".into()));
    assert!(began.elapsed().as_secs() < 6, "{:?}", began.elapsed());
}
