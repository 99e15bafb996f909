//! Webhooks: notifies the shop of every capture, decline and refund.
//!
//! The queue is the ledger itself: a cursor walks over the records on disk, with a bounded number of deliveries in flight.
//! However long the receiver is down, no queue grows and nothing is dropped; each delivery is retried until it is
//! accepted. The cursor lives in memory: after a restart, older records are not delivered.

use std::{fmt::Write, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Request, Uri, header::CONTENT_TYPE, uri::Scheme};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::Serialize;
use sha2::Sha256;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    amount::Amount,
    behaviour::Dials,
    config::Config,
    id::Id,
    ledger::{Fact, Ledger, Record},
};

const UNDER_WAY_MAX: usize = 64;
const FETCH_MAX: usize = 256;
const ATTEMPT_WITHIN: Duration = Duration::from_secs(5);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const REPLY_MAX_BYTES: usize = 64 * 1024;

/// Where webhooks go and how they are signed.
#[derive(Clone)]
pub struct Target {
    url: Uri,
    mac: Hmac<Sha256>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Walks over the ledger and delivers.
pub struct Webhooks {
    target: Target,
    ledger: Arc<Ledger>,
    dials: Arc<Dials>,
    durable: watch::Receiver<u64>,
    cursor: u64,
    finish: CancellationToken,
}

#[derive(Serialize)]
struct Event<'a> {
    id: Id,
    r#type: &'static str,
    created_unix_ms: i64,
    data: EventData<'a>,
}

#[derive(Serialize)]
struct EventData<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    capture_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_id: Option<Id>,
    amount: Amount,
    reference: &'a str,
}

impl Target {
    /// The configured target; None when nobody wants webhooks.
    pub fn from_config(config: &Config) -> anyhow::Result<Option<Self>> {
        let Some(url) = config.webhook_url.clone() else { return Ok(None) };
        let path = config
            .webhook_secret_file
            .as_deref()
            .context("a webhook URL needs a secret to sign with")?;
        let secret = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let secret = secret.trim_ascii_end();
        ensure!(!secret.is_empty(), "the webhook secret in {} is empty", path.display());
        let mac = Hmac::new_from_slice(secret).context("webhook secret")?;
        let tls = url.scheme() == Some(&Scheme::HTTPS);
        ensure!(
            tls == config.webhook_ca_file.is_some(),
            "an https:// webhook URL needs a CA file, and no other URL does"
        );
        let trusted = config.webhook_ca_file.as_deref().map_or(Ok(RootCertStore::empty()), roots);
        Ok(Some(Self { url, mac, client: client(trusted?)? }))
    }

    /// One attempt. Ok: accepted with a 2xx.
    async fn post(&self, body: &Bytes, signature: &str) -> anyhow::Result<()> {
        let request = Request::post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("psp-signature", signature)
            .body(Full::new(body.clone()))?;
        let exchange = async {
            let reply = self.client.request(request).await?;
            let status = reply.status();
            let read = Limited::new(reply.into_body(), REPLY_MAX_BYTES).collect().await; // or the connection is lost
            read.map_err(anyhow::Error::from_boxed)?;
            ensure!(status.is_success(), "answered {status}");
            Ok(())
        };
        tokio::time::timeout(ATTEMPT_WITHIN, exchange).await.context("no answer in time")?
    }

    fn sign(&self, body: &[u8]) -> String {
        let code = self.mac.clone().chain_update(body).finalize().into_bytes();
        code.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // a String takes everything
            hex
        })
    }
}

impl Webhooks {
    /// Delivers what happens from now on. `finish` says that nothing more will happen: what is left gets one attempt.
    pub fn new(
        target: Target,
        ledger: Arc<Ledger>,
        dials: Arc<Dials>,
        finish: CancellationToken,
    ) -> Self {
        let durable = ledger.watch();
        let cursor = *durable.borrow();
        Self { target, ledger, dials, durable, cursor, finish }
    }

    /// Runs until `finish` and until everything was attempted.
    pub async fn run(mut self) {
        let mut under_way = JoinSet::new();
        loop {
            let records = self.ledger.after(self.cursor, FETCH_MAX, |_| true);
            if records.is_empty() && !self.more().await {
                break;
            }
            for record in records {
                self.cursor = record.seq;
                self.wait_until_due(&record).await;
                while under_way.len() >= UNDER_WAY_MAX {
                    under_way.join_next().await;
                }
                while under_way.try_join_next().is_some() {}
                under_way.spawn(self.delivery(record));
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Waits for more on disk; false: there will be nothing more.
    async fn more(&mut self) -> bool {
        if self.finish.is_cancelled() {
            return *self.durable.borrow() > self.cursor;
        }
        tokio::select! {
            _ = self.durable.changed() => {}
            () = self.finish.cancelled() => {}
        }
        true
    }

    async fn wait_until_due(&self, record: &Record) {
        let delay = self.dials.now().webhook_delay_ms;
        if delay == 0 {
            return;
        }
        let since = crate::ledger::unix_ms().saturating_sub(record.at).max(0).unsigned_abs();
        self.pause(Duration::from_millis(delay.saturating_sub(since))).await;
    }

    /// Waits, but not beyond `finish`.
    async fn pause(&self, time: Duration) {
        let _ = tokio::time::timeout(time, self.finish.cancelled()).await;
    }

    fn delivery(&self, record: Arc<Record>) -> impl Future<Output = ()> + Send + use<> {
        let (target, finish) = (self.target.clone(), self.finish.clone());
        let twice = self.dials.now().duplicates_webhook();
        let ledger = self.ledger.id();
        async move {
            let Some(event) = Event::of(&record, ledger) else { return };
            let Ok(body) = serde_json::to_vec(&event) else { return };
            let (body, id) = (Bytes::from(body), event.id);
            deliver(&target, &finish, id, &body).await;
            if twice {
                deliver(&target, &finish, id, &body).await;
            }
        }
    }
}

impl<'a> Event<'a> {
    fn of(record: &'a Record, ledger: u32) -> Option<Self> {
        let seq = record.seq;
        let (r#type, capture_id, refund_id, amount, reference) = match &record.fact {
            Fact::Capture(charge) => (
                "capture.succeeded",
                Some(Id::capture(ledger, seq)),
                None,
                charge.amount,
                &charge.reference,
            ),
            Fact::Decline(charge) => {
                ("capture.declined", None, None, charge.amount, &charge.reference)
            }
            Fact::Refund(refund) => {
                let capture_id = Id::capture(ledger, refund.capture);
                let refund_id = Id::refund(ledger, seq);
                (
                    "refund.succeeded",
                    Some(capture_id),
                    Some(refund_id),
                    refund.amount,
                    &refund.reference,
                )
            }
            Fact::Void => return None,
        };
        let data = EventData { key: &record.key, capture_id, refund_id, amount, reference };
        Some(Self { id: Id::event(ledger, seq), r#type, created_unix_ms: record.at, data })
    }
}

/// Tries until the receiver accepts.
async fn deliver(target: &Target, finish: &CancellationToken, id: Id, body: &Bytes) {
    let signature = target.sign(body);
    let mut backoff = BACKOFF_FIRST;
    for attempt in 1_u32.. {
        let Err(error) = target.post(body, &signature).await else { return };
        if finish.is_cancelled() {
            tracing::warn!(%id, attempt, "stopping with a webhook undelivered: {error:#}");
            return;
        }
        if attempt == 1 {
            tracing::warn!(%id, "webhook not delivered, trying on: {error:#}");
        }
        let jittered = backoff.mul_f64(rand::random_range(0.5..1.0));
        let _ = tokio::time::timeout(jittered, finish.cancelled()).await;
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Whom an `https://` receiver is trusted by.
fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("reading {}", file.display()))?;
    let (usable, _) = roots.add_parsable_certificates(read);
    ensure!(usable > 0, "{} holds no certificate", file.display());
    Ok(roots)
}

fn client(
    trusted: RootCertStore,
) -> anyhow::Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false); // TLS is spoken upon it
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_WITHIN));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .build(builder.wrap_connector(http)))
}
