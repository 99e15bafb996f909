//! What the engines' tests stand on: a bus in memory, which does at once and exactly what a test tells it to, and a real
//! database. PostgreSQL stays: one effect is one of its transactions, and a handler writes through it, so an engine on a
//! store in memory would show that the store in memory is right.

mod sink;
mod source;

use bytes::Bytes;
use database::Database;
use futures_util::FutureExt as _;
use kernel::{EventId, OrderId, Shard};
use proto::event::Event as _;
use proto::order::v1::OrderConfirmed;
use testkit::World;
use tracing::Span;

pub(crate) use sink::MemorySink;
pub(crate) use source::MemorySource;

use crate::{Delivered, Outbox, Outgoing};

/// All of it lives here.
pub(crate) const HOME: Shard = Shard(3);

/// A database with the messaging schema and a table of effects.
pub(crate) struct Bench {
    world: World,
    url: String,
    pub database: Database,
}

impl Bench {
    pub async fn new() -> Self {
        let world = World::with_nats(0);
        let url = world.databases("messaging", 1).remove(0);
        let options = database::Options {
            database_urls: vec![url.clone().into()],
            database_connections: 4.try_into().unwrap(),
            database_acquire_ms: testkit::ACQUIRE_MS.try_into().unwrap(),
        };
        let database = Database::connect(&options, "messaging test").await.unwrap();
        database.migrate(|| vec![crate::migrator()]).await.unwrap();
        world.sql(&url, "create table effects (event_id uuid not null)");
        Self { world, url, database }
    }

    pub fn sql(&self, statements: &str) -> String {
        self.world.sql(&self.url, statements)
    }

    /// How many rows the statement counts.
    pub fn count(&self, from: &str) -> usize {
        let printed = self.sql(&format!("select count(*) from {from}"));
        let mut words = printed.split_whitespace();
        words.find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{printed}"))
    }

    /// Writes an `OrderConfirmed` to the outbox for each of these, in one transaction. Their ids.
    pub async fn confirm(&self, orders: &[OrderId]) -> Vec<String> {
        let event =
            |id: &OrderId| OrderConfirmed { order_id: id.to_string(), ..Default::default() };
        let events: Vec<_> = orders.iter().map(|id| Outgoing::new(*id, &event(id))).collect();
        let ids = events.iter().map(|event| event.event_id.uuid().to_string()).collect();
        let outbox = Outbox::new(&self.database);
        let publish = self
            .database
            .transaction(HOME, move |tx| async move { outbox.publish(tx, &events).await }.boxed());
        publish.await.unwrap();
        ids
    }

    /// The same for so many new orders.
    pub async fn confirm_new(&self, orders: usize) -> Vec<String> {
        let orders: Vec<_> = (0..orders).map(|_| OrderId::mint_on(HOME)).collect();
        self.confirm(&orders).await
    }
}

/// This many new events, as a stream delivers them.
pub(crate) fn events(count: usize) -> Vec<Delivered> {
    let event = || Delivered {
        event_id: EventId::mint_on(HOME).uuid(),
        kind: OrderConfirmed::TYPE.to_owned(),
        aggregate_id: OrderId::mint_on(HOME).into(),
        occurred_at: kernel::clock::now(),
        span: Span::none(),
        subject: OrderConfirmed::SUBJECT.to_owned(),
        traceparent: None,
        payload: Bytes::new(),
    };
    std::iter::repeat_with(event).take(count).collect()
}
