//! The workbench: a context that publishes, and one that counts what it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use database::{Database, Tx};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use kernel::{OrderId, Shard};
use messaging::{
    Bus, Consumer, Delivered, Handler, HandlerError, Options, Outbox, Outgoing, ProvisionerOptions,
    Relay,
};
use proto::order::v1::{OrderCancelled, OrderConfirmed};
use testkit::{World, eventually};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const SOON: Duration = Duration::from_secs(30);

/// A database with the messaging schema and a table of effects, connected to the test's NATS.
pub struct Context {
    pub world: World,
    pub urls: Vec<String>,
    pub database: Database,
    pub outbox: Outbox,
    pub bus: Bus,
}

impl Context {
    pub async fn new(shards: usize) -> Self {
        Self::with_nats(1, shards).await
    }

    /// With so many nats-servers, each of which has every stream. Order's events are for `test`.
    pub async fn with_nats(servers: u8, shards: usize) -> Self {
        Self::with_replicas(servers.into(), servers, shards).await
    }

    /// The same, with so many copies of each stream.
    pub async fn with_replicas(replicas: usize, servers: u8, shards: usize) -> Self {
        let options = ProvisionerOptions { nats_replicas: replicas, ..Default::default() };
        Self::provisioned(World::with_nats(servers), options, &["test"], shards).await
    }

    /// Order's events are for these.
    pub async fn of(consumers: &[&'static str], shards: usize) -> Self {
        let options = ProvisionerOptions::default();
        Self::provisioned(World::with_nats(1), options, consumers, shards).await
    }

    /// The same, with streams of so many bytes.
    pub async fn narrow(consumers: &[&'static str], stream_max_bytes: i64) -> Self {
        let options =
            ProvisionerOptions { nats_stream_max_bytes: stream_max_bytes, ..Default::default() };
        Self::provisioned(World::with_nats(1), options, consumers, 1).await
    }

    async fn provisioned(
        mut world: World,
        options: ProvisionerOptions,
        consumers: &[&'static str],
        shards: usize,
    ) -> Self {
        let sources = |&context: &&'static str| (context, &["order"] as &[&str]);
        let topology = consumers.iter().map(sources).chain([("reader", &["user"] as &[&str])]);
        world.provision(options, topology.collect());
        let urls = world.databases("messaging", shards);
        let database = connect(&urls).await;
        database.migrate(|| vec![messaging::migrator()]).await.unwrap();
        for url in &urls {
            world.sql(url, "create table effects (event_id uuid not null, order_id uuid not null)");
        }
        let bus = bus(&world).await;
        let outbox = Outbox::new(&database);
        Self { world, urls, database, outbox, bus }
    }

    /// Publishes one `OrderConfirmed` on this shard in a transaction of its own.
    pub async fn confirm(&self, shard: Shard) -> OrderId {
        let id = OrderId::mint_on(shard);
        let event = OrderConfirmed { order_id: id.to_string(), ..OrderConfirmed::default() };
        self.publish(shard, vec![Outgoing::new(id, &event)]).await.unwrap();
        id
    }

    /// Publishes events on this shard in a transaction of their own.
    pub async fn publish(&self, shard: Shard, events: Vec<Outgoing>) -> Result<(), sqlx::Error> {
        let outbox = self.outbox.clone();
        let publish = self
            .database
            .transaction(shard, move |tx| async move { outbox.publish(tx, &events).await }.boxed());
        publish.await
    }

    pub fn relay(&self, stop: &CancellationToken) -> JoinHandle<anyhow::Result<()>> {
        let relay = Relay::new("order", &self.bus, &self.database, &self.outbox);
        tokio::spawn(relay.run(stop.clone()))
    }

    pub fn upkeep(&self, context: &'static str, stop: &CancellationToken) {
        tokio::spawn(messaging::upkeep(context, self.database.clone(), stop.clone()));
    }

    pub fn consume(&self, handler: Effects, stop: &CancellationToken) {
        self.consume_as("test", handler, stop);
    }

    /// As the context of this name. Metrics are the process's, so whoever looks at them needs one.
    pub fn consume_as(
        &self,
        context: &'static str,
        handler: Effects,
        stop: &CancellationToken,
    ) -> JoinHandle<anyhow::Result<()>> {
        let consumer = Consumer { context, source: "order", handler };
        tokio::spawn(consumer.run(self.bus.clone(), self.database.clone(), stop.clone()))
    }

    /// How many rows the statement counts, over all databases.
    pub fn count(&self, from: &str) -> usize {
        let counts = self
            .urls
            .iter()
            .map(|url| self.world.sql(url, &format!("select count(*) from {from}")));
        counts.map(|count| last_number(&count)).sum()
    }

    /// Waits until every event has had exactly one effect.
    pub async fn settled(&self, events: usize) {
        eventually("every event has its effect", SOON, async || {
            (self.count("effects") >= events).then_some(())
        })
        .await;
        assert_eq!(self.count("effects"), events);
        assert_eq!(self.count("(select distinct event_id from effects) e"), events);
    }
}

fn last_number(printed: &str) -> usize {
    let mut digits = printed.split_whitespace().filter_map(|word| word.parse().ok());
    digits.next_back().unwrap_or_else(|| panic!("no number in {printed:?}"))
}

pub async fn connect(urls: &[String]) -> Database {
    connect_with(urls, 20).await
}

/// With so many connections at most.
pub async fn connect_with(urls: &[String], connections: u32) -> Database {
    let options = database::Options {
        database_urls: urls.iter().map(|url| url.clone().into()).collect(),
        database_connections: connections.try_into().unwrap(),
        database_acquire_ms: testkit::ACQUIRE_MS.try_into().unwrap(),
    };
    Database::connect(&options, "messaging test").await.unwrap()
}

pub async fn bus(world: &World) -> Bus {
    bus_at(world.nats_url()).await
}

pub async fn bus_at(url: &str) -> Bus {
    Bus::connect(&Options::at(url), "messaging test").await.unwrap()
}

/// Writes a row for each event; fails as told.
#[derive(Clone, Default)]
pub struct Effects {
    pub panics_at: Option<OrderId>,
    pub refuses_at: Option<OrderId>,
    /// So many batches fail for a reason that passes.
    pub outages: Arc<AtomicUsize>,
    pub batches: Arc<AtomicUsize>,
    /// Each batch waits until there is a permit, and keeps it.
    pub gate: Option<Arc<Semaphore>>,
}

impl Handler for Effects {
    fn wants(&self, kind: &str) -> bool {
        kind.ends_with("OrderConfirmed") || kind.ends_with("OrderCancelled")
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.batches.fetch_add(1, Ordering::SeqCst);
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            for event in events {
                if event.is::<OrderCancelled>() {
                    event.decode::<OrderCancelled>()?;
                }
                let id = OrderId::from(event.aggregate_id);
                assert_ne!(self.panics_at, Some(id), "told to panic");
                if self.refuses_at == Some(id) {
                    return Err(HandlerError::Poison("told to refuse".into()));
                }
                #[expect(clippy::disallowed_methods, reason = "a table of the test's own")]
                sqlx::query("insert into effects values ($1, $2)")
                    .bind(event.event_id)
                    .bind(event.aggregate_id)
                    .execute(&mut **tx)
                    .await?;
            }
            let outage = |left: usize| left.checked_sub(1);
            if self.outages.fetch_update(Ordering::SeqCst, Ordering::SeqCst, outage).is_ok() {
                return Err(HandlerError::Transient(sqlx::Error::PoolTimedOut.into()));
            }
            Ok(())
        })
    }
}
