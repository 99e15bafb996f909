//! A supervisor in the background: how it is started, and how one waits for it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use souk::cli::{SERVICES, Up};
use tokio::time::{Instant, sleep};

use crate::layout::Layout;
use crate::process::Process;
use crate::state::{Phase, State};

/// The hidden verb.
pub const VERB: &str = "supervise";

const POLL: Duration = Duration::from_millis(20);
/// Timeout until the shop is ready: after a crash PostgreSQL may have to replay its write-ahead log.
const READY_MAX: Duration = Duration::from_secs(180);

/// Starts a supervisor and waits until its shop is ready.
///
/// # Errors
/// When it ends before that; its own message is the error.
pub async fn start(layout: &Layout, up: &Up) -> Result<State> {
    let from = std::fs::metadata(log(layout)).map_or(0, |meta| meta.len());
    let mut child = spawn(layout, up)?;
    let supervisor = Process::of(child.id()).context("the supervisor ended at once")?;
    let mut ended =
        || child.try_wait().ok().flatten().map(|status| complaint(layout, from, status));
    wait(layout, &supervisor, &mut ended).await
}

/// Waits until the shop of this supervisor is ready; `ended` tells why it is not going to be.
///
/// # Errors
/// When the supervisor ends, or takes too long.
pub async fn wait(
    layout: &Layout,
    supervisor: &Process,
    mut ended: impl FnMut() -> Option<String>,
) -> Result<State> {
    let deadline = Instant::now() + READY_MAX;
    while Instant::now() < deadline {
        if let Some(reason) = ended() {
            bail!(reason);
        }
        match State::read(layout)? {
            Some(state) if state.supervisor == *supervisor && state.phase == Phase::Ready => {
                return Ok(state);
            }
            _ if !supervisor.alive() && ended().is_none() => {
                bail!("the supervisor ended; see {}", log(layout).display())
            }
            _ => sleep(POLL).await,
        }
    }
    bail!("the shop is not ready after {} s; see {}", READY_MAX.as_secs(), log(layout).display())
}

fn spawn(layout: &Layout, up: &Up) -> Result<Child> {
    let output = OpenOptions::new().create(true).append(true).mode(0o600).open(log(layout))?;
    let errors = output.try_clone()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(VERB).args(arguments(up)).stdin(Stdio::null()).stdout(output).stderr(errors);
    // Arguments can be read by everybody on the machine, the environment cannot.
    let urls = [
        ("SOUK_POSTGRES_URL", &up.stores.postgres_url),
        ("SOUK_REDIS_URL", &up.stores.redis_url),
        ("SOUK_NATS_URL", &up.stores.nats_url),
    ];
    for (name, url) in urls {
        match url {
            Some(url) => command.env(name, url),
            None => command.env_remove(name),
        };
    }
    command.spawn().context("cannot start the supervisor")
}

fn arguments(up: &Up) -> Vec<String> {
    let replicas = SERVICES.map(|service| format!("{service}={}", up.replicas.of(service)));
    vec![
        "--detach".into(),
        format!("--port={}", up.port),
        format!("--shards={}", up.shards),
        format!("--replicas={}", replicas.join(",")),
    ]
}

fn log(layout: &Layout) -> std::path::PathBuf {
    layout.log_of("supervisor")
}

/// A supervisor that fails says why as the last thing it does, possibly on several lines. What
/// earlier ones said is not asked.
fn complaint(layout: &Layout, from: u64, status: ExitStatus) -> String {
    let text = std::fs::read(log(layout)).unwrap_or_default();
    let since = text.get(usize::try_from(from).unwrap_or_default()..).unwrap_or_default();
    match String::from_utf8_lossy(since).split_once("error: ") {
        Some((_, why)) => why.trim_end().to_owned(),
        None => format!("the supervisor ended ({status}); see {}", log(layout).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use souk::cli::{Cli, Verb};

    #[test]
    fn the_supervisor_is_told_what_up_was_told_but_for_secrets() {
        let given = ["cargo-souk", "up", "--port=9000", "--shards=2", "--replicas=order=2"];
        let url = "--postgres-url=postgres://me:secret@host/db";
        let Cli { verb: Verb::Up(up) } =
            <Cli as clap::Parser>::parse_from(given.iter().copied().chain([url]))
        else {
            panic!("it is up")
        };
        let arguments = arguments(&up);
        assert!(!arguments.join(" ").contains("secret"));
        let again = ["cargo-souk".to_owned(), "up".to_owned()].into_iter().chain(arguments);
        let Cli { verb: Verb::Up(again) } = <Cli as clap::Parser>::parse_from(again) else {
            panic!("it is up")
        };
        assert_eq!((again.port, again.shards), (9000, 2));
        assert!(again.detach);
        assert_eq!(again.replicas.of("order"), 2);
        assert_eq!(again.replicas.of("cart"), 1);
    }
}
