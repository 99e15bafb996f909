//! The payment context: keeps cards, takes money once and gives it back when it is not wanted.

mod config;
pub mod domain;
mod app;
mod store;
mod events;
mod worker;
mod webhook;
mod grpc;
mod convert;
mod peers;

use std::sync::Arc;

use database::Database;
use futures_util::future::LocalBoxFuture;
use messaging::{Bus, Consumer, Outbox, Relay};
use proto::payment::v1::payment_service_server::{PaymentServiceServer, SERVICE_NAME};
use rpc::{Identity, Routes, ServerOptions};
use service::{Shutdown, Tasks, wait_for};
use sqlx::migrate::Migrator;

pub use config::Config;

use app::App;
use events::Events;
use grpc::Grpc;
use peers::HttpPsp;
use webhook::Signatures;
use worker::{Work, Worker};

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
    let signatures = Signatures::load(&config.psp_webhook_secret_file)?;

    let database =
        wait_for("PostgreSQL", &shutdown, || Database::connect(&config.database, "payment"))
            .await?;
    database.migrate(schema).await?;
    let bus = Bus::connect(&config.messaging, "payment").await?;

    let outbox = Outbox::new(&database);
    let psp = Arc::new(HttpPsp::new(&config.psp_url, config.psp_timeout));
    let (work, handed) = Work::new(config.psp_timeout, config.psp_concurrency);
    let app = App::new(&database, &outbox, work, signatures);

    let stop = shutdown.token();
    tasks.keep("relay", Relay::new("payment", &bus, &database, &outbox).run(stop.clone()));
    tasks.keep("upkeep", messaging::upkeep("payment", database.clone(), stop.clone()));
    tasks.keep("retention", database.clone().run_retention(store::RETENTION, stop.clone()));
    let handler = Events::new(app.clone());
    let consumer = Consumer { context: "payment", source: "order", handler };
    tasks.keep("consumer", consumer.run(bus.clone(), database.clone(), stop.clone()));
    let worker = Worker::new(&app, psp, handed);
    tasks.keep("worker", worker.run(stop.clone()));
    tasks.keep("waiting", app.clone().export_waiting_metrics(stop.clone()));

    let (verifier, revocations) = identity::Verifier::start(&config.identity, stop.clone()).await?;
    tasks.keep("revocations", revocations);
    let routes = Routes::new(PaymentServiceServer::new(Grpc::new(app, verifier)));
    let options = ServerOptions { services: &[SERVICE_NAME], ..ServerOptions::default() };
    let stored = database.clone();
    health.check("PostgreSQL", move || stored.clone().check());
    health.ready(true);
    rpc::serve(listener, identity, routes, options, stop).await?;
    tasks.finish().await?;
    database.close().await;
    Ok(())
}

/// Brings the database to the newest version: `payment migrate`.
pub fn migrate(config: Config) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(database::migrate(config.database, "payment migrate", schema))
}

fn schema() -> Vec<Migrator> {
    vec![messaging::migrator(), sqlx::migrate!()]
}
