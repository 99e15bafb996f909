//! The client of the payment service provider: another company, called over HTTP. Every call that moves
//! money carries an idempotency key, so it may be sent again. A missing answer is an unknown outcome, never a decline.

mod exchange;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crash::Point;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kernel::Money;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::domain::CardToken;
use exchange::{Exchange, Server};

const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Idle timeout of connections, shorter than the provider's (two minutes).
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What the provider has decided about a capture, for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The money was taken; with the provider's id.
    Captured(String),
    /// The card was refused; with the provider's reason.
    Declined(String),
    /// Nothing was taken under this key, nor ever will be.
    Voided,
}

/// Why there is no decision.
#[derive(Debug, Error)]
pub(crate) enum PspError {
    /// Late, cut off, or a server error: anything may have happened.
    #[error("unknown outcome: {0}")]
    Unknown(String),
    /// The provider does not understand the request.
    #[error("refused with {status}: {code}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// Its stable code, if it gave one.
        code: String,
    },
}

/// Money to be taken.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    /// Names the payment; the same key never takes money twice.
    pub key: String,
    pub card: CardToken,
    pub amount: Money,
}

/// Money to be given back.
#[derive(Clone, Debug)]
pub(crate) struct Repayment {
    /// Names the refund; the same key never gives back twice.
    pub key: String,
    /// The provider's id of the capture.
    pub capture_id: String,
    pub amount: Money,
}

type Answer<'a, T> = BoxFuture<'a, Result<T, PspError>>;

/// What is asked of the provider.
pub(crate) trait Psp: Send + Sync {
    /// Takes money.
    fn capture<'a>(&'a self, charge: &'a Charge) -> Answer<'a, Decision>;
    /// What became of a key. `None`: nothing, yet.
    fn ask<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Decision>>;
    /// Makes sure that a key never takes money, or says that it did.
    fn void<'a>(&'a self, key: &'a str) -> Answer<'a, Decision>;
    /// Gives money back. Returns the provider's id of that.
    fn refund<'a>(&'a self, repayment: &'a Repayment) -> Answer<'a, String>;
}

/// An `http://` URL. (The provider is reached through the company's own egress, which adds TLS.)
#[derive(Clone, Debug)]
pub(crate) struct PspUrl(Arc<str>);

/// The text is no such URL.
#[derive(Debug, Error)]
#[error("expected an http:// URL with a host")]
pub(crate) struct NotHttp;

impl FromStr for PspUrl {
    type Err = NotHttp;

    fn from_str(text: &str) -> Result<Self, NotHttp> {
        let uri: Uri = text.parse().map_err(|_| NotHttp)?;
        let plain = uri.scheme_str() == Some("http") && uri.query().is_none();
        match uri.host() {
            Some(host) if plain && !host.is_empty() => Ok(Self(text.trim_end_matches('/').into())),
            _ => Err(NotHttp),
        }
    }
}

/// The provider over HTTP/1.1, connections kept alive.
pub(crate) struct HttpPsp {
    url: PspUrl,
    server: Server,
    timeout: Duration,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A reply as it came.
struct Reply {
    status: StatusCode,
    body: Bytes,
}

#[derive(Serialize)]
struct Amount<'a> {
    currency: &'a str,
    minor_units: i64,
}

#[derive(Serialize)]
struct CaptureBody<'a> {
    card_token: &'a str,
    amount: Amount<'a>,
    reference: &'a str,
}

#[derive(Serialize)]
struct RefundBody<'a> {
    capture_id: &'a str,
    amount: Amount<'a>,
}

/// What the provider says of a key, and the code of its refusals.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    /// A word for a decision, a number for a refusal.
    status: serde_json::Value,
    capture_id: Option<String>,
    refund_id: Option<String>,
    code: Option<String>,
}

impl HttpPsp {
    /// Connects when there is something to say.
    pub(crate) fn new(url: &PspUrl, timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector);
        Self { url: url.clone(), server: Server::of(&url.0), timeout, client }
    }

    /// One exchange, in a span and a metric of its own.
    async fn call(&self, call: Call, request: Outbound<'_>) -> Result<Reply, PspError> {
        let Call { template, before, after } = call;
        let exchange =
            Exchange::begin(&self.server, request.method.clone(), &request.path, template);
        crash::point(before);
        let reply = self.exchange(request).instrument(exchange.span().clone()).await;
        crash::point(after);
        exchange.end(reply.as_ref().ok().map(|reply| reply.status));
        let reply = reply?;
        match reply.status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(PspError::Unknown(reply.status.to_string()))
            }
            status if status.is_server_error() => Err(PspError::Unknown(status.to_string())),
            _ => Ok(reply),
        }
    }

    async fn exchange(&self, request: Outbound<'_>) -> Result<Reply, PspError> {
        let request = self.request(request).map_err(unknown)?;
        let exchange = async {
            let reply = self.client.request(request).await.map_err(unknown)?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok(Reply { status, body: body.map_err(unknown)?.to_bytes() })
        };
        let late = |_| PspError::Unknown("no answer in time".into());
        timeout(self.timeout, exchange).await.map_err(late)?
    }

    fn request(&self, outbound: Outbound<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
        let uri = format!("{}{}", self.url.0, outbound.path);
        let mut request = Request::builder().method(outbound.method).uri(uri);
        if let Some(key) = outbound.key {
            request = request.header("idempotency-key", key);
        }
        let json = HeaderValue::from_static("application/json");
        request.header(CONTENT_TYPE, json).body(Full::new(outbound.body))
    }
}

/// A kind of exchange: its path without the key, and where the process may die around it.
struct Call {
    template: &'static str,
    before: Point,
    after: Point,
}

impl Call {
    const fn new(template: &'static str, before: Point, after: Point) -> Self {
        Self { template, before, after }
    }
}

const CAPTURE: Call = Call::new("/v1/captures", Point::PspCaptureBefore, Point::PspCaptureAfter);
const ASK: Call = Call::new("/v1/captures/by-key/{key}", Point::PspAskBefore, Point::PspAskAfter);
const VOID: Call =
    Call::new("/v1/captures/by-key/{key}/void", Point::PspVoidBefore, Point::PspVoidAfter);
const REFUND: Call = Call::new("/v1/refunds", Point::PspRefundBefore, Point::PspRefundAfter);

/// A request on its way.
struct Outbound<'a> {
    method: Method,
    path: String,
    key: Option<&'a str>,
    body: Bytes,
}

impl<'a> Outbound<'a> {
    fn about(method: Method, path: String) -> Self {
        Self { method, path, key: None, body: Bytes::new() }
    }

    fn post(path: &str, key: &'a str, body: &impl Serialize) -> Result<Self, PspError> {
        let body = serde_json::to_vec(body).map_err(unknown)?.into();
        Ok(Self { method: Method::POST, path: path.to_owned(), key: Some(key), body })
    }
}

impl Psp for HttpPsp {
    fn capture<'a>(&'a self, charge: &'a Charge) -> Answer<'a, Decision> {
        async move {
            let amount = amount(&charge.amount);
            let body =
                CaptureBody { card_token: charge.card.expose(), amount, reference: &charge.key };
            let request = Outbound::post("/v1/captures", &charge.key, &body)?;
            let reply = self.call(CAPTURE, request).await?;
            match reply.status {
                StatusCode::OK | StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT => {
                    reply.decision()
                }
                _ => Err(reply.refused()),
            }
        }
        .boxed()
    }

    fn ask<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Decision>> {
        async move {
            let path = format!("/v1/captures/by-key/{key}");
            let reply = self.call(ASK, Outbound::about(Method::GET, path)).await?;
            match reply.status {
                StatusCode::OK => reply.decision().map(Some),
                // Not just any 404: a wrong path is not an answer.
                StatusCode::NOT_FOUND if reply.code() == "unknown_key" => Ok(None),
                _ => Err(reply.refused()),
            }
        }
        .boxed()
    }

    fn void<'a>(&'a self, key: &'a str) -> Answer<'a, Decision> {
        async move {
            let path = format!("/v1/captures/by-key/{key}/void");
            let reply = self.call(VOID, Outbound::about(Method::POST, path)).await?;
            match reply.status {
                StatusCode::OK => reply.decision(),
                _ => Err(reply.refused()),
            }
        }
        .boxed()
    }

    fn refund<'a>(&'a self, repayment: &'a Repayment) -> Answer<'a, String> {
        async move {
            let amount = amount(&repayment.amount);
            let body = RefundBody { capture_id: &repayment.capture_id, amount };
            let request = Outbound::post("/v1/refunds", &repayment.key, &body)?;
            let reply = self.call(REFUND, request).await?;
            match reply.status {
                StatusCode::OK => {
                    let id = reply.said()?.refund_id;
                    id.ok_or_else(|| PspError::Unknown("a refund without an id".into()))
                }
                _ => Err(reply.refused()),
            }
        }
        .boxed()
    }
}

impl Reply {
    fn said(&self) -> Result<Said, PspError> {
        serde_json::from_slice(&self.body).map_err(unknown)
    }

    fn code(&self) -> String {
        self.said().ok().and_then(|said| said.code).unwrap_or_default()
    }

    fn decision(&self) -> Result<Decision, PspError> {
        let said = self.said()?;
        match (said.status.as_str(), said.capture_id) {
            (Some("captured"), Some(id)) => Ok(Decision::Captured(id)),
            (Some("declined"), _) => {
                Ok(Decision::Declined(said.code.unwrap_or_else(|| "declined".to_owned())))
            }
            (Some("voided"), _) => Ok(Decision::Voided),
            _ => Err(PspError::Unknown(format!("{} that says nothing known", self.status))),
        }
    }

    fn refused(&self) -> PspError {
        PspError::Refused { status: self.status, code: self.code() }
    }
}

fn amount(money: &Money) -> Amount<'_> {
    Amount { currency: money.currency.code(), minor_units: money.minor }
}

fn unknown(error: impl fmt::Display) -> PspError {
    PspError::Unknown(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        let status = StatusCode::from_u16(status).unwrap();
        Reply { status, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn only_a_decision_is_a_decision() {
        let captured = r#"{"status":"captured","capture_id":"cap_1"}"#;
        assert_eq!(reply(200, captured).decision().unwrap(), Decision::Captured("cap_1".into()));
        let declined = r#"{"status":"declined","code":"card_declined"}"#;
        let reason = Decision::Declined("card_declined".into());
        assert_eq!(reply(402, declined).decision().unwrap(), reason);
        assert_eq!(reply(409, r#"{"status":"voided"}"#).decision().unwrap(), Decision::Voided);
        for unclear in ["", "{}", "captured", r#"{"status":"captured"}"#, r#"{"status":402}"#] {
            let error = reply(200, unclear).decision().unwrap_err();
            assert!(matches!(error, PspError::Unknown(_)), "{unclear}: {error}");
        }
    }

    #[test]
    fn only_http_is_spoken() {
        for good in ["http://127.0.0.1:8099", "http://psp.example/", "http://psp/base"] {
            assert!(good.parse::<PspUrl>().is_ok(), "{good}");
        }
        for bad in ["", "psp:80", "https://psp", "http://", "http://psp?x=1", "ftp://psp"] {
            assert!(bad.parse::<PspUrl>().is_err(), "{bad}");
        }
    }
}
