//! Where the supervisor of a running shop takes commands to break it: a socket in the shop's folder, which only its owner can open.
//! One JSON document for each connection, and one back.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde::{Deserialize, Serialize};
use souk::cli::{FAULT_SECONDS_MAX, LiveFault};
use stores::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use crate::board::now_unix_ms;
use crate::layout::Layout;
use crate::plan::PSP;
use crate::shop::Shop;

const EXCHANGE_MAX: Duration = Duration::from_secs(2);
/// Connections at a time.
const ANSWERING_MAX: usize = 32;
const AGAIN: Duration = Duration::from_millis(100);
const BYTES_MAX: u64 = 64 << 10;
/// So long an injection is remembered after its end.
const REMEMBERED_MS: i64 = 600_000;
/// So many are remembered at most.
const INJECTIONS_MAX: usize = 200;

/// A fault that was injected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Counted since the shop came up.
    pub id: u64,
    /// A name of [`LiveFault`].
    pub kind: String,
    /// The process or the store.
    pub target: Option<String>,
    /// How long it was to last.
    pub seconds: u64,
    /// When it began, in milliseconds since 1970.
    pub began_unix_ms: i64,
    /// When it was undone; none while it is there.
    pub ended_unix_ms: Option<i64>,
    /// Why it was not injected, or not undone.
    pub error: Option<String>,
}

impl Injection {
    /// ` on TARGET`, if there is one.
    pub fn on(&self) -> String {
        self.target.as_ref().map(|target| format!(" on {target}")).unwrap_or_default()
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    Inject { kind: String, target: Option<String>, seconds: u64 },
    List {},
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Injections(Vec<Injection>),
    Refused(String),
}

/// Has a fault injected; it goes on after this has returned.
///
/// # Errors
/// When the shop is not up, or refuses: there is no such kind or target, or the target is under a fault already.
pub async fn inject(
    layout: &Layout,
    kind: &str,
    target: Option<&str>,
    seconds: u64,
) -> Result<Injection> {
    let target = target.map(str::to_owned);
    let command = Command::Inject { kind: kind.to_owned(), target, seconds };
    let injected = exchange(layout, &command).await?.into_iter().next();
    injected.context("the supervisor does not say what it has done")
}

/// The faults under way and those of the last ten minutes, the oldest first.
///
/// # Errors
/// When the shop is not up.
pub async fn injections(layout: &Layout) -> Result<Vec<Injection>> {
    exchange(layout, &Command::List {}).await
}

async fn exchange(layout: &Layout, command: &Command) -> Result<Vec<Injection>> {
    let asked = async {
        let stream = UnixStream::connect(layout.control_socket()).await;
        let mut stream = stream.context("the shop's supervisor does not take faults")?;
        stream.write_all(&serde_json::to_vec(command)?).await?;
        stream.shutdown().await?;
        let mut reply = Vec::new();
        stream.take(BYTES_MAX * 16).read_to_end(&mut reply).await?;
        anyhow::Ok(serde_json::from_slice(&reply).context("the supervisor broke off")?)
    };
    match timeout(EXCHANGE_MAX * 2, asked).await.context("the supervisor does not answer")?? {
        Reply::Injections(injections) => Ok(injections),
        Reply::Refused(why) => bail!(why),
    }
}

/// What was injected, and what is.
#[derive(Debug, Default)]
struct Injections {
    known: Mutex<Vec<Injection>>,
    count: AtomicU64,
}

impl Injections {
    fn lock(&self) -> MutexGuard<'_, Vec<Injection>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an injection in, unless what it happens to is under one.
    fn begin(
        &self,
        kind: LiveFault,
        target: Option<String>,
        seconds: u64,
    ) -> Result<Injection, String> {
        let mut known = self.lock();
        let under_way = known.iter().filter(|it| it.ended_unix_ms.is_none());
        if let Some(other) = under_way.into_iter().find(|it| same(it, kind, target.as_deref())) {
            return Err(format!("there is a fault already: {}{}", other.kind, other.on()));
        }
        let old = now_unix_ms() - REMEMBERED_MS;
        known.retain(|it| it.ended_unix_ms.is_none_or(|ended| ended >= old));
        let injection = Injection {
            id: self.count.fetch_add(1, Relaxed) + 1,
            kind: kind.name().to_owned(),
            target,
            seconds,
            began_unix_ms: now_unix_ms(),
            ended_unix_ms: None,
            error: None,
        };
        if known.len() >= INJECTIONS_MAX {
            return Err("too many faults in ten minutes".to_owned());
        }
        known.push(injection.clone());
        Ok(injection)
    }

    fn end(&self, id: u64, outcome: Result<()>) {
        let mut known = self.lock();
        if let Some(injection) = known.iter_mut().find(|it| it.id == id) {
            injection.ended_unix_ms = Some(now_unix_ms());
            injection.error = outcome.err().map(|error| format!("{error:#}"));
        }
    }
}

/// Of one thing at a time, and of NATS as a whole.
fn same(other: &Injection, kind: LiveFault, target: Option<&str>) -> bool {
    let what = |kind: &str, target: Option<&str>| match (kind, target) {
        ("nats-wipe" | "nats-rollback", _) => "nats".to_owned(),
        ("provider-errors", _) => PSP.to_owned(),
        ("redis-flush", _) => "redis".to_owned(),
        (_, Some(target)) if target.starts_with("nats") => "nats".to_owned(),
        (_, Some(target)) => target.to_owned(),
        (kind, None) => kind.to_owned(),
    };
    what(&other.kind, other.target.as_deref()) == what(kind.name(), target)
}

/// Takes faults for as long as it is polled; those under way are undone when it is dropped, as far as the shop is not ended.
pub async fn serve(shop: &Shop) -> ! {
    match listen(&shop.layout().control_socket()) {
        Ok(listener) => take(listener, shop).await,
        Err(error) => {
            shop.journal().note(&format!("no faults can be injected: {error:#}"));
            std::future::pending().await
        }
    }
}

async fn take(listener: UnixListener, shop: &Shop) -> ! {
    let known = Injections::default();
    let (mut answering, mut under_way) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            accepted = listener.accept(), if answering.len() < ANSWERING_MAX => match accepted {
                Ok((stream, _)) => {
                    answering.push(timeout(EXCHANGE_MAX, answer(stream, shop, &known)));
                }
                Err(_) => sleep(AGAIN).await, // no more open files, say
            },
            Some(answered) = answering.next() => {
                if let Ok(Some(injection)) = answered {
                    under_way.push(run(shop, &known, injection));
                }
            }
            Some(()) = under_way.next() => {}
        }
    }
}

fn listen(path: &Path) -> Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path);
    let listener = listener.with_context(|| format!("cannot listen at {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// What is to be injected, if anything.
async fn answer(mut stream: UnixStream, shop: &Shop, known: &Injections) -> Option<Injection> {
    let mut text = Vec::new();
    (&mut stream).take(BYTES_MAX).read_to_end(&mut text).await.ok()?;
    let begun = match serde_json::from_slice(&text) {
        Ok(Command::List {}) => Ok(None),
        Ok(Command::Inject { kind, target, seconds }) => {
            begin(shop, known, &kind, target, seconds).map(Some)
        }
        Err(error) => Err(error.to_string()),
    };
    let reply = match &begun {
        Ok(None) => Reply::Injections(known.lock().clone()),
        Ok(Some(injection)) => Reply::Injections(vec![injection.clone()]),
        Err(why) => Reply::Refused(why.clone()),
    };
    let reply = serde_json::to_vec(&reply).ok()?;
    let _ = stream.write_all(&reply).await; // a client that is gone gets its fault all the same
    begun.ok().flatten()
}

fn begin(
    shop: &Shop,
    known: &Injections,
    kind: &str,
    target: Option<String>,
    seconds: u64,
) -> Result<Injection, String> {
    let fault = LiveFault::of_name(kind).ok_or_else(|| format!("no fault is called {kind:?}"))?;
    if !(1..=FAULT_SECONDS_MAX).contains(&seconds) {
        return Err(format!("a fault lasts from 1 to {FAULT_SECONDS_MAX} seconds"));
    }
    match (fault.has_target(), &target) {
        (true, None) => return Err(format!("{kind} needs the name of a process or a store")),
        (false, Some(_)) => return Err(format!("{kind} has no target")),
        (true, Some(name)) if !shop.has(name) => {
            return Err(format!("no process and no store of this shop is called {name:?}"));
        }
        (false, None) if !store_of(fault).is_none_or(|store| shop.has(store.key())) => {
            return Err("that store is somebody else's, or down".to_owned());
        }
        _ => {}
    }
    known.begin(fault, target, seconds)
}

/// What a fault without a target happens to.
fn store_of(fault: LiveFault) -> Option<Server> {
    match fault {
        LiveFault::RedisFlush => Some(Server::Redis),
        LiveFault::NatsWipe | LiveFault::NatsRollback => Some(Server::Nats),
        _ => None,
    }
}

async fn run(shop: &Shop, known: &Injections, injection: Injection) {
    let what = format!("{}{}", injection.kind, injection.on());
    let Some(kind) = LiveFault::of_name(&injection.kind) else { return };
    let target = injection.target.as_deref().unwrap_or_default();
    shop.journal().note(&format!("fault: {what}, for {} s", injection.seconds));
    let outcome = shop.inject(kind, target, Duration::from_secs(injection.seconds)).await;
    let how = outcome.as_ref().map_or_else(|error| format!("{error:#}"), |()| "is over".to_owned());
    shop.journal().note(&format!("fault: {what}: {how}"));
    known.end(injection.id, outcome);
}
