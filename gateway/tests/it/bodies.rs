//! Bodies that cannot be read, and by which name each is refused.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::Method;
use kernel::ProductId;
use serde_json::json;

use crate::client::{call, post};
use crate::world::World;

#[tokio::test]
async fn each_bad_body_has_a_name() {
    let world = World::new().await;
    let good = r#"{"email":"a@b.c","password":"12345678","name":"Ada"}"#;
    let table: &[(&str, &str, u16, &str, &[&str])] = &[
        ("application/json", good, 201, "", &[]),
        ("application/json; charset=utf-8", good, 201, "", &[]),
        ("Application/JSON", good, 201, "", &[]),
        ("", good, 415, "unsupported_media_type", &[]),
        ("text/plain", good, 415, "unsupported_media_type", &[]),
        ("application/x-www-form-urlencoded", "email=a", 415, "unsupported_media_type", &[]),
        ("application/json", "", 400, "malformed_json", &[]),
        ("application/json", "{", 400, "malformed_json", &[]),
        ("application/json", "{\"email\": nul}", 400, "malformed_json", &[]),
        ("application/json", "\u{0}", 400, "malformed_json", &[]),
        ("application/json", "{} {}", 422, "invalid", &["email"]),
        ("application/json", "[]", 422, "invalid", &["body"]),
        ("application/json", r#"{"email":"a"}"#, 422, "invalid", &["password"]),
        ("application/json", r#"{"email":7}"#, 422, "invalid", &["email"]),
        ("application/json", r#"{"emial":"a"}"#, 422, "invalid", &["emial"]),
    ];
    for (content_type, body, status, code, fields) in table {
        let mut request = post("/v1/users").body(*body);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let answer = request.send(&world).await;
        if *status == 201 {
            assert_eq!(answer.status, 201, "{content_type}");
            continue;
        }
        assert_eq!(answer.problem(), (*status, (*code).to_owned()), "{content_type} {body}");
        assert_eq!(answer.fields(), *fields, "{body}: {answer:?}");
    }
    let registered = world.shop.seen().len();
    assert_eq!(registered, 3, "what cannot be read reaches nobody");
}

#[tokio::test]
async fn a_number_must_be_one() {
    let world = World::new().await;
    let path = format!("/v1/cart/items/{}", ProductId::mint());
    for quantity in ["1.5", "\"3\"", "null", "99999999999999999999"] {
        let body = format!("{{\"quantity\":{quantity}}}");
        let request = call(Method::PUT, &path).header("content-type", "application/json");
        let answer = request.body(body).send(&world).await;
        assert_eq!(answer.problem(), (422, "invalid".into()), "{quantity}");
        assert_eq!(answer.fields(), ["quantity"]);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_its_length_or_without() {
    let world = World::with(&["--body-limit", "1000"]).await;
    let name = "x".repeat(2000);
    let body = json!({"email": "a@b.c", "password": "12345678", "name": name});
    let answer = post("/v1/users").json(&body).send(&world).await;
    assert_eq!(answer.problem(), (413, "body_too_large".into()));

    let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 600]));
    let pieces = stream::repeat_with(piece).take(3);
    let request = post("/v1/users").header("content-type", "application/json");
    let answer = request.body(axum::body::Body::from_stream(pieces)).send(&world).await;
    assert_eq!(answer.problem(), (413, "body_too_large".into()));
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn the_default_limit_is_256_kb() {
    let world = World::new().await;
    let sized = |length: usize| {
        let empty = json!({"email": "a@b.c", "password": "12345678", "name": ""}).to_string().len();
        json!({"email": "a@b.c", "password": "12345678", "name": "x".repeat(length - empty)})
    };
    let answer = post("/v1/users").json(&sized(256 * 1024)).send(&world).await;
    assert_eq!(answer.status, 201);
    let answer = post("/v1/users").json(&sized(256 * 1024 + 1)).send(&world).await;
    assert_eq!(answer.problem(), (413, "body_too_large".into()));
    let whole = axum::body::Body::from(vec![b'x'; 900 * 1024]);
    let answer = post("/v1/webhooks/psp").header("psp-signature", "00").body(whole);
    assert_eq!(answer.send(&world).await.problem(), (413, "body_too_large".into()));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_refused_in_time() {
    let world = World::with(&["--deadline", "300ms"]).await;
    let first = Ok::<_, std::io::Error>(Bytes::from_static(b"{"));
    let stalled = stream::once(async { first }).chain(stream::pending());
    let request = post("/v1/users").header("content-type", "application/json");
    let answer = request.body(axum::body::Body::from_stream(stalled)).send(&world).await;
    assert_eq!(answer.problem(), (408, "request_timeout".into()));
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_told_what_is_taken() {
    let world = World::new().await;
    let body = r#"{"email":"a@b.c","password":"12345678","name":"Ada"}"#;
    for coding in ["gzip", "br", "identity, gzip", "GZIP"] {
        for path in ["/v1/users", "/v1/webhooks/psp", "/v1/staff/import"] {
            let request = post(path).token().header("content-type", "application/json");
            let request = request.header("content-encoding", coding).header("psp-signature", "00");
            let answer = request.body(body).send(&world).await;
            assert_eq!(answer.problem(), (415, "unsupported_content_encoding".into()), "{path}");
            assert_eq!(answer.header("accept-encoding"), "identity", "{coding}");
        }
    }
    assert!(world.shop.seen().is_empty());
    let request = post("/v1/users").header("content-type", "application/json");
    let request = request.header("content-encoding", "identity");
    assert_eq!(request.body(body).send(&world).await.status, 201);
    let answer = post("/v1/users").header("content-type", "text/plain").body(body);
    let answer = answer.send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.header("accept-encoding")), (415, ""));
}

#[tokio::test]
async fn two_content_types_are_none() {
    let world = World::new().await;
    let request = post("/v1/users").header("content-type", "application/json");
    let answer = request.header("content-type", "text/plain").body("{}").send(&world).await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".into()));
}
