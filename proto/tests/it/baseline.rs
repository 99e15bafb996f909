//! Contract tests (backward compatibility, schema evolution): contracts only grow. What the last release had is there
//! and means the same, so no change breaks its callers and consumers. `tests/baseline` is what it had.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use protox::Compiler;
use protox::file::{File, FileResolver};
use serde_json::Value;

use crate::root;
use crate::surface::Surface;

fn assert_nothing_is_lost(then: &Surface, now: &Surface) {
    let lost = then.lost_in(now);
    assert!(lost.is_empty(), "others rely on it: put it back\n  {}\n", lost.join("\n  "));
}

#[test]
fn what_the_last_release_called_is_there() {
    let folder = root().join("tests/baseline/proto");
    let then = protox::compile(protos_below(&folder), [&folder]).unwrap();
    let now = FileDescriptorSet::decode(proto::rpc::DESCRIPTORS).unwrap();
    assert_nothing_is_lost(&Surface::of_protos(&then), &Surface::of_protos(&now));
}

#[test]
fn what_the_last_release_listened_to_is_told() {
    let catalogue = |path: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
    };
    let then = catalogue("tests/baseline/asyncapi.json");
    let now = catalogue("docs/events/asyncapi.json");
    assert_nothing_is_lost(&Surface::of_catalogue(&then), &Surface::of_catalogue(&now));
}

fn protos_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files =
        entries.flat_map(|path| if path.is_dir() { protos_below(&path) } else { vec![path] });
    files.collect()
}

/// A contract with one of everything.
const THEN: &str = r#"
    syntax = "proto3";
    package a;
    service Shop {
      rpc Buy(BuyRequest) returns (BuyResponse) { option idempotency_level = IDEMPOTENT; }
      rpc Watch(BuyRequest) returns (stream BuyResponse);
    }
    message BuyRequest {
      reserved 7 to 8;
      reserved "gone";
      string cup = 1;
      repeated int64 sizes = 2;
      Colour colour = 3;
      optional string note = 4;
      oneof how { string card = 5; }
      Line line = 6;
      message Line { string sku = 1; }
    }
    message BuyResponse {}
    enum Colour { reserved 2; reserved "RED"; WHITE = 0; BLUE = 1; }
"#;

struct Source(String);

impl FileResolver for Source {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        File::from_source(name, &self.0)
    }
}

fn surface(proto: &str) -> Surface {
    let mut compiler = Compiler::with_file_resolver(Source(proto.to_owned()));
    Surface::of_protos(&compiler.open_file("a.proto").unwrap().file_descriptor_set())
}

/// What is said of the contract with this part of it changed.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(THEN.contains(from), "{from}");
    surface(THEN).lost_in(&surface(&THEN.replacen(from, to, 1)))
}

#[test]
fn a_contract_may_grow() {
    for (before, more) in [
        ("message BuyRequest {", "string saucer = 9; reserved 10;"),
        ("BLUE = 1;", "GREEN = 3;"),
        ("service Shop {", "rpc Sell(BuyRequest) returns (BuyResponse);"),
        ("message BuyResponse {", "message Order { string id = 1; } Order order = 1;"),
        ("package a;", "message Cup { string id = 1; } // of tea"),
    ] {
        assert_eq!(changed(before, &format!("{before} {more}\n")), Vec::<String>::new());
    }
}

#[test]
fn what_a_contract_loses_is_found_by_its_name() {
    for (from, to, name) in [
        ("string cup = 1;", "", "a.BuyRequest = 1"),
        ("string cup = 1;", "reserved 1;", "a.BuyRequest = 1"),
        ("string cup = 1;", "string cup = 9;", "a.BuyRequest.cup"),
        ("string cup", "string mug", "a.BuyRequest.cup"),
        ("string cup", "bytes cup", "a.BuyRequest = 1"),
        ("string cup", "repeated string cup", "a.BuyRequest = 1"),
        ("repeated int64", "int64", "a.BuyRequest = 2"),
        ("Colour colour", "Line colour", "a.BuyRequest = 3"),
        ("optional string", "string", "a.BuyRequest = 4"),
        ("oneof how { string card = 5; }", "string card = 5;", "a.BuyRequest = 5"),
        ("oneof how", "oneof payment", "a.BuyRequest = 5"),
        ("string sku = 1;", "", "a.BuyRequest.Line.sku"),
        ("reserved 7 to 8;", "", "a.BuyRequest = 8"),
        ("reserved 7 to 8;", "string old = 8;", "a.BuyRequest = 8"),
        ("reserved \"gone\";", "string gone = 9;", "a.BuyRequest.gone"),
        ("BLUE = 1;", "", "a.Colour = 1"),
        ("BLUE = 1;", "NAVY = 1;", "a.Colour = 1"),
        ("reserved 2; reserved \"RED\"; WHITE = 0;", "WHITE = 0; GREEN = 2;", "a.Colour = 2"),
        ("reserved \"RED\";", "", "a.Colour.RED"),
        ("returns (stream BuyResponse)", "returns (BuyResponse)", "a.Shop/Watch"),
        ("rpc Watch(BuyRequest)", "rpc Watch(stream BuyRequest)", "a.Shop/Watch"),
        ("rpc Watch(BuyRequest)", "rpc Watch(BuyResponse)", "a.Shop/Watch"),
        ("rpc Watch(", "rpc Follow(", "a.Shop/Watch"),
        ("option idempotency_level = IDEMPOTENT;", "", "a.Shop/Buy idempotency_level"),
        ("package a;", "package b;", "a.BuyResponse"),
    ] {
        let lost = changed(from, to);
        assert!(lost.iter().any(|it| it.starts_with(&format!("{name} "))), "{from}: {lost:?}");
    }
}

#[test]
fn what_the_catalogue_loses_is_found_by_its_name() {
    let then = fs::read_to_string(root().join("tests/baseline/asyncapi.json")).unwrap();
    let surface = |text: &str| Surface::of_catalogue(&serde_json::from_str(text).unwrap());
    for (from, to, name) in [
        (
            "souk.order.v1.order.order_placed",
            "souk.order.v1.cart.order_placed",
            "/channels/OrderPlaced/address",
        ),
        (
            "\"x-jetstream-stream\": \"SOUK_ORDER\"",
            "\"x-jetstream-stream\": \"SOUK\"",
            "/channels/OrderCancelled/x-jetstream-stream",
        ),
        (
            "\"order-send-OrderPlaced\"",
            "\"cart-send-OrderPlaced\"",
            "/operations/order-send-OrderPlaced/action",
        ),
        (
            "\"cart_id\": {",
            "\"basket_id\": {",
            "/components/messages/OrderPlaced/payload/properties/cart_id/type",
        ),
        ("\"x-protobuf-number\": 3", "\"x-protobuf-number\": 30", "/components/"),
        ("\"ce-time\",", "", "/components/messageTraits/CloudEvent/headers/required"),
    ] {
        assert!(then.contains(from), "{from}");
        let lost = surface(&then).lost_in(&surface(&then.replacen(from, to, 1)));
        assert!(lost.iter().any(|it| it.starts_with(name)), "{from}: {lost:?}");
    }
    for (from, to) in [("receive", "ignore"), ("Souk: events", "Events"), ("The order is", "It is")]
    {
        let grown =
            then.replace(&format!("\"cart-{from}-OrderPlaced"), "\"cart-x").replace(from, to);
        assert_eq!(surface(&then).lost_in(&surface(&grown)), Vec::<String>::new(), "{from}");
    }
}
