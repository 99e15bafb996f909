//! The shop's front door: REST and JSON for programs, pages for people, gRPC inside. It keeps no state: whatever it
//! answers is a function of the request, of what the services reply, and for a browser of its session in Redis.

mod config;
mod app;
mod pages;
mod views;
mod audit;
mod problem;
mod token;
mod path;
mod query;
mod prefer;
mod host;
mod body;
mod json;
mod lines;
mod render;
mod conditional;
mod live;
mod sse;
mod class;
mod trace;
mod stack;
mod sessions;
mod storefront;
mod routes;
mod server;

use futures_util::future::BoxFuture;
use rpc::Identity;
use service::{Shutdown, Tasks};

pub use config::Config;
pub use routes::paths;

use app::App;

/// Serves until shutdown.
///
/// # Errors
/// A port or the certificate is not to be had.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(serve(config, shutdown)) // boxed, it is compiled here once, not in each caller
}

async fn serve(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let tasks = Tasks::new(&shutdown);
    let identity = Identity::load(&config.tls)?;
    identity.watch(shutdown.token());
    let health = service::admin::start(&config.service, &tasks, identity.open_http1()).await?;
    let listeners = server::listen(&config, &identity).await?;

    let app = App::connect(&config, &identity, shutdown.token())?;
    tasks.keep("changes", app.pages().clone().follow(shutdown.token()));
    tasks.keep("views", app.views().clone().report(shutdown.token()));
    let every = config.product_audit_interval;
    let audit = audit::run(app.pages().clone(), app.product(), every, shutdown.token());
    tasks.keep("cache audit", audit);
    let views = app.views().clone();
    let routes = routes::all(app, &config);
    health.ready(true);
    server::serve(listeners, &config, routes, &shutdown).await;
    views.report_now().await;
    tasks.finish().await
}
