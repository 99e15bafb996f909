//! A catalogue by stream.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use proto::product::v1::start_import_request::Part;
use rpc::status::{invalid, refusal};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::client::{Call, get, post};
use crate::shop::IMPORT;
use crate::world::{World, eventually};

/// Without a line on its way for this long, the client stands still.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(300);

fn line(number: usize) -> String {
    let price = json!({"currency": "GBP", "minor_units": 255});
    let line = json!({"source": "f00", "sku": format!("S{number}"), "name": "Cup",
        "description": "", "category": "tea", "price": price, "opening_stock": 5});
    format!("{line}\n")
}

fn import(body: impl Into<Body>) -> Call {
    post("/v1/staff/import").token().header("content-type", "application/x-ndjson").body(body)
}

#[tokio::test]
async fn every_line_is_a_product_of_the_stream() {
    let world = World::new().await;
    let body: String = (0..1000).map(line).collect();
    let answer = import(body.trim_end().to_owned()).send(&world).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let expected = json!({"added": 1000, "revised": 0, "unchanged": 0, "stock_received": 0});
    assert_eq!(answer.json(), expected);
    let seen = world.shop.last("ImportProducts");
    assert_eq!(seen.authorization.as_deref(), Some("Bearer some.access.token"));
    let state = world.shop.state();
    assert_eq!(state.imported[999].sku, "S999");
    assert_eq!(state.imported[0].price.as_ref().unwrap().minor_units, 255);
}

#[tokio::test]
async fn a_bad_line_is_named_and_breaks_the_call_off() {
    let world = World::new().await;
    let long = format!("{{\"sku\":\"{}\"}}\n", "x".repeat(64 * 1024));
    let cases: [(&str, u16, &str, &[&str]); 4] = [
        ("{\"sku\":\n", 400, "malformed_json", &[]),
        ("{\"source\":\"f\",\"sku\":7}\n", 422, "invalid", &["line 3: sku"]),
        ("{\"source\":\"f\",\"colour\":7}\n", 422, "invalid", &["line 3: colour"]),
        (&long, 413, "body_too_large", &[]),
    ];
    for (bad, status, code, fields) in cases {
        let (sender, receiver) = mpsc::channel::<Result<String, std::io::Error>>(4);
        sender.send(Ok(line(1) + &line(2))).await.unwrap();
        let answer = import(Body::from_stream(ReceiverStream::new(receiver))).send(&world);
        let rest = async {
            eventually("two lines", || world.shop.state().imported.len() == 2).await;
            sender.send(Ok(bad.to_owned() + &line(4))).await.unwrap();
            drop(sender);
        };
        let (answer, ()) = tokio::join!(answer, rest);
        assert_eq!(answer.problem(), (status, code.to_owned()), "{answer:?}");
        assert_eq!(answer.fields(), fields);
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("line 3: "), "{answer:?}");
        eventually("product knows", || world.shop.state().import_ended_well.is_some()).await;
        let mut state = world.shop.state();
        assert_eq!(state.import_ended_well.take(), Some(false), "a part is not the file");
        assert_eq!(std::mem::take(&mut state.imported).len(), 2);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_has_not_sent_a_file() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = "POST /v1/staff/import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\n\
                content-type: application/x-ndjson\r\ncontent-length: 100000\r\n\r\n";
    stream.write_all([head, &line(1), &line(2)].concat().as_bytes()).await.unwrap();
    eventually("two lines", || world.shop.state().imported.len() == 2).await;
    drop(stream);
    eventually("product knows", || world.shop.state().import_ended_well == Some(false)).await;
}

#[tokio::test]
async fn what_product_refuses_ends_the_upload() {
    let world = World::new().await;
    let staff_only = refusal(Code::PermissionDenied, "staff_only", "only staff may do this");
    world.shop.refuse("ImportProducts", staff_only);
    // Far more than fits into all the buffers on the way.
    let lines = stream::iter(0..100_000).map(|n| Ok::<_, std::io::Error>(line(n)));
    let answer = import(Body::from_stream(lines.take(5_000))).send(&world).await;
    assert_eq!(answer.problem(), (403, "staff_only".into()));
    world.shop.refuse("ImportProducts", invalid([("sku", "line 2: is empty")]));
    let answer = import(line(1)).send(&world).await;
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["sku".to_owned()]));
}

#[tokio::test]
async fn it_is_a_stream_of_lines_or_nothing() {
    let world = World::new().await;
    let answer = post("/v1/staff/import").token().json(&json!([])).send(&world).await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".into()));
    assert!(world.shop.seen().is_empty());
    let answer = import(Body::empty()).send(&world).await;
    assert_eq!(answer.json()["added"], 0);
}

#[tokio::test]
async fn a_slow_product_slows_the_client_down() {
    let world = World::new().await;
    world.shop.import_gate.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let padding = "x".repeat(60_000);
    let big = line(1).replace("Cup", &padding);
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let client = tokio::spawn(async move {
        for _ in 0..1000 {
            if sender.send(Ok(big.clone().into())).await.is_err() {
                return;
            }
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let answer = import(Body::from_stream(ReceiverStream::new(receiver)));
    let mut answer = std::pin::pin!(answer.send(&world));
    // 60 MB are offered; what is on the way without being taken stays far below that.
    let mut before = usize::MAX;
    let stalled = async {
        while before != sent.load(std::sync::atomic::Ordering::Relaxed) || before == 0 {
            before = sent.load(std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await; // the fault itself: nothing moves
        }
    };
    tokio::select! {
        _ = &mut answer => panic!("nothing has been taken"),
        () = stalled => {}
    }
    assert!(before < 500, "{before} lines are on the way");
    world.shop.import_gate.add_permits(2000);
    let answer = answer.await;
    assert_eq!(answer.json()["added"], 1000, "{answer:?}");
    client.await.unwrap();
    eventually("a good end", || world.shop.state().import_ended_well == Some(true)).await;
}

fn start(body: impl Into<Body>) -> Call {
    post("/v1/staff/imports").token().header("content-type", "application/x-ndjson").body(body)
}

#[tokio::test]
async fn an_import_in_the_background_is_accepted_followed_and_cancelled() {
    let world = World::new().await;
    let answer = start(line(1) + &line(2)).send(&world).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let at = format!("/v1/staff/imports/{IMPORT}");
    assert_eq!(answer.header("location"), at);
    assert_eq!(world.shop.state().imported.len(), 2);
    assert_eq!(world.shop.state().import_end, Some(Part::ItemsSent(2)));
    let expected = json!({"import_id": IMPORT, "source": "f00", "state": "running", "version": 1, "items": 2,
        "items_imported": 0, "added": 0, "revised": 0, "unchanged": 0, "stock_received": 0});
    assert_eq!(answer.json(), expected);
    let answer = get(&at).token().send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.json()["version"].as_i64()), (200, Some(1)));
    let answer = post(&format!("{at}/cancel")).token().json(&json!({})).send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.json()["state"].as_str()), (200, Some("cancelled")));
    let answer = get("/v1/staff/imports/x").token().send(&world).await;
    assert_eq!(answer.problem(), (404, "import_not_found".into()));
}

#[tokio::test]
async fn how_far_an_import_is_comes_as_events_until_its_end() {
    let world = World::new().await;
    let watch = || get(&format!("/v1/staff/imports/{IMPORT}/events")).token();
    let answer = watch().send(&world).await;
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    let ids: Vec<&str> = body.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["1", "2", "3"], "{body}");
    assert!(body.contains("\"state\":\"done\""), "{body}");
    let answer = watch().header("last-event-id", "3").send(&world).await;
    assert_eq!(answer.status, 204, "an EventSource stops");
    let answer = watch().header("last-event-id", "x").send(&world).await;
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["Last-Event-ID".to_owned()]));
}

#[tokio::test]
async fn a_bad_line_is_named_and_nothing_is_begun() {
    let world = World::new().await;
    let (sender, receiver) = mpsc::channel::<Result<String, std::io::Error>>(4);
    sender.send(Ok(line(1))).await.unwrap();
    let answer = start(Body::from_stream(ReceiverStream::new(receiver))).send(&world);
    let rest = async {
        eventually("a line", || world.shop.state().imported.len() == 1).await;
        sender.send(Ok("{\"sku\":7}\n".to_owned())).await.unwrap();
        drop(sender);
    };
    let (answer, ()) = tokio::join!(answer, rest);
    assert_eq!((answer.problem().0, answer.fields()), (422, vec!["line 2: sku".to_owned()]));
    eventually("product knows", || world.shop.state().import_ended_well == Some(false)).await;
    assert_eq!(world.shop.state().import_end, None, "a part is not the file");
    let answer = post("/v1/staff/imports").token().json(&json!([])).send(&world).await;
    assert_eq!(answer.problem(), (415, "unsupported_media_type".into()));
}
