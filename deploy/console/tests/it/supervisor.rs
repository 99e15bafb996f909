//! Faults, with something in the place of the supervisor that answers as it does.

use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use crate::running::{Console, json, post};

/// Answers the next question with this, and gives the question back.
fn answering(folder: &Path, reply: Value) -> JoinHandle<Value> {
    let path = operator::layout::Layout::at(folder).control_socket();
    let listener = UnixListener::bind(path).expect("a socket");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("asked");
        let mut question = Vec::new();
        stream.read_to_end(&mut question).await.expect("read");
        stream.write_all(reply.to_string().as_bytes()).await.expect("written");
        serde_json::from_slice(&question).expect("JSON")
    })
}

#[tokio::test]
async fn a_fault_that_is_refused_is_unprocessable_with_the_reason() {
    let console = Console::start().await;
    let why = "there is a fault already: pause on order";
    let asked = answering(console.folder.path(), json!({ "refused": why }));
    let body = r#"{"kind":"kill","target":"order"}"#;
    let answer = console.send(post("/api/faults", body)).await;
    assert_eq!(answer.status, 422);
    let problem = json(&answer);
    assert_eq!((&problem["code"], &problem["detail"]), (&json!("fault_refused"), &json!(why)));
    let question = asked.await.expect("answered");
    assert_eq!(question["kind"], "kill");
    assert_eq!(question["target"], "order");
}

#[tokio::test]
async fn a_fault_that_has_begun_is_accepted_with_its_command_line() {
    let console = Console::start().await;
    let injection = json!({
        "id": 3, "kind": "pause", "target": "order-2", "seconds": 5, "began_unix_ms": 1,
        "ended_unix_ms": null, "error": null,
    });
    let asked = answering(console.folder.path(), json!({ "injections": [injection] }));
    let body = r#"{"kind":"pause","target":"order-2","seconds":5}"#;
    let answer = console.send(post("/api/faults", body)).await;
    assert_eq!(answer.status, 202);
    let accepted = json(&answer);
    assert_eq!((&accepted["id"], &accepted["target"]), (&json!(3), &json!("order-2")));
    assert_eq!(accepted["command"], "cargo souk fault pause order-2 --for 5");
    assert_eq!(asked.await.expect("answered")["seconds"], 5);
}
