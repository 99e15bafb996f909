//! The other contexts, as far as the bus is concerned: one that publishes to the service under
//! test, and the events that the service publishes itself.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use database::{Database, ONLY_SHARD};
use futures_util::{FutureExt as _, StreamExt as _};
use messaging::{Bus, Outbox, Outgoing, Relay};
use proto::event::Event;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{ACQUIRE_MS, World, eventually};

/// Publishes in the name of a context, through an outbox and a relay of its own.
pub struct Publisher {
    database: Database,
    outbox: Outbox,
    _relay: DropGuard,
}

impl Publisher {
    /// A context with an empty database.
    pub async fn new(world: &World, context: &'static str) -> Self {
        let options = database::Options {
            database_urls: world.databases(context, 1).into_iter().map(Into::into).collect(),
            database_connections: 4.try_into().expect("above zero"),
            database_acquire_ms: ACQUIRE_MS.try_into().expect("above zero"),
        };
        let database = Database::connect(&options, "publisher").await.expect("PostgreSQL");
        database.migrate(|| vec![messaging::migrator()]).await.expect("the schema");
        let outbox = Outbox::new(&database);
        let bus = Bus::connect(&nats(world), "publisher").await.expect("NATS");
        let stop = CancellationToken::new();
        tokio::spawn(Relay::new(context, &bus, &database, &outbox).run(stop.clone()));
        Self { database, outbox, _relay: stop.drop_guard() }
    }

    /// Publishes an event of this aggregate. It is on its way when this returns.
    pub async fn publish<E: Event>(&self, aggregate: impl Into<Uuid>, event: &E) {
        let (outbox, outgoing) = (self.outbox.clone(), [Outgoing::new(aggregate, event)]);
        let publish = self.database.transaction(ONLY_SHARD, move |tx| {
            async move { outbox.publish(tx, &outgoing).await }.boxed()
        });
        publish.await.expect("a commit");
    }
}

fn nats(world: &World) -> messaging::Options {
    messaging::Options::at(world.nats_url())
}

/// What a context publishes, from the beginning of its stream.
pub struct Published {
    messages: pull::Stream,
}

impl Published {
    /// Reads the stream of `context`, which may yet have to be created.
    pub async fn by(world: &World, context: &str) -> Self {
        let bus = Bus::connect(&nats(world), "reader").await.expect("NATS");
        let jetstream = async_nats::jetstream::new(bus.client().clone());
        let name = format!("SOUK_{}", context.to_uppercase());
        let stream = eventually("the stream", Duration::from_secs(30), async || {
            jetstream.get_stream(&name).await.ok()
        });
        let stream = stream.await;
        let consumer = stream.create_consumer(pull::Config::default()).await.expect("a consumer");
        Self { messages: consumer.messages().await.expect("messages") }
    }

    /// The next event, with its type, within `limit`. Events come in the order of the stream.
    pub async fn next(&mut self, limit: Duration) -> Option<(String, bytes::Bytes)> {
        let message = tokio::time::timeout(limit, self.messages.next()).await.ok()??;
        let message = message.expect("a message");
        message.ack().await.expect("an acknowledgement");
        let kind = message.headers.as_ref()?.get("ce-type")?.to_string();
        Some((kind, message.payload.clone()))
    }

    /// Waits for the next event, which must be an `E`.
    pub async fn expect<E: Event>(&mut self) -> E {
        let limit = Duration::from_secs(30);
        let (kind, payload) = self.next(limit).await.unwrap_or_else(|| panic!("no {}", E::TYPE));
        assert_eq!(kind, E::TYPE);
        E::decode(payload).expect("its payload")
    }

    /// Waits for the first `E` that fits; others are passed over.
    pub async fn find<E: Event>(&mut self, fits: impl Fn(&E) -> bool) -> E {
        let limit = Duration::from_secs(30);
        loop {
            let next = self.next(limit).await;
            let (kind, payload) = next.unwrap_or_else(|| panic!("no such {}", E::TYPE));
            if kind == E::TYPE {
                let event = E::decode(payload).expect("its payload");
                if fits(&event) {
                    return event;
                }
            }
        }
    }
}
