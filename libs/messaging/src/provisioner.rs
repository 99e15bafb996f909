//! Who alone creates, changes, trims and deletes streams and consumers. nats-server checks the subject of such a request,
//! not what is in it: whoever may create a stream may give it a `republish`, and whoever may create a consumer a
//! `deliver_subject`, and the server then writes wherever that says (nats-server #8274). So no service may; it asks here
//! (ADR 19).
//!
//! Every few seconds, and whenever somebody asks, what exists is compared with what is configured (reconcile): what is
//! missing is created, what differs is changed, and what the server refuses to change is an alarm while events go on.
//! Several provisioners do no harm: each step is right whoever has done it already.

mod consumers;
mod leaderless;
mod room;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use async_nats::jetstream::consumer::{Info, pull};
use async_nats::jetstream::context::CreateStreamErrorKind;
use async_nats::jetstream::stream::{Config, ConsumerErrorKind, DiscardPolicy, Stream};
use async_nats::{Message, Subscriber};
use futures_util::future::{BoxFuture, join_all};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Mutex as Turn;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::bus::{consumer_name, stream_name};
use crate::config::ProvisionerOptions;
use crate::provisioning::{Request, SUBJECTS};
use crate::{Bus, metrics};
use leaderless::Leaderless;

/// How often what exists is compared with what is configured.
const RECONCILE: Duration = Duration::from_secs(5);
/// How many requests are worked on at once. A service asks for one at a time.
const REQUESTS_MAX: usize = 32;
/// How long a stream keeps messages: no longer than the outbox, which is the record.
const STREAM_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long the server takes no message a second time: as long as it takes to send one again that was not
/// acknowledged. That only saves work, and what an operator replays is to be taken.
const DUPLICATES: Duration = Duration::from_secs(10);

/// Keeps the streams of all contexts, and their consumers.
pub struct Provisioner {
    bus: Bus,
    options: ProvisionerOptions,
    /// By the context that publishes. Whom nobody takes in has no stream.
    topology: BTreeMap<String, Provisioned>,
    /// What the server has refused to change: said once.
    refused: Mutex<HashSet<String>>,
}

/// The stream of one context.
#[derive(Default)]
struct Provisioned {
    /// The contexts that take its events in.
    consumers: Vec<String>,
    /// Held while it is changed: of two requests to create it anew, the second sees what the first has done.
    turn: Turn<()>,
    leaderless: Leaderless,
}

impl Provisioner {
    /// For these contexts, each with the contexts whose events it takes in.
    pub fn new<'a>(
        bus: &Bus,
        options: ProvisionerOptions,
        contexts: impl IntoIterator<Item = (&'a str, &'a [&'a str])>,
    ) -> Self {
        let mut topology: BTreeMap<String, Provisioned> = BTreeMap::new();
        for (context, sources) in contexts {
            for &source in sources {
                let stream = topology.entry(source.to_owned()).or_default();
                stream.consumers.push(context.to_owned());
            }
        }
        Self { bus: bus.clone(), options, topology, refused: Mutex::default() }
    }

    /// Provisions until asked to stop; whatever breaks is tried again.
    pub fn run(self, stop: CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let requests = self.bus.client().queue_subscribe(SUBJECTS, "provisioner".into());
            let requests = requests.await?;
            tokio::join!(self.reconcile_for_ever(&stop), self.answer_for_ever(requests, &stop));
            Ok(())
        })
    }

    async fn reconcile_for_ever(&self, stop: &CancellationToken) {
        let mut rounds = interval(RECONCILE);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(rounds.tick()).await.is_some() {
            if !self.bus.is_connected() {
                rounds.reset_after(RECONCILE / 50);
                continue;
            }
            join_all(self.topology.iter().map(|(context, stream)| async move {
                let turn = stream.turn.lock().await;
                let reconciled = self.reconcile(context).await;
                drop(turn);
                if let Err(error) = &reconciled {
                    let error = format!("{error:#}");
                    tracing::warn!(context, error, "provisioning: will try again");
                }
                let name = stream_name(context);
                stream.leaderless.delete_when_stuck(&self.bus, &name, reconciled.is_ok()).await;
            }))
            .await;
        }
    }

    async fn answer_for_ever(&self, requests: Subscriber, stop: &CancellationToken) {
        let answers = requests.take_until(stop.cancelled()).for_each_concurrent(
            REQUESTS_MAX,
            |Message { subject, reply, .. }| async move {
                // The server writes statuses and acknowledgements wherever a request says, here too, and without a
                // reply. They are nobody's request, and neither is what a service sends to see whether it may ask.
                let Some(reply) = reply.filter(|reply| reply.starts_with("_INBOX.")) else {
                    return;
                };
                let done = self.answer(&subject).await;
                let refusal = done.as_ref().err().map(|error| format!("{error:#}"));
                if let Some(error) = &refusal {
                    tracing::warn!(subject = &*subject, error, "not provisioned");
                } else {
                    tracing::info!(subject = &*subject, "provisioned");
                }
                // Unheard, it is asked again.
                let payload = refusal.unwrap_or_default().into();
                drop(self.bus.client().publish(reply, payload).await);
            },
        );
        answers.await;
    }

    async fn answer(&self, subject: &str) -> anyhow::Result<()> {
        let (context, request) = Request::parse(subject).context("no such request")?;
        let _turn = self.provisioned(request.stream_of(context))?.turn.lock().await;
        match request {
            Request::CreateStream => self.ensure_stream(context).await.map(drop),
            Request::RecreateStream { created } => {
                self.delete_and_recreate_stream(context, created).await
            }
            Request::RecreateConsumers => {
                let stream = self.ensure_stream(context).await?;
                for consumer in self.consumers(context)? {
                    consumers::recreate(&stream, &consumer_name(consumer, context), context)
                        .await?;
                }
                Ok(())
            }
            Request::CreateConsumer { source } => {
                let stream = self.ensure_source_stream(context, &source).await?;
                self.ensure_consumer(&stream, &consumer_name(context, &source), &source).await
            }
            Request::RecreateConsumer { source } => {
                let stream = self.ensure_source_stream(context, &source).await?;
                consumers::recreate(&stream, &consumer_name(context, &source), &source).await
            }
        }
    }

    fn provisioned(&self, context: &str) -> anyhow::Result<&Provisioned> {
        self.topology.get(context).with_context(|| format!("{context} has no stream"))
    }

    fn consumers(&self, context: &str) -> anyhow::Result<&[String]> {
        Ok(&self.provisioned(context)?.consumers)
    }

    async fn ensure_source_stream(&self, context: &str, source: &str) -> anyhow::Result<Stream> {
        let listens = self.consumers(source)?.iter().any(|consumer| consumer == context);
        ensure!(listens, "{context} takes in no events of {source}");
        self.ensure_stream(source).await
    }

    /// The stream with its consumers as they are to be, and room in it.
    async fn reconcile(&self, context: &str) -> anyhow::Result<()> {
        let stream = self.ensure_stream(context).await?;
        let found: Vec<Info> = stream.consumers().try_collect().await?;
        for consumer in self.consumers(context)? {
            let name = consumer_name(consumer, context);
            match found.iter().find(|info| info.name == name) {
                Some(info) if consumers::is_configured(info, context) => self.clear_drift(&name),
                _ => self.ensure_consumer(&stream, &name, context).await?,
            }
        }
        room::make_room(stream, self.consumers(context)?, &found, context).await
    }

    /// The stream of a context, created when it is missing and changed when it is not as it is configured.
    async fn ensure_stream(&self, context: &str) -> anyhow::Result<Stream> {
        self.consumers(context)?;
        let jetstream = self.bus.jetstream();
        let create = self.configured(context, Config::default());
        let stream = jetstream.get_or_create_stream(create).await?;
        let found = &stream.cached_info().config;
        let wanted = self.configured(context, found.clone());
        let name = &wanted.name;
        if wanted == *found {
            self.clear_drift(name);
            return Ok(stream);
        }
        match jetstream.update_stream(&wanted).await {
            Ok(_) => {
                tracing::warn!(name, "the stream was changed to what is configured");
                self.clear_drift(name);
            }
            Err(error) if matches!(error.kind(), CreateStreamErrorKind::JetStream(_)) => {
                self.report_drift(name, &error);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(jetstream.get_stream(name).await?)
    }

    /// `found` with all that we decide about.
    fn configured(&self, context: &str, found: Config) -> Config {
        Config {
            name: stream_name(context),
            subjects: vec![format!("souk.{context}.v1.>")],
            max_age: STREAM_AGE,
            max_bytes: self.options.nats_stream_max_bytes,
            // What does not fit waits in its outbox; thrown out at the other end, it would be missed by whoever is behind.
            discard: DiscardPolicy::New,
            duplicate_window: DUPLICATES,
            num_replicas: self.options.nats_replicas,
            republish: None,
            // One message that is missing in the middle would be noticed by nobody.
            deny_delete: true,
            ..found
        }
    }

    /// Deletes this very stream and creates it empty; its relay fills it again from the outbox.
    async fn delete_and_recreate_stream(&self, context: &str, created: i128) -> anyhow::Result<()> {
        let stream = self.ensure_stream(context).await?;
        if stream.cached_info().created.unix_timestamp_nanos() != created {
            bail!("it has been created anew already");
        }
        self.bus.jetstream().delete_stream(&stream.cached_info().config.name).await?;
        self.reconcile(context).await
    }

    /// A durable consumer, created or brought to its configuration.
    async fn ensure_consumer(
        &self,
        stream: &Stream,
        name: &str,
        source: &str,
    ) -> anyhow::Result<()> {
        match stream.create_consumer(consumers::config(name, source)).await {
            Ok(_) => self.clear_drift(name),
            Err(error) if matches!(error.kind(), ConsumerErrorKind::JetStream(_)) => {
                if stream.get_consumer::<pull::Config>(name).await.is_err() {
                    return Err(error.into());
                }
                self.report_drift(name, &error);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn clear_drift(&self, name: &str) {
        metrics::differs(name, false);
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// It exists, and what differs cannot be changed: events go on, and somebody has to look.
    fn report_drift(&self, name: &str, error: &dyn std::error::Error) {
        metrics::differs(name, true);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.insert(name.to_owned()) {
            let error = error.to_string();
            tracing::error!(name, error, "not as it is configured, and cannot be changed");
        }
    }
}
