//! The chassis of a process: everything that a process of the shop is before it is *this* process. Configuration,
//! start order, the admin port, health, and an orderly end.
//!
//! A service is a straight line from its parts to its end, and its `main` is a sentence:
//!
//! ```no_run
//! # #[derive(clap::Args)] struct Config { #[command(flatten)] service: service::Options,
//! #     #[command(flatten)] telemetry: telemetry::Options, #[command(flatten)] tls: rpc::tls::Options }
//! # impl service::HasOptions for Config {
//! #     fn service(&self) -> &service::Options { &self.service }
//! #     fn telemetry(&self) -> &telemetry::Options { &self.telemetry } }
//! async fn run(config: Config, shutdown: service::Shutdown) -> anyhow::Result<()> {
//!     let tasks = service::Tasks::new(&shutdown);
//!     let identity = rpc::Identity::load(&config.tls)?;
//!     let health = service::admin::start(&config.service, &tasks, identity.open_http1()).await?;
//!     let listener = service::bind(config.service.listen).await?;
//!     // connect to the stores with `wait_for`, spawn relays and consumers on `tasks` …
//!     health.ready(true);
//!     // … and serve on the listener until `shutdown.requested()`.
//!     # drop(listener);
//!     shutdown.requested().await;
//!     tasks.finish().await
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     service::main("order", service::nothing_to_migrate, run)
//! }
//! ```

mod allocator;
mod options;
mod files;
mod command;
mod process;
mod signals;
mod shutdown;
mod tasks;
mod wait;
mod listener;
mod health;
mod healthcheck;
pub mod admin;

pub use command::{UsageError, settings};
pub use health::{Component, Health};
pub use listener::{bind, reserve};
pub use options::{HasOptions, Options};
pub use process::{main, main_with, nothing_to_migrate, verdict};
pub use shutdown::Shutdown;
pub use tasks::Tasks;
pub use wait::{Interrupted, wait_for};
