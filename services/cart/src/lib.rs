//! The cart context: what people want to buy, and how many of it; never at what price.

mod config;
pub mod domain;
mod app;
mod store;
mod events;
mod grpc;
mod convert;

use std::time::Duration;

use database::Database;
use futures_util::future::LocalBoxFuture;
use messaging::{Bus, Consumer};
use proto::cart::v1::cart_service_server::{CartServiceServer, SERVICE_NAME};
use rpc::{Identity, Routes, ServerOptions};
use service::{Shutdown, Tasks, wait_for};
use sqlx::migrate::Migrator;

pub use config::Config;

use app::App;
use events::Events;
use grpc::Grpc;

/// The contexts that carts react to.
const SOURCES: [&str; 2] = ["order", "user"];

/// Interval of the recovery of interrupted merges.
const MERGES_EVERY: Duration = Duration::from_secs(5);

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
        wait_for("PostgreSQL", &shutdown, || Database::connect(&config.database, "cart")).await?;
    database.migrate(schema).await?;
    let bus = Bus::connect(&config.messaging, "cart").await?;

    let app = App::new(&database);

    let stop = shutdown.token();
    for source in SOURCES {
        let consumer = Consumer { context: "cart", source, handler: Events };
        tasks.keep("consumer", consumer.run(bus.clone(), database.clone(), stop.clone()));
    }
    tasks.keep("upkeep", messaging::upkeep("cart", database.clone(), stop.clone()));
    tasks.keep("retention", database.clone().run_retention(store::RETENTION, stop.clone()));
    tasks.keep("merges", app.clone().finish_merges(MERGES_EVERY, stop.clone()));

    let (verifier, revocations) = identity::Verifier::start(&config.identity, stop.clone()).await?;
    tasks.keep("revocations", revocations);
    let routes = Routes::new(CartServiceServer::new(Grpc::new(app, verifier)));
    let options = ServerOptions { services: &[SERVICE_NAME], ..ServerOptions::default() };
    let stored = database.clone();
    health.check("PostgreSQL", move || stored.clone().check());
    health.ready(true);
    rpc::serve(listener, identity, routes, options, stop).await?;
    tasks.finish().await?;
    database.close().await;
    Ok(())
}

/// Brings the databases to the newest version: `cart migrate`.
pub fn migrate(config: Config) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(database::migrate(config.database, "cart migrate", schema))
}

fn schema() -> Vec<Migrator> {
    vec![messaging::migrator(), sqlx::migrate!()]
}
