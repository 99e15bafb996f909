//! From `main` to the exit code.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::command::{self, Action, EXIT_USAGE, UsageError};
use crate::signals::Signals;
use crate::tasks::caught;
use crate::wait::Interrupted;
use crate::{HasOptions, Options, Shutdown, healthcheck};

/// Timeout for tasks that still run on the runtime after the service has returned.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);
/// Threads for calls that block; tokio's own limit of 512 would be most of the memory of the process.
const BLOCKING_THREADS_MAX: usize = 64;

/// [`main_with`] for a process that has no further commands.
pub fn main<C, M, R>(
    name: &'static str,
    migrate: impl FnOnce(C) -> M,
    run: impl FnOnce(C, Shutdown) -> R,
) -> ExitCode
where
    C: Args + HasOptions,
    M: Future<Output = anyhow::Result<()>>,
    R: Future<Output = anyhow::Result<()>>,
{
    let none = async |_: &'static str, _: Options, none: Infallible| match none {};
    main_with(name, migrate, none, run)
}

/// The whole of a process's `main`: reads the command line into `C`, then serves (`run`), migrates (`migrate`) or asks
/// a running process for its health. `operate` does the process's own commands `V`, for which only its name and the
/// settings `O` are needed.
///
/// Exit codes: 0 after an orderly end, 64 when the command line or the environment is wrong, 1 for everything else,
/// with one line on stderr that has the error and its sources.
pub fn main_with<C, O, V, M, P, R>(
    name: &'static str,
    migrate: impl FnOnce(C) -> M,
    operate: impl FnOnce(&'static str, O, V) -> P,
    run: impl FnOnce(C, Shutdown) -> R,
) -> ExitCode
where
    C: Args + HasOptions,
    O: Args,
    V: Subcommand,
    M: Future<Output = anyhow::Result<()>>,
    P: Future<Output = anyhow::Result<()>>,
    R: Future<Output = anyhow::Result<()>>,
{
    raise_open_files();
    // rustls asks for a default provider only where none was named; it fails if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match command::read::<C, O, V>(name) {
        Err(code) => return code,
        Ok(Action::Healthcheck(options, tls_dir)) => {
            healthcheck::ask(name, options.admin_listen, tls_dir.as_deref())
        }
        Ok(Action::Operate(options, verb)) => runtime(name, None)
            .map_err(Into::into)
            .and_then(|runtime| runtime.block_on(caught(operate(name, options, verb)))),
        Ok(Action::Migrate(config)) => {
            with_runtime(name, config, async |config| caught(migrate(config)).await)
        }
        Ok(Action::Serve(config)) => {
            with_runtime(name, config, async |config| serve(config, run).await)
        }
    };
    result.map_or_else(|error| report(name, &error), |()| ExitCode::SUCCESS)
}

/// A server holds more sockets than the 1,024 files that a login shell, or a container runtime, gives by default. What
/// the machine allows beyond is for the asking; if it is refused, the limit stays what it was.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// `migrate` of a process without a database.
///
/// # Errors
/// Never.
pub async fn nothing_to_migrate<C>(_: C) -> anyhow::Result<()> {
    tracing::info!("nothing to migrate");
    Ok(())
}

fn with_runtime<C: HasOptions>(
    name: &'static str,
    config: C,
    body: impl AsyncFnOnce(C) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let runtime =
        runtime(name, config.service().worker_threads.map(usize::from)).context("runtime")?;
    let telemetry = {
        let _entered = runtime.enter(); // the exporter lives on the runtime
        telemetry::init(name, config.telemetry())?
    };
    let result = runtime.block_on(body(config));
    telemetry.shutdown();
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    result
}

fn runtime(name: &'static str, workers: Option<usize>) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name(name).max_blocking_threads(BLOCKING_THREADS_MAX);
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.build()
}

async fn serve<C, R>(config: C, run: impl FnOnce(C, Shutdown) -> R) -> anyhow::Result<()>
where
    C: HasOptions,
    R: Future<Output = anyhow::Result<()>>,
{
    let shutdown = Shutdown::new();
    let signals = Signals::catch().context("signals")?;
    tokio::spawn(signals.obey(config.service().clone(), shutdown.clone()));
    tracing::info!(version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "starting");
    let result = caught(run(config, shutdown.clone())).await;
    verdict(result, &shutdown)
}

/// How a service ended: well only when it was asked to end and nothing in it failed.
///
/// # Errors
/// The first failure, or that it ended by itself.
pub fn verdict(result: anyhow::Result<()>, shutdown: &Shutdown) -> anyhow::Result<()> {
    if let Some(failure) = shutdown.take_failure() {
        return Err(failure);
    }
    match result {
        Err(error) if error.is::<Interrupted>() => {}
        Err(error) => return Err(error),
        Ok(()) => {
            anyhow::ensure!(shutdown.is_draining(), "the service ended although nobody asked it to")
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// One line, whatever is in the error.
fn report(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {}", format!("{error:#}").replace('\n', " "));
    if error.is::<UsageError>() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}
