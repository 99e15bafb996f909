//! The catalogue as a page, for people.

use crate::catalogue::{Catalogue, Context, Event, HEADERS};
use crate::descriptors::{Field, Kind, Message};

const HEAD: &str = "\
<!-- Generated from proto/ and services/: SOUK_WRITE_CATALOGUE=1 cargo test -p proto -->

# Events

Every fact that one context tells the others. The same for tools, as an AsyncAPI 3.0 document:
[events/asyncapi.json](events/asyncapi.json). Both are made of the `.proto` files and of what the services listen to, and
`the_catalogue_says_what_the_code_says` fails when they are not what it would make; so change those, and then run
`SOUK_WRITE_CATALOGUE=1 cargo test -p proto`.

";

const HEADERS_HEAD: &str = "
## What every message carries

A message is a CloudEvent 1.0 in binary mode: the attributes are NATS headers, the payload is protobuf.

| header | |
|---|---|
";

const DELIVERY: &str = "
Streams are made by whoever needs them first, keep seven days at most, and are no record: the outbox of the publisher is
([ADR 9](adr/0009-the-bus-is-disposable.md)). A consumer is durable, named `<context>-from-<publisher>`, reads the whole stream
and acknowledges unread what it does not want. Delivery is at least once, in no order that anybody may rely on; an id has its
effect once, because the inbox row is written in the transaction of the effect
([ADR 2](adr/0002-batches-through-outbox-and-inbox.md)).
";

/// The page's text.
pub fn page(catalogue: &Catalogue) -> String {
    let mut page = HEAD.to_owned();
    page += "| event | what happened | published by | taken in by |\n|---|---|---|---|\n";
    for context in &catalogue.contexts {
        page.extend(context.events.iter().map(|event| line(context, event)));
    }
    page += HEADERS_HEAD;
    for header in HEADERS {
        let always = header.always.map(|is| format!("`{is}`. ")).unwrap_or_default();
        let optional = if header.required { "" } else { " May be missing." };
        page += &format!("| `{}` | {always}{}{optional} |\n", header.name, header.meaning);
    }
    page += DELIVERY;
    for context in &catalogue.contexts {
        page += &format!(
            "\n## {}\n\nStream `{}`, from [{file}](../{file}). {}\n",
            context.name,
            context.stream(),
            context.comment,
            file = context.file
        );
        page.extend(context.events.iter().map(|event| section(context, event)));
    }
    page
}

fn service(context: &str) -> String {
    format!("[{context}](../services/{context}/README.md)")
}

fn line(context: &Context, event: &Event) -> String {
    let name = event.message.name();
    let consumers: Vec<_> = event.consumers.iter().map(|it| service(it)).collect();
    let consumers = if consumers.is_empty() { "nobody yet".into() } else { consumers.join(", ") };
    let link = format!("[{name}](#{})", name.to_lowercase());
    let said = &event.message.comment;
    format!("| {link} | {said} | {} | {consumers} |\n", service(&context.name))
}

fn section(context: &Context, event: &Event) -> String {
    let Event { message, subject, consumers } = event;
    let mut text = format!("\n### {}\n\n{}\n\n", message.name(), message.comment);
    text += &format!("- type `{}`\n- subject `{subject}`\n", message.full_name);
    let durable = consumers.iter().map(|it| format!("`{it}-from-{}`", context.name));
    let durable: Vec<_> = durable.collect();
    if !durable.is_empty() {
        text += &format!("- consumers {}\n", durable.join(", "));
    }
    text += "\n| field | type | |\n|---|---|---|\n";
    rows(&mut text, message, "");
    text
}

/// A row for each field; those of a message within follow it, with its name in front.
fn rows(text: &mut String, message: &Message, prefix: &str) {
    for Field { name, comment, repeated, kind, .. } in &message.fields {
        let (kind, inner) = match kind {
            Kind::Text => ("string", None),
            Kind::Integer => ("int64", None),
            Kind::Boolean => ("bool", None),
            Kind::Message(inner) => (inner.name(), Some(inner)),
        };
        let about = inner.filter(|_| comment.is_empty()).map_or(comment, |inner| &inner.comment);
        let list = if *repeated { "repeated " } else { "" };
        text.push_str(&format!("| `{prefix}{name}` | {list}{kind} | {about} |\n"));
        if let Some(inner) = inner {
            rows(text, inner, &format!("{prefix}{name}."));
        }
    }
}
