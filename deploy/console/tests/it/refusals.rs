//! What is refused, and how.

use operator::http::Answer;

use crate::running::{Asked, Console, TOKEN, get, json, post};

const KILL: &str = r#"{"kind":"kill","target":"order"}"#;

fn is_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = json(answer);
    assert_eq!(
        (problem["status"].as_u64(), problem["code"].as_str()),
        (Some(status.into()), Some(code))
    );
    assert!(answer.header("content-security-policy").is_some(), "refusals have the headers, too");
}

#[tokio::test]
async fn another_host_is_misdirected_whatever_it_asks_for() {
    let console = Console::start().await;
    let port = console.address.port();
    for path in ["/", "/console.js", "/api/overview", "/nothing"] {
        for host in [
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("shop.localhost:{port}"),
            "console.localhost".to_owned(),
            format!("console.localhost.evil.example:{port}"),
            format!("console.localhost:{}", port.wrapping_add(1)),
        ] {
            let answer = console.send(get(path).host(&host)).await;
            assert_eq!(answer.status, 421, "{host}{path}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(text, format!("the console is at http://{}/ only\n", console.host()));
        }
    }
    let answer = console.send(post("/api/faults", KILL).host(&format!("localhost:{port}"))).await;
    assert_eq!(answer.status, 421);
}

#[tokio::test]
async fn everything_below_api_needs_the_whole_token() {
    let console = Console::start().await;
    let asked = || {
        let paths = ["/api/overview", "/api/orders", "/api/logs", "/api/traces", "/api/nothing"];
        paths.into_iter().map(get).chain([post("/api/faults", KILL)])
    };
    for authorization in [
        String::new(),
        "Bearer ".to_owned(),
        TOKEN.to_owned(),
        format!("bearer {TOKEN}"),
        format!("Basic {TOKEN}"),
        format!("Bearer {}", &TOKEN[1..]),
        format!("Bearer {TOKEN}0"),
    ] {
        for asked in asked() {
            let answer = console.send(asked.with("authorization", &authorization)).await;
            is_problem(&answer, 401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    for asked in asked() {
        is_problem(&console.send(asked.no_token()).await, 401, "unauthenticated");
    }
    let in_query = console.send(get(&format!("/api/overview?token={TOKEN}")).no_token()).await;
    is_problem(&in_query, 401, "unauthenticated");
}

#[tokio::test]
async fn another_origin_is_told_nothing_that_would_let_it_in() {
    let console = Console::start().await;
    let asked = Asked::with(get("/api/overview"), "origin", "http://evil.example");
    let answer = console.send(asked).await;
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let console = Console::start().await;
    for path in ["/nothing", "/api/nothing", "/console.css/x", "/../Cargo.toml"] {
        is_problem(&console.send(get(path)).await, 404, "not_found");
    }
    is_problem(&console.send(get("/api/faults")).await, 405, "method_not_allowed");
    is_problem(&console.send(post("/api/overview", "{}")).await, 405, "method_not_allowed");
    is_problem(&console.send(post("/", "{}")).await, 405, "method_not_allowed");
}

#[tokio::test]
async fn parameters_that_there_are_not_are_refused() {
    let console = Console::start().await;
    for path in [
        "/api/orders?state=open",
        "/api/orders?limit=5",
        "/api/logs?after=yesterday",
        "/api/logs?file=/etc/passwd",
        "/api/traces?url=http://elsewhere",
    ] {
        is_problem(&console.send(get(path)).await, 400, "invalid");
    }
}

#[tokio::test]
async fn a_fault_is_json_and_small() {
    let console = Console::start().await;
    for body in
        ["", "{", "[]", r#"{"kind":7}"#, r#"{"target":"order"}"#, r#"{"kind":"kill","x":1}"#]
    {
        is_problem(&console.send(post("/api/faults", body)).await, 400, "invalid_json");
    }
    let large = format!(r#"{{"kind":"{}"}}"#, "k".repeat(5_000));
    is_problem(&console.send(post("/api/faults", large)).await, 413, "body_too_large");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let answer = console.send(post("/api/faults", KILL).with("content-type", kind)).await;
        is_problem(&answer, 415, "unsupported_media_type");
    }
    let answer = console.send(post("/api/faults", KILL).without("content-type")).await;
    is_problem(&answer, 415, "unsupported_media_type");
}

#[tokio::test]
async fn a_fault_without_a_supervisor_is_unavailable() {
    let console = Console::start().await;
    is_problem(&console.send(post("/api/faults", KILL)).await, 503, "supervisor_unavailable");
}
