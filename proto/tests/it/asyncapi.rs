//! The catalogue as an AsyncAPI 3.0 document, for tools.

use serde_json::{Map, Value, json};

use crate::catalogue::{Catalogue, Context, Event, HEADERS};
use crate::descriptors::{Field, Kind, Message};

const ABOUT: &str = "Every event of the shop: a CloudEvent 1.0 in binary mode, its payload protobuf, its attributes \
NATS headers. There is one JetStream stream for each context. Delivery is at least once and in no order that \
anybody may rely on; consumers keep the ids that they have seen.\n\nThe operations are those of all services: \
the first part of an operation's name is the service that sends or receives. The schemas of payloads name the \
fields as the .proto files do, each with its type there and its number.\n\nGenerated: see docs/events.md.";

/// The document's text.
pub fn document(catalogue: &Catalogue) -> String {
    let document = json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Souk: events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0" },
        },
        "defaultContentType": "application/protobuf",
        "channels": each(catalogue, |context, event| vec![(name(event), channel(context, event))]),
        "operations": each(catalogue, operations),
        "components": {
            "messages": each(catalogue, |context, event| vec![(name(event), message(context, event))]),
            "messageTraits": { "CloudEvent": { "headers": headers() } },
            "schemas": schemas(catalogue),
        },
    });
    format!("{document:#}\n")
}

fn name(event: &Event) -> String {
    event.message.name().to_owned()
}

/// An object of what each event adds to it.
fn each(
    catalogue: &Catalogue,
    entries: impl Fn(&Context, &Event) -> Vec<(String, Value)>,
) -> Map<String, Value> {
    let contexts = catalogue.contexts.iter();
    let events = contexts.flat_map(|it| it.events.iter().map(move |event| (it, event)));
    events.flat_map(|(context, event)| entries(context, event)).collect()
}

fn channel(context: &Context, event: &Event) -> Value {
    let name = event.message.name();
    json!({
        "address": event.subject,
        "description": event.message.comment,
        "messages": { name: { "$ref": format!("#/components/messages/{name}") } },
        "x-jetstream-stream": context.stream(),
    })
}

fn operations(context: &Context, event: &Event) -> Vec<(String, Value)> {
    let name = event.message.name();
    let operation = |service: &str, action: &str| {
        json!({
            "action": action,
            "channel": { "$ref": format!("#/channels/{name}") },
            "messages": [{ "$ref": format!("#/channels/{name}/messages/{name}") }],
            "tags": [{ "name": service }],
        })
    };
    let mut all = vec![(format!("{}-send-{name}", context.name), operation(&context.name, "send"))];
    for consumer in &event.consumers {
        let mut receive = operation(consumer, "receive");
        receive["x-jetstream-consumer"] = json!(format!("{consumer}-from-{}", context.name));
        all.push((format!("{consumer}-receive-{name}"), receive));
    }
    all
}

fn message(context: &Context, event: &Event) -> Value {
    let always = [("ce-type", &event.message.full_name), ("ce-source", &context.name)];
    let properties: Map<_, _> =
        always.iter().map(|(name, is)| ((*name).to_owned(), json!({ "const": is }))).collect();
    json!({
        "name": event.message.full_name,
        "title": event.message.name(),
        "summary": event.message.comment,
        "contentType": "application/protobuf",
        "headers": { "type": "object", "properties": properties },
        "traits": [{ "$ref": "#/components/messageTraits/CloudEvent" }],
        "payload": schema(&event.message),
        "x-protobuf-file": context.file,
    })
}

fn headers() -> Value {
    let mut properties = Map::new();
    for header in HEADERS {
        let mut is = json!({ "type": "string", "description": header.meaning });
        for (key, value) in [("const", header.always), ("format", header.format)] {
            if let Some(value) = value {
                is[key] = json!(value);
            }
        }
        properties.insert(header.name.to_owned(), is);
    }
    let required: Vec<_> =
        HEADERS.iter().filter(|header| header.required).map(|header| header.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn schema(message: &Message) -> Value {
    let fields = message.fields.iter().map(|it| (it.name.clone(), field(message, it)));
    let mut schema = json!({
        "type": "object",
        "properties": fields.collect::<Map<_, _>>(),
        "x-protobuf-message": message.full_name,
    });
    describe(&mut schema, &message.comment);
    schema
}

fn field(within: &Message, field: &Field) -> Value {
    let mut one = match &field.kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Integer => json!({ "type": "integer", "format": "int64" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Message(inner) if inner.full_name.starts_with(&within.full_name) => schema(inner),
        // What stands beside a reference is not read, so it stands around it.
        Kind::Message(other) => json!({ "allOf": [{ "$ref": reference(other) }] }),
    };
    if field.repeated {
        one = json!({ "type": "array", "items": one });
    }
    describe(&mut one, &field.comment);
    one["x-protobuf-number"] = json!(field.number);
    one
}

fn describe(schema: &mut Value, comment: &str) {
    if !comment.is_empty() {
        schema["description"] = json!(comment);
    }
}

fn reference(message: &Message) -> String {
    format!("#/components/schemas/{}", message.name())
}

/// References that lead nowhere in the document: its schema cannot say so.
pub fn dangling(document: &str) -> Vec<String> {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut references = Vec::new();
    collect(&document, &mut references);
    let nowhere = |it: &String| document.pointer(it.trim_start_matches('#')).is_none();
    references.into_iter().filter(nowhere).collect()
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|it| collect(it, references));
        }
        Value::Array(items) => items.iter().for_each(|it| collect(it, references)),
        _ => {}
    }
}

/// The messages that several events hold.
fn schemas(catalogue: &Catalogue) -> Map<String, Value> {
    let events = catalogue.contexts.iter().flat_map(|it| &it.events);
    let fields = events.flat_map(|event| event.message.fields.iter().map(move |it| (event, it)));
    let shared = fields.filter_map(|(event, field)| match &field.kind {
        Kind::Message(it) if !it.full_name.starts_with(&event.message.full_name) => Some(it),
        _ => None,
    });
    shared.map(|it| (it.name().to_owned(), schema(it))).collect()
}
