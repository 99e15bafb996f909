//! A small HTTP/1.1 client for one server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// A body to be sent.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

const ANSWER_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Keeps connections open. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    hyper: Hyper<HttpsConnector<HttpConnector>, Body>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body, read.
    ///
    /// # Errors
    /// When it is not what is expected.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        let text = || format!("unexpected answer: {}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).with_context(text)
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// For the server at `http://host:port`.
    pub fn new(base: &str) -> Self {
        Self::with_roots(base, RootCertStore::empty())
    }

    /// For the server at `https://host:port`, whose certificate is of the authority in `ca` (PEM).
    ///
    /// # Errors
    /// When the file holds no certificate.
    pub fn trusting(base: &str, ca: &Path) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(ca);
        let unusable = || format!("no certificate in {}", ca.display());
        roots.add(certificate.with_context(unusable)?).with_context(unusable)?;
        Ok(Self::with_roots(base, roots))
    }

    fn with_roots(base: &str, roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider is ring, and it has the cipher suites of TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let hyper = Hyper::builder(TokioExecutor::new()).build(connector.enable_http1().build());
        Self { base: base.to_owned(), hyper }
    }

    /// The server.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A request to this server, to be completed.
    pub fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.base))
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path).body(empty())?, ANSWER_MAX).await
    }

    /// Sends a request and takes the whole answer.
    ///
    /// # Errors
    /// When there is none within `limit`.
    pub async fn send(&self, request: Request<Body>, limit: Duration) -> Result<Answer> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let whole = async {
            let (head, body) = self.open(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
            anyhow::Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
        };
        let answer = timeout(limit, whole).await;
        answer
            .map_err(|_| anyhow::anyhow!("{what}: no answer within {} s", limit.as_secs()))?
            .with_context(|| what)
    }

    /// Sends a request and takes the head of the answer; the body comes as it comes.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn open(&self, request: Request<Body>) -> Result<http::Response<Incoming>> {
        let answer = self.hyper.request(request).await;
        answer.with_context(|| format!("no answer from {}", self.base))
    }
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// This body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Whether a status is a success.
pub fn is_success(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success())
}
