//! All events with who publishes and who takes them in; complete, or refused.

use std::collections::BTreeSet;
use std::path::Path;

use crate::descriptors::{self, File, Message};
use crate::services::{self, Service};

/// Every event of the shop.
#[derive(Debug)]
pub struct Catalogue {
    /// By context.
    pub contexts: Vec<Context>,
}

/// What one context publishes.
#[derive(Debug)]
pub struct Context {
    /// `order`.
    pub name: String,
    /// `proto/souk/order/v1/events.proto`.
    pub file: String,
    /// What the file says of all of them.
    pub comment: String,
    pub events: Vec<Event>,
}

impl Context {
    /// `SOUK_ORDER`: the JetStream stream that its events are in.
    pub fn stream(&self) -> String {
        format!("SOUK_{}", self.name.to_uppercase())
    }
}

/// One event.
#[derive(Debug)]
pub struct Event {
    /// `souk.order.v1.order.order_placed`.
    pub subject: &'static str,
    /// The payload; its full name is the event's type.
    pub message: Message,
    /// The contexts that take it in.
    pub consumers: Vec<String>,
}

/// A header of every message.
pub struct Header {
    pub name: &'static str,
    pub meaning: &'static str,
    /// What it always is.
    pub always: Option<&'static str>,
    /// A format of JSON Schema.
    pub format: Option<&'static str>,
    /// Whether no message is without it.
    pub required: bool,
}

const fn header(name: &'static str, meaning: &'static str) -> Header {
    Header { name, meaning, always: None, format: None, required: true }
}

/// What `messaging` writes; its test `events_travel_as_the_catalogue_says` compares.
pub const HEADERS: [Header; 9] = [
    Header { always: Some("1.0"), ..header("ce-specversion", "The version of CloudEvents.") },
    Header {
        format: Some("uuid"),
        ..header("ce-id", "The event's id, the same at every delivery. Consumers take an id once.")
    },
    header("ce-source", "The context that publishes it."),
    header("ce-type", "The full name of the payload's message."),
    Header {
        format: Some("uuid"),
        ..header("ce-subject", "The aggregate that it happened to. Its last byte is the shard.")
    },
    Header {
        format: Some("date-time"),
        ..header("ce-time", "When it was written, by the clock of the database that wrote it.")
    },
    Header { always: Some("application/protobuf"), ..header("content-type", "How to read it.") },
    Header {
        format: Some("uuid"),
        ..header(
            "Nats-Msg-Id",
            "`ce-id` again: JetStream takes it once within ten seconds. A saving, not a guarantee.",
        )
    },
    Header {
        required: false,
        ..header(
            "traceparent",
            "W3C Trace Context of what caused the event. Consumers continue that trace.",
        )
    },
];

impl Catalogue {
    /// Reads contracts and services.
    pub fn read(root: &Path) -> Result<Self, String> {
        Self::of(descriptors::files()?, &services::read(root)?)
    }

    fn of(files: Vec<File>, services: &[Service]) -> Result<Self, String> {
        let contexts =
            files.into_iter().map(|file| context(file, services)).collect::<Result<Vec<_>, _>>()?;
        services.iter().try_for_each(|service| fits(service, &contexts))?;
        Ok(Self { contexts })
    }
}

fn context(file: File, services: &[Service]) -> Result<Context, String> {
    let name = file.path.split('/').nth(2).unwrap_or_default().to_owned();
    let publisher = services.iter().find(|service| service.context == name);
    let publisher = publisher.ok_or_else(|| format!("{}: no services/{name}", file.path))?;
    let mut events = Vec::new();
    for message in file.messages {
        let event = message.name().to_owned();
        if message.comment.is_empty() {
            return Err(format!("{}: {event}: say in a comment what happened", file.path));
        }
        if !publisher.words.contains(&event) {
            return Err(format!("services/{name}/src/events.rs never publishes {event}"));
        }
        let known = proto::event::EVENTS.iter().find(|(kind, _)| *kind == message.full_name);
        let (_, subject) =
            known.ok_or_else(|| format!("{event} is not in proto::event::EVENTS"))?;
        let listens = |service: &&Service| service.wants.contains(&event);
        let consumers = services.iter().filter(listens).map(|it| it.context.clone()).collect();
        events.push(Event { subject, message, consumers });
    }
    Ok(Context { name, file: file.path, comment: file.comment, events })
}

/// A service reads the streams of just those contexts whose events it handles.
fn fits(service: &Service, contexts: &[Context]) -> Result<(), String> {
    let mut sources = BTreeSet::new();
    for wanted in &service.wants {
        let of = contexts.iter().find(|it| it.events.iter().any(|e| e.message.name() == wanted));
        let of =
            of.ok_or_else(|| format!("{} wants {wanted}, which is no event", service.context))?;
        sources.insert(of.name.clone());
    }
    if sources == service.sources {
        return Ok(());
    }
    let (context, reads) = (&service.context, &service.sources);
    Err(format!("{context} wants events of {sources:?}, but reads the streams of {reads:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(break_it: impl Fn(&mut Vec<File>, &mut Vec<Service>)) -> String {
        let mut files = descriptors::files().unwrap();
        let mut services = services::read(crate::root()).unwrap();
        break_it(&mut files, &mut services);
        Catalogue::of(files, &services).map(|_| "nothing".to_owned()).unwrap_or_else(|error| error)
    }

    fn product(services: &mut [Service]) -> &mut Service {
        services.iter_mut().find(|service| service.context == "product").unwrap()
    }

    #[test]
    fn what_does_not_fit_together_is_found() {
        assert_eq!(complaint(|_, _| ()), "nothing");
        let silent = complaint(|files, _| {
            let events = files.iter_mut().find(|file| file.path.ends_with("order/v1/events.proto"));
            events.unwrap().messages[0].comment.clear();
        });
        assert!(silent.contains("OrderPlaced: say in a comment"), "{silent}");
        let unpublished = complaint(|_, all| assert!(product(all).words.remove("StockRejected")));
        assert!(unpublished.contains("never publishes StockRejected"), "{unpublished}");
        let unknown = complaint(|_, all| assert!(product(all).wants.insert("OrderLost".into())));
        assert!(unknown.contains("OrderLost, which is no event"), "{unknown}");
        let unheard = complaint(|_, all| assert!(product(all).wants.insert("UserErased".into())));
        assert!(unheard.contains("reads the streams of {\"order\"}"), "{unheard}");
        let unread = complaint(|_, all| assert!(product(all).sources.insert("payment".into())));
        assert!(unread.contains("but reads the streams of"), "{unread}");
    }
}
