//! The order context: takes orders and brings each to its end.

mod config;
pub mod domain;
mod app;
mod store;
mod events;
mod grpc;
mod convert;
mod peers;
mod watch;

use std::time::Duration;

use database::Database;
use futures_util::future::LocalBoxFuture;
use messaging::{Bus, Consumer, Outbox, Relay};
use proto::order::v1::order_service_server::{OrderServiceServer, SERVICE_NAME};
use rpc::{Identity, Routes, ServerOptions};
use service::{Shutdown, Tasks, wait_for};
use sqlx::migrate::Migrator;

pub use config::Config;

use app::App;
use events::Events;
use grpc::Grpc;
use peers::Peers;
use watch::Watch;

/// The contexts that orders react to.
const SOURCES: [&str; 3] = ["product", "payment", "user"];

/// Interval of the recovery of orphaned checkouts.
const CHECKOUTS_EVERY: Duration = Duration::from_secs(5);

/// Runs the service until shutdown.
pub fn run(config: Config, shutdown: Shutdown) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(serve(config, shutdown)) // boxed, it is compiled here once, not in each caller
}

async fn serve(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let tasks = Tasks::new(&shutdown);
    let identity = Identity::load(&config.tls)?;
    identity.watch(shutdown.token());
    let health = service::admin::start(&config.service, &tasks, identity.open_http1()).await?;
    let listener = service::bind(config.service.listen).await?;

    let database =
        wait_for("PostgreSQL", &shutdown, || Database::connect(&config.database, "order")).await?;
    database.migrate(schema).await?;
    let bus = Bus::connect(&config.messaging, "order").await?;

    let outbox = Outbox::new(&database);
    let peers = Peers::connect(&config, &identity, &database);
    let watch = Watch::new(&bus);
    let app = App::new(&database, &outbox, peers, &watch, config.checkout_deadline);

    let stop = shutdown.token();
    tasks.keep("relay", Relay::new("order", &bus, &database, &outbox).run(stop.clone()));
    tasks.keep("upkeep", messaging::upkeep("order", database.clone(), stop.clone()));
    tasks.keep("retention", database.clone().run_retention(store::RETENTION, stop.clone()));
    for source in SOURCES {
        let handler = Events::new(app.clone());
        let consumer = Consumer { context: "order", source, handler };
        tasks.keep("consumer", consumer.run(bus.clone(), database.clone(), stop.clone()));
    }
    tasks.keep("checkouts", app.clone().resolve_checkouts(CHECKOUTS_EVERY, stop.clone()));
    tasks
        .keep("deadlines", app.clone().enforce_deadlines(Duration::from_millis(500), stop.clone()));

    let (verifier, revocations) = identity::Verifier::start(&config.identity, stop.clone()).await?;
    tasks.keep("revocations", revocations);
    let routes = Routes::new(OrderServiceServer::new(Grpc::new(app, verifier)));
    let options = ServerOptions { services: &[SERVICE_NAME], ..ServerOptions::default() };
    let stored = database.clone();
    health.check("PostgreSQL", move || stored.clone().check());
    health.ready(true);
    rpc::serve(listener, identity, routes, options, stop).await?;
    tasks.finish().await?;
    database.close().await;
    Ok(())
}

/// Brings the databases to the newest version: `order migrate`.
pub fn migrate(config: Config) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(database::migrate(config.database, "order migrate", schema))
}

fn schema() -> Vec<Migrator> {
    vec![messaging::migrator(), sqlx::migrate!()]
}
