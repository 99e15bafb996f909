use std::io::Write;

use http::StatusCode;
use psp::{Config, Server};
use serde_json::{Value, json};

use crate::shop::{Folder, Psp, order};

#[tokio::test]
async fn a_restart_replays_the_ledger() {
    let folder = Folder::new();
    let psp = Psp::start(&folder).await;
    let captured = psp.shop.capture("key", &order("tok_approve", 255, "order-1")).await;
    let capture = captured.1["capture_id"].as_str().unwrap().to_owned();
    let refunded = psp.shop.refund("r1", &capture, 200).await;
    psp.shop.void("void").await;
    let entries = psp.shop.ledger().await;
    psp.stop().await;

    let Psp { shop, .. } = Psp::start(&folder).await;
    assert_eq!(shop.capture("key", &order("tok_approve", 255, "order-1")).await, captured);
    assert_eq!(shop.refund("r1", &capture, 200).await, refunded);
    assert_eq!(shop.refund("r2", &capture, 56).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        shop.capture("void", &order("tok_approve", 1, "order-2")).await.0,
        StatusCode::CONFLICT
    );
    assert_eq!(shop.ledger().await, entries);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_wherever_it_tore() {
    let folder = Folder::new();
    let psp = Psp::start(&folder).await;
    psp.shop.captured("whole", 255).await;
    psp.stop().await;
    let whole = std::fs::read(folder.ledger_file()).unwrap();
    let line = whole.split_inclusive(|byte| *byte == b'\n').nth(1).unwrap();
    for length in [1, line.len() / 2, line.len() - 1] {
        append(&folder, &line[..length]);
        let psp = Psp::start(&folder).await;
        assert_eq!(psp.shop.by_key("whole").await.0, StatusCode::OK);
        assert_eq!(std::fs::read(folder.ledger_file()).unwrap(), whole, "{length} bytes of a line");
        psp.stop().await;
    }
    let psp = Psp::start(&folder).await;
    psp.shop.captured("next", 1).await;
    psp.stop().await;
    let psp = Psp::start(&folder).await;
    assert_eq!(psp.shop.ledger().await.len(), 2);
}

#[tokio::test]
async fn a_ledger_whose_very_first_line_is_torn_starts_anew() {
    let folder = Folder::new();
    append(&folder, b"{\"format\":\"psp-");
    let psp = Psp::start(&folder).await;
    psp.shop.captured("key", 255).await;
    psp.stop().await;
    assert_eq!(Psp::start(&folder).await.shop.ledger().await.len(), 1);
}

#[tokio::test]
async fn a_ledger_that_was_tampered_with_is_refused() {
    let folder = Folder::new();
    let psp = Psp::start(&folder).await;
    psp.shop.captured("a", 255).await;
    psp.shop.captured("b", 255).await;
    psp.stop().await;
    let good = std::fs::read_to_string(folder.ledger_file()).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let cases = [
        (good.replacen("255", "256", 1), "line 2: its checksum does not match"),
        (format!("{}\n{}\n", lines[0], lines[2]), "line 2: its seq does not follow the one before"),
        (format!("{good}{}\n", lines[1]), "line 4: its seq does not follow the one before"),
        (format!("{good}\n"), "line 4: it does not end in a checksum"),
        (format!("{}\n", lines[1]), "line 1"),
    ];
    for (text, complaint) in cases {
        std::fs::write(folder.ledger_file(), &text).unwrap();
        let error = Server::bind(Config::new(folder.path())).await.err().expect("refused");
        assert!(format!("{error:#}").contains(complaint), "{error:#}");
        assert_eq!(std::fs::read_to_string(folder.ledger_file()).unwrap(), text, "left as it was");
    }
}

#[tokio::test]
async fn two_processes_do_not_share_a_ledger() {
    let folder = Folder::new();
    let _psp = Psp::start(&folder).await;
    let error = Server::bind(Config::new(folder.path())).await.err().expect("refused");
    assert!(format!("{error:#}").contains("used by another process"), "{error:#}");
}

#[tokio::test]
async fn every_line_of_the_file_is_plain_json() {
    let folder = Folder::new();
    let psp = Psp::start(&folder).await;
    psp.shop.captured("key", 255).await;
    psp.stop().await;
    let text = std::fs::read_to_string(folder.ledger_file()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["format"], &lines[1]["kind"]),
        (&json!("psp-ledger/1"), &json!("capture"))
    );
}

fn append(folder: &Folder, bytes: &[u8]) {
    let mut file =
        std::fs::File::options().create(true).append(true).open(folder.ledger_file()).unwrap();
    file.write_all(bytes).unwrap();
}
