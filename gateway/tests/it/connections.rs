//! Clients that are slow, silent or too many, and the end of the process.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::client::{get, post};
use crate::world::{World, eventually};

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.address).await.unwrap()
}

/// Reads to the end, which has to come.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    let _ = end.expect("the connection is cut"); // by a reset or a proper end
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_head_that_drips_is_cut_and_so_is_silence() {
    let world = World::with(&["--head-timeout", "400ms"]).await;
    for beginning in ["", "G", "GET /v1 HTTP/1.1\r\nhost: x\r\n", "PRI * HTTP/2.0\r\n"] {
        let (began, mut stream) = (Instant::now(), connect(&world).await);
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let mut buffer = [0; 64];
        let drip = async {
            let mut drops = tokio::time::interval(Duration::from_millis(50));
            loop {
                drops.tick().await;
                if beginning.starts_with("GET /v1") && writer.write_all(b"x: y\r\n").await.is_err()
                {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            read = timeout(Duration::from_secs(5), reader.read(&mut buffer)) => {
                let read = read.expect("cut in time");
                assert!(matches!(read, Ok(0) | Err(_)), "{beginning:?}: {read:?}");
            }
            () = drip => unreachable!("drips for ever"),
        }
        let took = began.elapsed().as_millis();
        assert!((380..3000).contains(&took), "{beginning:?}: {took} ms");
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_for_longer_than_a_head_may_take() {
    let world = World::with(&["--head-timeout", "200ms", "--idle-timeout", "3s"]).await;
    let mut stream = connect(&world).await;
    let mut buffer = [0; 4096];
    for _ in 0..2 {
        stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(buffer[..read].starts_with(b"HTTP/1.1 200"));
        // The pause of a client, longer than the limit for a head.
        let silence = timeout(Duration::from_millis(500), stream.read(&mut buffer)).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    let began = Instant::now();
    assert_eq!(rest(&mut stream).await, "");
    assert!(began.elapsed() < Duration::from_secs(6), "and not for ever");

    let mut stream = connect(&world).await;
    stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    let began = Instant::now();
    stream.write_all(b"GET /v1 HT").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    assert!(began.elapsed() < Duration::from_secs(2), "a second head is as limited");
}

#[tokio::test]
async fn http_2_is_spoken_too() {
    let (world, _) = World::with_products(1).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<axum::body::Body>();
    let uri = format!("http://{}/v1/products", world.address).parse().unwrap();
    let answer = client.get(uri).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    assert!(!answer.into_body().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn too_many_requests_are_turned_away_at_once_and_browsing_first() {
    let world = World::with(&["--max-in-flight", "4"]).await;
    let permits = tokio::sync::Semaphore::MAX_PERMITS;
    world.shop.gate.forget_permits(permits);
    // Each another list: those who want the same one wait for one answer.
    let browse = |size: usize| get(&format!("/v1/products?page_size={size}"));
    let held: Vec<_> = (1..=3).map(browse).collect();
    let mut held = futures_util::future::join_all(held.into_iter().map(|call| call.send(&world)));
    let pressed = async {
        eventually("three are in progress", || world.shop.seen().len() == 3).await;
        let shed = browse(4).send(&world).await;
        assert_eq!(shed.problem(), (503, "overloaded".into()));
        assert_eq!(shed.header("retry-after"), "1");
        world.shop.gate.add_permits(1);
        let own = get("/v1/me").token().send(&world).await;
        assert_eq!(own.status, 200, "somebody who is more than looking still gets in");
    };
    let ((), answers) = tokio::join!(pressed, &mut held);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(browse(4).send(&world).await.status, 200);
}

#[tokio::test]
async fn a_stop_waits_for_requests_but_not_for_silence() {
    let mut world = World::new().await;
    let mut silent = connect(&world).await;
    let mut kept = connect(&world).await;
    kept.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buffer = [0; 4096];
    assert!(kept.read(&mut buffer).await.unwrap() > 0);
    let permits = tokio::sync::Semaphore::MAX_PERMITS;
    world.shop.gate.forget_permits(permits);
    let mut asked = connect(&world).await;
    let request = b"GET /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\n\r\n";
    asked.write_all(request).await.unwrap();
    eventually("it is in progress", || !world.shop.seen().is_empty()).await;

    world.shutdown.request();
    assert_eq!(rest(&mut kept).await, "", "an idle connection ends at once");
    world.shop.gate.add_permits(1);
    let answer = rest(&mut asked).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    let took = world.stop().await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(rest(&mut silent).await, "");
    assert!(TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn while_it_drains_everybody_is_served_once_more() {
    let world = World::new().await;
    assert_eq!(get("/v1").send(&world).await.header("connection"), "");
    world.shutdown.drain();
    let mut stream = connect(&world).await;
    stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    assert!(!world.gateway.is_finished());
}

#[tokio::test]
async fn a_first_request_that_crosses_a_stop_is_answered() {
    let mut world = World::new().await;
    let mut stream = connect(&world).await;
    assert_eq!(get("/v1").send(&world).await.status, 200); // by now it has been accepted
    world.shutdown.request();
    eventually("nobody listens", || std::net::TcpStream::connect(world.address).is_err()).await;
    stream.write_all(b"GET /v1 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(world.stop().await < Duration::from_secs(2));
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_call_along() {
    let world = World::new().await;
    world.shop.gate.forget_permits(tokio::sync::Semaphore::MAX_PERMITS);
    let mut stream = connect(&world).await;
    let request = b"GET /v1/me HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\n\r\n";
    stream.write_all(request).await.unwrap();
    eventually("it is in progress", || !world.shop.seen().is_empty()).await;
    drop(stream);
    let gone = "http_server_request_duration_seconds_count{error_type=\"\",\
        http_request_method=\"GET\",http_response_status_code=\"499\",http_route=\"/v1/me\",\
        url_scheme=\"http\"}";
    eventually("it is counted", || telemetry::render_metrics().contains(gone)).await;
}

#[tokio::test]
async fn nonsense_is_answered_by_the_protocol() {
    let world = World::new().await;
    let mut stream = connect(&world).await;
    stream.write_all(b"\x16\x03\x01 hello\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 400"));
    let long = format!("/v1/products?sku={}", "x".repeat(60_000));
    let answer = get(&long).open(&world).await;
    assert!(matches!(answer.status().as_u16(), 414 | 431), "{}", answer.status());
    assert_eq!(post("/v1/users").send(&world).await.problem().0, 415);
}

/// What is answered to these bytes, sent on a connection of their own.
async fn answer_to(world: &World, request: &str) -> String {
    let mut stream = connect(world).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let world = World::new().await;
    for (version, hosts, status) in [
        ("1.1", "host: shop:80\r\n", 200),
        ("1.0", "", 200),
        ("1.1", "", 400),
        ("1.1", "host: shop\r\nhost: shop\r\n", 400),
        ("1.1", "host: shop\r\nHost: other\r\n", 400),
        ("1.0", "host: shop\r\nhost: other\r\n", 400),
        ("1.1", "host:\r\n", 400),
        ("1.1", "host: two words\r\n", 400),
        ("1.1", "host: me@shop\r\n", 400),
    ] {
        let request = format!("GET /v1 HTTP/{version}\r\n{hosts}connection: close\r\n\r\n");
        let answer = answer_to(&world, &request).await;
        assert_eq!(answer[9..12], status.to_string(), "{request:?}: {answer}");
        assert_eq!(answer.contains("\"bad_host\""), status == 400, "{answer}");
    }
}
