//! A simulator of an external payment service provider (PSP): a real process with a durable ledger of its own, that can
//! decline, hang, answer 500 after charging, drop the connection and send webhooks twice. It stands for a company outside
//! the shop, so it shares no code with it.

pub mod config;
pub mod amount;
pub mod ledger;
pub mod behaviour;
pub mod problem;
pub mod id;
mod request;
mod answer;
mod api;
mod webhook;
mod server;
mod healthcheck;

pub use self::{
    config::{Cli, Command, Config},
    healthcheck::healthcheck,
    server::Server,
};

/// Serves until `shutdown` and drains: the whole process but for its log and its signals.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    Server::bind(config).await?.serve(shutdown).await
}
