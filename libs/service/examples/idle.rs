//! The smallest process on the chassis, for the tests in `tests/it`: it does nothing, and can be told to do that
//! badly.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use service::{HasOptions, Options, Shutdown, Tasks, UsageError};
use tokio::time::sleep;

/// How the process is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Behaviour {
    /// Idle until asked to stop, then finish the work at hand.
    Good,
    /// Take no notice of a stop.
    Deaf,
    /// Block every thread there is.
    Stuck,
    /// A background task returns an error.
    TaskFails,
    /// A background task panics.
    TaskPanics,
    /// A background task that must last returns.
    TaskEnds,
    /// `run` returns an error with a source.
    Fails,
    /// `run` finds a setting that makes no sense.
    Misconfigured,
    /// `run` panics.
    Panics,
    /// `run` returns at once.
    Ends,
    /// Waits for a dependency that never comes.
    Waits,
}

#[derive(clap::Args)]
struct Config {
    #[command(flatten)]
    service: Options,
    #[command(flatten)]
    telemetry: telemetry::Options,
    #[command(flatten)]
    tls: rpc::tls::Options,
    /// Required, as a database's URL would be.
    #[arg(long, env = "SOUK_BEHAVIOUR", hide_env_values = true, value_enum)]
    behaviour: Behaviour,
}

impl HasOptions for Config {
    fn service(&self) -> &Options {
        &self.service
    }

    fn telemetry(&self) -> &telemetry::Options {
        &self.telemetry
    }
}

async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    if config.behaviour == Behaviour::Ends {
        return Ok(());
    }
    let tasks = Tasks::new(&shutdown);
    let identity = rpc::Identity::load(&config.tls)?;
    let health = service::admin::start(&config.service, &tasks, identity.open_http1()).await?;
    let _listener = service::bind(config.service.listen).await?;
    spawn(config.behaviour, &tasks);
    behave(config.behaviour, &shutdown).await?;
    health.ready(true);
    shutdown.requested().await;
    if config.behaviour == Behaviour::Deaf {
        std::future::pending::<()>().await;
    }
    tasks.finish().await?;
    tracing::info!("drained");
    Ok(())
}

fn spawn(behaviour: Behaviour, tasks: &Tasks) {
    let shutdown = tasks.shutdown().clone();
    match behaviour {
        Behaviour::TaskFails => tasks.spawn("relay", async { anyhow::bail!("lost the database") }),
        Behaviour::TaskPanics => tasks.spawn("relay", async { panic!("index out of bounds") }),
        Behaviour::TaskEnds => tasks.keep("relay", async { Ok(()) }),
        _ => tasks.keep("worker", async move {
            shutdown.requested().await;
            sleep(Duration::from_millis(100)).await; // the work at hand
            tracing::info!("work finished");
            Ok(())
        }),
    }
}

async fn behave(behaviour: Behaviour, shutdown: &Shutdown) -> anyhow::Result<()> {
    match behaviour {
        Behaviour::Fails => {
            Err(anyhow::Error::new(io::Error::other("disk full")).context("cannot\nstore"))
        }
        Behaviour::Misconfigured => Err(UsageError("two shards, one URL".to_owned()).into()),
        Behaviour::Panics => panic!("index out of bounds"),
        Behaviour::Waits => Ok(service::wait_for("database", shutdown, refused).await?),
        Behaviour::Stuck => {
            let stuck = shutdown.clone();
            tokio::spawn(async move {
                stuck.draining().await;
                std::thread::sleep(Duration::from_secs(60));
            });
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn refused() -> anyhow::Result<()> {
    anyhow::bail!("connection refused")
}

async fn migrate(config: Config) -> anyhow::Result<()> {
    anyhow::ensure!(config.behaviour == Behaviour::Good, "migration 2 failed");
    Ok(())
}

fn main() -> ExitCode {
    service::main("idle", migrate, run)
}
