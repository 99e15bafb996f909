//! Connections that are kept, on one thread. As many are opened as requests are under way; an answer
//! is read to its end and thrown away, but for what a report needs.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kernel::OrderId;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

/// Longer than the shop's own deadline.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The part of an answer that is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Of an order that was placed.
    pub(crate) location: Option<HeaderValue>,
    /// The code of a refusal.
    pub(crate) code: Option<String>,
    /// When its last byte was read.
    pub(crate) at: Instant,
}

impl Answer {
    /// The order that was placed.
    pub(crate) fn order(&self) -> Option<OrderId> {
        self.location.as_ref()?.to_str().ok()?.strip_prefix("/v1/orders/")?.parse().ok()
    }

    /// A refusal, in a stable word.
    pub(crate) fn told(&self) -> String {
        let code = self.code.as_deref().unwrap_or_default();
        format!("{} {code}", self.status.as_u16()).trim_end().to_owned()
    }
}

/// Why there is no answer: a stable word for the report.
pub(crate) type Failure = &'static str;

/// A request with a JSON body, or with none.
pub(crate) fn request(method: Method, uri: Uri, body: Bytes) -> Request<Full<Bytes>> {
    let has_body = !body.is_empty();
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    if has_body {
        request.headers_mut().insert(CONTENT_TYPE, JSON);
    }
    request
}

/// The checkout of a cart, to be paid with this card.
pub(crate) fn checkout(card: &str, key: &str) -> Request<Full<Bytes>> {
    let body = format!("{{\"payment_method_id\":\"{card}\"}}");
    let mut request = request(Method::POST, Uri::from_static("/v1/orders"), body.into());
    if let Ok(key) = HeaderValue::from_str(key) {
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
    }
    request
}

struct Gateway {
    address: String,
    host: HeaderValue,
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

/// Runs what sends on a [`Wire`], on this thread.
///
/// # Errors
/// Those of `work`.
pub(crate) fn on_this_thread<R>(
    work: impl Future<Output = anyhow::Result<R>>,
) -> anyhow::Result<R> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(work))
}

/// The connections to all gateways.
pub(crate) struct Wire {
    gateways: Vec<Gateway>,
    next: Cell<usize>,
}

impl Wire {
    /// To gateways at `host:port`, each in its turn.
    pub(crate) fn to(addresses: &[String]) -> anyhow::Result<Self> {
        let gateway = |address: &String| {
            let (host, idle) = (HeaderValue::from_str(address)?, RefCell::default());
            anyhow::Ok(Gateway { address: address.clone(), host, idle })
        };
        let gateways = addresses.iter().map(gateway).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!gateways.is_empty(), "no gateway");
        Ok(Self { gateways, next: Cell::new(0) })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        let gateway = &self.gateways[turn % self.gateways.len()];
        timeout(ANSWER_MAX, gateway.exchange(request)).await.unwrap_or(Err("timeout"))
    }
}

impl Gateway {
    async fn exchange(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        request.headers_mut().insert(HOST, self.host.clone());
        let mut connection = match self.open_idle() {
            Some(connection) => connection,
            None => self.connect().await.map_err(|_| "no_connection")?,
        };
        let response = connection.send_request(request).await.map_err(|_| "cut_off")?;
        let answer = read(response).await?;
        // Ready at once after an answer that was read to its end, unless the gateway closes.
        if connection.ready().await.is_ok() {
            self.idle.borrow_mut().push(connection);
        }
        Ok(answer)
    }

    fn open_idle(&self) -> Option<SendRequest<Full<Bytes>>> {
        let mut idle = self.idle.borrow_mut();
        std::iter::from_fn(|| idle.pop()).find(SendRequest::is_ready)
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        spawn_local(connection); // how it ends is seen by whoever uses it
        Ok(sender)
    }
}

async fn read(response: http::Response<Incoming>) -> Result<Answer, Failure> {
    let (head, mut body) = response.into_parts();
    let refused = !head.status.is_success();
    let mut problem = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| "cut_off")?;
        if let (true, Some(bytes)) = (refused, frame.data_ref()) {
            problem.extend_from_slice(bytes);
        }
    }
    let location = head.headers.get(LOCATION).cloned();
    Ok(Answer { status: head.status, location, code: code(&problem), at: Instant::now() })
}

/// The code of a problem (RFC 9457), found without reading the rest.
fn code(problem: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\"code\":\"";
    let begin = memmem::find(problem, FIELD)? + FIELD.len();
    let length = memchr::memchr(b'"', &problem[begin..])?;
    std::str::from_utf8(&problem[begin..begin + length]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_a_refusal_is_found() {
        let problem = br#"{"type":"about:blank","status":409,"code":"cart_empty","detail":"x"}"#;
        assert_eq!(code(problem).as_deref(), Some("cart_empty"));
        for other in [&b"<html>502</html>"[..], b"", b"{\"code\":\"half"] {
            assert_eq!(code(other), None);
        }
    }
}
