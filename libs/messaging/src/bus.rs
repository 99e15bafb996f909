//! The connection to NATS, and the streams on it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use secrecy::ExposeSecret as _;

use crate::{Options, metrics};

/// A half-open connection is noticed by two missed pings; NATS's own default takes minutes.
const PING: Duration = Duration::from_secs(5);

/// How long a stream keeps messages: no longer than the outbox, which is the record.
const STREAM_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// For so long the server takes no message a second time: as long as it takes to send one again that was not
/// acknowledged. That only saves work, and what an operator replays is to be taken.
const DUPLICATES: Duration = Duration::from_secs(10);

/// A connection to NATS that comes back by itself. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    client: Client,
    jetstream: Context,
    replicas: usize,
    stream_max_bytes: i64,
    /// The stream whose change the server has refused, and on which connection: it is not asked again there.
    refused: Arc<Mutex<Option<(String, u64)>>>,
}

impl Bus {
    /// A connection that is made, and made again, in the background: no service waits for the bus,
    /// not even at its start, because the outbox holds what is to be said. `name` shows at the server, and only its
    /// owner hears the answers below `_INBOX.{name}`.
    ///
    /// # Errors
    /// When the URL is none.
    pub async fn connect(options: &Options, name: &str) -> anyhow::Result<Self> {
        let servers = servers(options.nats_url.expose_secret())?;
        let client = sign_in(&servers)
            .name(name)
            .custom_inbox_prefix(format!("_INBOX.{}", name.replace(' ', "-")))
            .ping_interval(PING)
            .connection_timeout(Duration::from_secs(2))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| Duration::from_millis((50 << tries.min(5)) as u64))
            .event_callback(|event| async move { note(&event) })
            .connect(servers)
            .await?;
        let jetstream = jetstream::new(client.clone());
        let (replicas, stream_max_bytes) = (options.nats_replicas, options.nats_stream_max_bytes);
        let refused = Arc::default();
        Ok(Self { client, jetstream, replicas, stream_max_bytes, refused })
    }

    /// Whether the server hears us now. What nobody needs later is not even sent when it does not:
    /// the client would keep it, and so would everybody who waits for room there.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How many connections there have been. Two equal answers: whatever was sent and acknowledged
    /// between them was of one connection, and so of a server that did not start again.
    pub(crate) fn connections(&self) -> u64 {
        self.client.statistics().connects.load(Ordering::SeqCst)
    }

    /// Whether the server is one of a cluster: who leads a stream may then change, or come back with
    /// less than it had, while our connection holds.
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

    /// The stream of a context, made when it is missing.
    ///
    /// # Errors
    /// When the bus does not answer in time, or refuses.
    pub async fn stream(&self, context: &str) -> anyhow::Result<Stream> {
        let config = self.configured(context, Config::default());
        Ok(self.jetstream.get_or_create_stream(config).await?)
    }

    /// The stream of another context, which makes it itself.
    ///
    /// # Errors
    /// When it is not there yet, and as [`Bus::stream`].
    pub(crate) async fn stream_of_another(&self, context: &str) -> anyhow::Result<Stream> {
        let stream = self.jetstream.get_stream(stream_name(context)).await;
        stream.with_context(|| format!("the stream of {context}"))
    }

    /// The same as [`Bus::stream`], and one that is not as it is configured here is changed. What the server refuses to change stays,
    /// and is an alarm: events go on.
    pub(crate) async fn own_stream(&self, context: &str) -> anyhow::Result<Stream> {
        let stream = self.stream(context).await?;
        let found = &stream.cached_info().config;
        let wanted = self.configured(context, found.clone());
        let name = &wanted.name;
        if wanted == *found {
            metrics::differs(name, false);
            return Ok(stream);
        }
        let this_time = Some((name.clone(), self.connections()));
        if *self.refused.lock().unwrap_or_else(PoisonError::into_inner) == this_time {
            return Ok(stream);
        }
        match self.jetstream.update_stream(&wanted).await {
            Ok(_) => {
                tracing::warn!(name, "the stream was changed to what is configured");
                metrics::differs(name, false);
            }
            Err(error) if matches!(error.kind(), CreateStreamErrorKind::JetStream(_)) => {
                let error = error.to_string();
                tracing::error!(name, error, "the stream is not as it is configured");
                metrics::differs(name, true);
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = this_time;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(self.jetstream.get_stream(name).await?)
    }

    /// `found` with all that we decide about.
    fn configured(&self, context: &str, found: Config) -> Config {
        Config {
            name: stream_name(context),
            subjects: vec![format!("souk.{context}.v1.>")],
            max_age: STREAM_AGE,
            max_bytes: self.stream_max_bytes,
            // What does not fit waits in its outbox; thrown out at the other end, it would be missed by whoever is behind.
            discard: DiscardPolicy::New,
            duplicate_window: DUPLICATES,
            num_replicas: self.replicas,
            ..found
        }
    }

    /// Removes this very stream, which is filled again from the outbox.
    pub(crate) async fn delete(&self, stream: &Stream) -> anyhow::Result<()> {
        let seen = stream.cached_info();
        let same = stream.get_info().await?.created == seen.created;
        anyhow::ensure!(same, "another relay has removed it already");
        self.jetstream.delete_stream(&seen.config.name).await?;
        Ok(())
    }
}

fn servers(urls: &str) -> anyhow::Result<Vec<ServerAddr>> {
    Ok(urls.split(',').map(|url| url.trim().parse()).collect::<Result<_, _>>()?)
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

/// The stream of a context.
pub(crate) fn stream_name(context: &str) -> String {
    format!("SOUK_{}", context.to_uppercase())
}

fn note(event: &Event) {
    match event {
        Event::Connected => tracing::info!("connected to NATS"),
        Event::Disconnected => tracing::warn!("connection to NATS lost"),
        other => tracing::warn!(event = %other, "NATS"),
    }
}
