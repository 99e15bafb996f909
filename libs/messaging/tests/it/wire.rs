//! Events travel as the catalogue of events says (`docs/events`).

use std::collections::BTreeMap;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::StreamMessage;
use kernel::Shard;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects};

/// From the examples of W3C Trace Context.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

const CATALOGUE: &str = include_str!("../../../../docs/events/asyncapi.json");

#[tokio::test(flavor = "multi_thread")]
async fn events_travel_as_the_catalogue_says() {
    let catalogue: Value = serde_json::from_str(CATALOGUE).unwrap();
    let channel = &catalogue["channels"]["OrderConfirmed"];
    let context = Context::of(&["product"], 1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let id = context.confirm(Shard(3)).await;
    let traced = format!("update messaging.outbox set traceparent = '{TRACEPARENT}'");
    context.world.sql(&context.urls[0], &traced);
    context.relay(&stop);
    context.consume_as("product", Effects::default(), &stop);
    context.settled(1).await;

    let jetstream = async_nats::jetstream::new(context.bus.client().clone());
    let stream = jetstream.get_stream(text(&channel["x-jetstream-stream"])).await.unwrap();
    let receive = &catalogue["operations"]["product-receive-OrderConfirmed"];
    let durable = text(&receive["x-jetstream-consumer"]);
    let _consumer: PullConsumer = stream.get_consumer(durable).await.unwrap();
    let message = stream.get_raw_message(1).await.unwrap();
    assert_eq!(message.subject.as_str(), text(&channel["address"]));
    let headers = headers(&message);
    assert_eq!(headers["ce-subject"], id.to_string());
    assert_eq!(headers["traceparent"], TRACEPARENT);
    assert_eq!(complaints(&catalogue, &headers), Vec::<String>::new());

    // Whatever the catalogue says is looked at.
    for wrong in ["ce-id", "ce-specversion", "Nats-Msg-Id", "content-type"] {
        let mut fewer = headers.clone();
        fewer.remove(wrong);
        assert_eq!(complaints(&catalogue, &fewer), [format!("no {wrong}")]);
    }
    for wrong in ["ce-type", "ce-source", "ce-specversion", "content-type"] {
        let mut other = headers.clone();
        other.insert(wrong.to_owned(), "something else".to_owned());
        assert_eq!(complaints(&catalogue, &other), [format!("{wrong} is something else")]);
    }
    let mut more = headers;
    more.insert("ce-colour".to_owned(), "red".to_owned());
    assert_eq!(complaints(&catalogue, &more), ["ce-colour is not in the catalogue"]);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn headers(message: &StreamMessage) -> BTreeMap<String, String> {
    let all = message.headers.iter();
    all.map(|(name, values)| (name.to_string(), values[0].to_string())).collect()
}

/// What of an `OrderConfirmed`'s headers is not as the catalogue says.
fn complaints(catalogue: &Value, headers: &BTreeMap<String, String>) -> Vec<String> {
    let every = &catalogue["components"]["messageTraits"]["CloudEvent"]["headers"];
    let own = &catalogue["components"]["messages"]["OrderConfirmed"]["headers"];
    let required = every["required"].as_array().unwrap().iter().map(text);
    let missing = required.filter(|name| !headers.contains_key(*name));
    let mut complaints: Vec<_> = missing.map(|name| format!("no {name}")).collect();
    for (name, value) in headers {
        if every["properties"][name].is_null() {
            complaints.push(format!("{name} is not in the catalogue"));
        }
        let is = [&own["properties"][name]["const"], &every["properties"][name]["const"]];
        if is.iter().any(|is| is.as_str().is_some_and(|is| is != value)) {
            complaints.push(format!("{name} is {value}"));
        }
    }
    complaints
}
