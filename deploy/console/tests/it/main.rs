//! The console without a shop: over HTTP, who is let in and what is refused; and its statements in a real database.

mod running;
mod refusals;
mod supervisor;
mod databases;

use running::{Console, TOKEN, get, json};
use serde_json::json;

#[tokio::test]
async fn the_page_needs_the_host_and_no_token_and_runs_its_own_script_only() {
    let console = Console::start().await;
    for path in ["/", "/console.js", "/console.css", "/icon.svg"] {
        let answer = console.send(get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").expect("a policy");
        for part in
            ["default-src 'none'", "script-src 'self'", "require-trusted-types-for 'script'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN));
    }
}

#[tokio::test]
async fn probes_need_neither() {
    let console = Console::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = console.send(get(path).host("127.0.0.1:1").no_token()).await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let asked = operator::ready::ask(console.address).await;
    assert_eq!(asked, Ok(()), "the supervisor asks like this");
}

#[tokio::test]
async fn without_a_shop_the_overview_says_that_all_is_unknown_since_when_and_why() {
    let console = Console::start().await;
    let overview = console
        .eventually(get("/api/overview"), |overview| {
            overview["unknown"].is_object() && overview["verdict"]["unknown"].is_object()
        })
        .await;
    assert_eq!(overview["unknown"]["reason"], "the shop is not up");
    assert_eq!(overview["verdict"]["state"], "unknown");
    assert_eq!(overview["verdict"]["unknown"]["reason"], "the shop is not up");
    assert_eq!(overview["verdict"]["age_ms"], json!(null));
    assert_eq!(overview["processes"], json!([]));
    assert!(overview["now_unix_ms"].as_i64() > Some(1_700_000_000_000));
    for path in ["/api/orders", "/api/traces", "/api/traces/ab", "/api/orders/ab/trace"] {
        assert_eq!(console.send(get(path)).await.status, 503, "{path}");
    }
}

#[tokio::test]
async fn logs_are_read_from_the_folder_of_the_shop() {
    let console = Console::start().await;
    let line = r#"{"timestamp":"2026-11-21T09:01:02Z","level":"ERROR","message":"no <b>bus</b>"}"#;
    console.write("logs/order.log", line);
    let lines = json(&console.send(get("/api/logs?level=ERROR&process=order&q=BUS")).await);
    assert_eq!(lines["processes"], json!(["order"]));
    assert_eq!(lines["lines"][0]["message"], "no <b>bus</b>");
    assert_eq!(lines["lines"][0]["at_unix_us"], json!(1_795_251_662_000_000_i64));
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_even_with_a_browser_that_says_nothing() {
    let console = Console::start().await;
    let _silent = tokio::net::TcpStream::connect(console.address).await.expect("connected");
    assert_eq!(console.send(get("/")).await.status, 200);
    console.stop().await;
}
