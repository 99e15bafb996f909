//! The connection to NATS, and the streams on it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_nats::connection::State;
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, ServerAddr, ServerError, header};
use secrecy::ExposeSecret as _;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::provisioning::Request;

/// A call to the bus: a future that may fail, and may be awaited on any thread.
pub(crate) trait Call<T>: Future<Output = anyhow::Result<T>> + Send {}

impl<T, F: Future<Output = anyhow::Result<T>> + Send> Call<T> for F {}

/// A half-open connection is noticed by two missed pings; NATS's own default takes minutes.
const PING: Duration = Duration::from_secs(5);

/// A request to the provisioner is not waited for longer.
const PROVISIONED_WITHIN: Duration = Duration::from_secs(10);

/// What the server refuses, it refuses within this time.
const DENIED_WITHIN: Duration = Duration::from_secs(1);

/// A connection to NATS that comes back by itself. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    jetstream: Context,
    /// What the server has refused this user first, in its own words.
    denied: watch::Sender<Option<String>>,
    batch_interval: Duration,
}

impl Bus {
    /// A connection that is made, and made again, in the background: no service waits for the bus,
    /// not even at its start, because the outbox holds what is to be said. `name` shows at the server, and only its
    /// owner hears the answers below `_INBOX.{name}`.
    ///
    /// # Errors
    /// When the URL is none, or the authority that it names cannot be read.
    pub async fn connect(options: &Options, name: &str) -> anyhow::Result<Self> {
        let (servers, roots) = servers(options.nats_url.expose_secret())?;
        let mut connect = sign_in(&servers);
        for root in roots {
            connect = connect.add_root_certificates(root).require_tls(true);
        }
        let denied = watch::Sender::new(None);
        let noted = denied.clone();
        let client = connect
            .name(name)
            .custom_inbox_prefix(format!("_INBOX.{}", name.replace(' ', "-")))
            .ping_interval(PING)
            .connection_timeout(Duration::from_secs(2))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| Duration::from_millis((50 << tries.min(5)) as u64))
            .event_callback(move |event| {
                note(&event, &noted);
                std::future::ready(())
            })
            .connect(servers)
            .await?;
        let jetstream = jetstream::new(client.clone());
        Ok(Self { client, jetstream, denied, batch_interval: options.batch_interval() })
    }

    /// Minimum time between the starts of two batches of each consumer and relay on this bus.
    pub(crate) fn batch_interval(&self) -> Duration {
        self.batch_interval
    }

    /// Whether the server hears us now. What nobody needs later is not even sent when it does not:
    /// the client would keep it, and so would everybody who waits for room there.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How many connections there have been.
    pub(crate) fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::SeqCst)
    }

    /// Whether the server is one of a cluster.
    pub(crate) fn is_clustered(&self) -> bool {
        self.client.server_info().cluster.is_some()
    }

    /// For what may get lost: wake-up calls and live views.
    pub fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> &Context {
        &self.jetstream
    }

    /// Sees, as soon as there is a connection, whether this user may publish under these subjects, and do what the process
    /// has tried until then. What is published is nothing that a stream would take. Ends early when asked to stop.
    ///
    /// # Errors
    /// With the subject that the server has refused: a deployment that can do nothing right.
    pub(crate) async fn check_rights(
        &self,
        subjects: &[String],
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        stop.run_until_cancelled(self.try_rights(subjects)).await.unwrap_or(Ok(()))
    }

    async fn try_rights(&self, subjects: &[String]) -> anyhow::Result<()> {
        let mut denied = self.denied.subscribe();
        for subject in subjects {
            let mut headers = HeaderMap::new();
            headers.insert(header::NATS_EXPECTED_STREAM, "none");
            self.client.publish_with_headers(subject.clone(), headers, "".into()).await?;
        }
        self.client.flush().await?;
        let refused = denied.wait_for(Option::is_some);
        if let Ok(Ok(denied)) = timeout(DENIED_WITHIN, refused).await
            && let Some(denied) = &*denied
        {
            bail!("the NATS user of this process may not do what it must: {denied}");
        }
        Ok(())
    }

    /// Asks the provisioner in the name of `context`, and waits until it is done.
    ///
    /// # Errors
    /// When no provisioner runs, when it does not answer in 10 s, or with its refusal.
    pub(crate) async fn ask(&self, context: &str, request: &Request) -> anyhow::Result<()> {
        let subject = request.subject(context);
        let answer = timeout(PROVISIONED_WITHIN, self.client.request(subject, "".into())).await;
        let answer = answer.map_err(anyhow::Error::from).and_then(|answer| Ok(answer?));
        let refusal =
            answer.with_context(|| format!("asking the provisioner: {request:?}"))?.payload;
        ensure!(refusal.is_empty(), "the provisioner: {}", String::from_utf8_lossy(&refusal));
        Ok(())
    }

    /// How the stream of a context stands.
    ///
    /// # Errors
    /// When the bus does not answer in time, or there is no such stream.
    pub(crate) async fn stream(&self, context: &str) -> anyhow::Result<Info> {
        let stream = self.jetstream.get_stream(stream_name(context)).await;
        let stream = stream.with_context(|| format!("the stream of {context}"))?;
        Ok(stream.cached_info().clone())
    }
}

/// Below this share of its limit, in percent, a stream cannot have been trimmed: what is missing there was removed by
/// somebody else.
const NEVER_TRIMMED_BELOW_PERCENT: u64 = 25;

/// Whether events may be missing from the stream's beginning because it was trimmed.
pub(crate) fn may_be_trimmed(info: &Info) -> bool {
    is_filled(info, NEVER_TRIMMED_BELOW_PERCENT)
}

/// Whether a stream holds more than this share of its limit.
pub(crate) fn is_filled(info: &Info, percent: u64) -> bool {
    // Below zero it is unlimited.
    let limit = u64::try_from(info.config.max_bytes).unwrap_or(0);
    limit > 0 && info.state.bytes > limit / 100 * percent
}

/// The servers, and the files with the authorities that vouch for them: `tls://…?sslrootcert=FILE`, as PostgreSQL's
/// URLs have it.
fn servers(urls: &str) -> anyhow::Result<(Vec<ServerAddr>, BTreeSet<PathBuf>)> {
    let (mut servers, mut roots) = (Vec::new(), BTreeSet::new());
    for url in urls.split(',') {
        let (url, query) = url.trim().split_once('?').unwrap_or((url.trim(), ""));
        if let Some(root) = query.split('&').find_map(|pair| pair.strip_prefix("sslrootcert=")) {
            roots.insert(root.into());
        }
        servers.push(url.parse()?);
    }
    Ok((servers, roots))
}

/// The client does not sign in with what the URL says by itself.
fn sign_in(servers: &[ServerAddr]) -> ConnectOptions {
    let named = servers.iter().find_map(|server| Some((server.username()?, server.password()?)));
    match named {
        Some((user, password)) => {
            ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned())
        }
        None => ConnectOptions::new(),
    }
}

fn is_denial(error: &str) -> bool {
    error.to_lowercase().starts_with("permissions violation")
}

/// The stream of a context.
pub(crate) fn stream_name(context: &str) -> String {
    format!("SOUK_{}", context.to_uppercase())
}

/// The durable consumer that `context` has of the stream of `source`.
pub(crate) fn consumer_name(context: &str, source: &str) -> String {
    format!("{context}-from-{source}")
}

fn note(event: &Event, denied: &watch::Sender<Option<String>>) {
    match event {
        Event::ServerError(ServerError::Other(error)) if is_denial(error) => {
            tracing::error!(error, "the NATS user has no right to do this");
            denied.send_modify(|denied| {
                denied.get_or_insert_with(|| error.clone());
            });
        }
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("connection to NATS lost"),
        other => tracing::warn!(event = %other, "NATS"),
    }
}
