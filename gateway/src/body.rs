//! Bodies, with a limit and in time.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::{Instant, timeout, timeout_at};

use crate::problem::Problem;

/// Maximum number of bytes that are read and discarded before a client that is still sending is refused. If the
/// connection were closed at once, the client would not see the answer.
const LINGER_BYTES: u64 = 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);
/// Timeout between two pieces of a body that has no deadline (a slow client).
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// 415 unless the body is said to be `expected`; parameters do not matter.
pub(crate) fn check_type(headers: &HeaderMap, expected: &'static str) -> Result<(), Problem> {
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (given.next().and_then(|value| value.to_str().ok()), given.next());
    let essence = first.and_then(|value| value.split(';').next()).map(str::trim);
    if second.is_none() && essence.is_some_and(|essence| essence.eq_ignore_ascii_case(expected)) {
        return Ok(());
    }
    let detail = format!("the body must be sent with content-type: {expected}");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
}

/// 415 when the body is compressed: what is small enough to be taken needs no compression, and
/// what is not compressed cannot grow.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let lines = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let plain = |coding: &[u8]| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    if codings.all(|coding| plain(coding.trim_ascii())) {
        return Ok(());
    }
    Err(Problem::unsupported_encoding())
}

/// The whole body: at most `limit` bytes, before the deadline of the request.
pub(crate) async fn whole(mut body: Body, limit: usize) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit as u64 {
        linger(body).await;
        return Err(Problem::body_too_large(limit));
    }
    let read = Limited::new(&mut body, limit).collect();
    let deadline = rpc::deadline::current().unwrap_or_else(|| Instant::now() + PAUSE_MAX);
    match timeout_at(deadline, read).await {
        Err(_elapsed) => Err(Problem::request_timeout()),
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            linger(body).await;
            Err(Problem::body_too_large(limit))
        }
        Ok(Err(_broken)) => Err(broken()),
    }
}

/// The next piece of a body that is read as a stream; `None` at its end.
pub(crate) async fn next(body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = timeout(PAUSE_MAX, body.frame()).await;
        match frame.map_err(|_elapsed| Problem::request_timeout())? {
            None => return Ok(None),
            Some(Err(_broken)) => return Err(broken()),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads and discards the rest, for a moment.
pub(crate) async fn linger(mut body: Body) {
    let mut left = LINGER_BYTES;
    let discard = async {
        while let Some(Ok(frame)) =
            std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            let data = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(data) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it was enough shows when the client reads its answer, or does not.
    let _ = timeout(LINGER, discard).await;
}

fn broken() -> Problem {
    let detail = "the body of the request broke off or was malformed";
    Problem::new(StatusCode::BAD_REQUEST, "body_incomplete", detail)
}
