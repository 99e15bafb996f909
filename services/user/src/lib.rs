//! The user context: accounts, credentials, addresses, and who is signed in.

mod config;
pub mod domain;
mod app;
mod hashing;
mod passwords;
mod tokens;
mod store;
mod revocations;
mod events;
mod grpc;
mod convert;

use std::path::Path;

use anyhow::Context as _;
use cache::redis::Redis;
use database::Database;
use futures_util::future::LocalBoxFuture;
use identity::Signer;
use messaging::{Bus, Outbox, Relay};
use proto::user::v1::user_service_server::{SERVICE_NAME, UserServiceServer};
use rpc::{Identity, Routes, ServerOptions};
use secrecy::ExposeSecret as _;
use service::{Shutdown, Tasks, UsageError, wait_for};
use sqlx::migrate::Migrator;

pub use config::Config;

use app::App;
use domain::{Registration, Rejection};
use grpc::Grpc;
use passwords::Passwords;
use tokens::Tokens;

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
    let tokens = Tokens::new(Signer::load(&config.token_signing_key)?);
    let staff = staff(&config)?;

    let database =
        wait_for("PostgreSQL", &shutdown, || Database::connect(&config.database, "user")).await?;
    database.migrate(schema).await?;
    let bus = Bus::connect(&config.messaging, "user").await?;

    let outbox = Outbox::new(&database);
    let app = App::new(&database, &outbox, Passwords::new().await?, tokens);
    if let Some(staff) = staff {
        wait_for("the staff account", &shutdown, || app.seed_staff(staff.clone())).await?;
    }

    let stop = shutdown.token();
    tasks.keep("relay", Relay::new("user", &bus, &database, &outbox).run(stop.clone()));
    tasks.keep("upkeep", messaging::upkeep("user", database.clone(), stop.clone()));
    tasks.keep("retention", database.clone().run_retention(store::RETENTION, stop.clone()));

    let (verifier, revocations) = identity::Verifier::start(&config.identity, stop.clone()).await?;
    tasks.keep("revocations", revocations);
    let redis = Redis::new(&config.identity.redis, "write revocations")?;
    tasks.keep("publisher", revocations::publish(database.clone(), redis, stop.clone()));
    let routes = Routes::new(UserServiceServer::new(Grpc::new(app, verifier)));
    let options = ServerOptions { services: &[SERVICE_NAME], ..ServerOptions::default() };
    let stored = database.clone();
    health.check("PostgreSQL", move || stored.clone().check());
    health.ready(true);
    rpc::serve(listener, identity, routes, options, stop).await?;
    tasks.finish().await?;
    database.close().await;
    Ok(())
}

/// Brings the database to the newest version: `user migrate`.
pub fn migrate(config: Config) -> LocalBoxFuture<'static, anyhow::Result<()>> {
    Box::pin(database::migrate(config.database, "user migrate", schema))
}

fn schema() -> Vec<Migrator> {
    vec![messaging::migrator(), sqlx::migrate!()]
}

/// The staff account that the configuration asks for.
fn staff(config: &Config) -> anyhow::Result<Option<Registration>> {
    let (Some(email), Some(file)) = (&config.staff_email, &config.staff_password_file) else {
        return Ok(None);
    };
    let password = first_line(file)?;
    let registration = Registration::new(email.expose_secret(), password, "Staff");
    Ok(Some(registration.map_err(|rejection| UsageError(unusable(&rejection)))?))
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file);
    let text = text.with_context(|| format!("reading {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn unusable(rejection: &Rejection) -> String {
    let Rejection::Invalid(faults) = rejection else { return rejection.to_string() };
    let faults: Vec<_> =
        faults.iter().map(|fault| format!("{} {}", fault.field, fault.detail)).collect();
    format!("the staff account: {}", faults.join(", "))
}
