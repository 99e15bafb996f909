//! The product context: the catalogue, its prices, and the stock that orders hold and ship.

mod config;
pub mod domain;
mod app;
mod store;
mod events;
mod grpc;
mod convert;

use cache::redis::Redis;
use database::Database;
use futures_util::future::LocalBoxFuture;
use messaging::{Bus, Consumer, Outbox, Relay};
use proto::product::v1::product_service_server::{ProductServiceServer, SERVICE_NAME};
use rpc::{Identity, Routes, ServerOptions};
use service::{Shutdown, Tasks, wait_for};
use sqlx::migrate::Migrator;

pub use config::Config;

use app::{App, ChangeFeed, Offers, Popular, Sales};
use events::Events;
use grpc::Grpc;
use store::sales::View;

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
        wait_for("PostgreSQL", &shutdown, || Database::connect(&config.database, "product"))
            .await?;
    database.migrate(schema).await?;
    let bus = Bus::connect(&config.messaging, "product").await?;

    let outbox = Outbox::new(&database);
    let offers = Offers::new(&database, config.cache_bytes, config.cache_life);
    let feed = ChangeFeed::new(&database, &offers);
    let popular = Popular::new(Redis::new(&config.identity.redis, "popular products")?);
    let sales = Sales::new(&database, config.cache_bytes > 0);
    let app = App::new(&database, &outbox, &offers, popular, sales);

    let stop = shutdown.token();
    tasks.keep("relay", Relay::new("product", &bus, &database, &outbox).run(stop.clone()));
    tasks.keep("upkeep", messaging::upkeep("product", database.clone(), stop.clone()));
    tasks.keep("retention", database.clone().run_retention(store::RETENTION, stop.clone()));
    for view in View::ALL.into_iter().filter(|_| !config.refresh_interval.is_zero()) {
        let refresh = app.clone().refresh(view, config.refresh_interval, stop.clone());
        tasks.keep(view.name(), refresh);
    }
    tasks.keep("imports", app.clone().run_imports(stop.clone()));
    tasks.keep("changes", feed.clone().run(stop.clone()));
    let handler = Events::new(&outbox, &offers);
    let consumer = Consumer { context: "product", source: "order", handler };
    tasks.keep("consumer", consumer.run(bus, database.clone(), stop.clone()));
    tasks.keep("overdue", events::count_overdue(database.clone(), stop.clone()));

    app.warm().await;

    let (verifier, revocations) = identity::Verifier::start(&config.identity, stop.clone()).await?;
    tasks.keep("revocations", revocations);
    let routes = Routes::new(ProductServiceServer::new(Grpc::new(app, feed, verifier)));
    let options = ServerOptions { services: &[SERVICE_NAME], ..ServerOptions::default() };
    let stored = database.clone();
    health.check("PostgreSQL", move || stored.clone().check());
    health.ready(true);
    rpc::serve(listener, identity, routes, options, stop).await?;
    tasks.finish().await?;
    database.close().await;
    Ok(())
}

/// Brings the database to the newest version: `product migrate`.
pub fn migrate(config: Config) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(database::migrate(config.database, "product migrate", schema))
}

fn schema() -> Vec<Migrator> {
    vec![messaging::migrator(), sqlx::migrate!()]
}
