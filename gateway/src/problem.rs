//! Error mapping: every refusal as problem details (RFC 9457): a status, a stable error code for programs, a sentence
//! for people, and for bad input the fields at fault.
//!
//! [`verdict`] is the one place where a refusal of a service becomes one of HTTP. A client error keeps the service's own
//! reason as its code; a server error gets a fixed sentence, and the trace id leads to the rest.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tonic::Code;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
/// `Retry-After`, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");
/// Maximum length of a detail: it often quotes the request.
const DETAIL_CHARS_MAX: usize = 300;
const UNSUPPORTED_ENCODING: &str = "unsupported_content_encoding";
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const INTERNAL: &str = "something went wrong on our side; x-trace-id leads to it";

/// A refusal.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    fields: Vec<Field>,
    /// Members of this problem's own, such as the new total.
    extension: serde_json::Map<String, serde_json::Value>,
}

/// A part of the request that is at fault.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Field {
    pub(crate) field: String,
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (code, detail) = (code.into(), shortened(detail.into()));
        Self { status, code, detail, fields: Vec::new(), extension: serde_json::Map::new() }
    }

    /// 422: the request was understood and this part of it cannot be.
    pub(crate) fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        let field =
            Field { field: field.into(), detail: shortened(detail.into().into()).into_owned() };
        Self::bad_fields(vec![field])
    }

    fn bad_fields(fields: Vec<Field>) -> Self {
        let detail = fields.first().map_or_else(
            || "the request is invalid".to_owned(),
            |first| format!("{}: {}", first.field, first.detail),
        );
        Self { fields, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    /// 401, before any call.
    pub(crate) fn unauthenticated() -> Self {
        let detail = "sign in first: Authorization: Bearer <access_token> is missing or malformed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
    }

    /// 500 with nothing in it.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", INTERNAL)
    }

    /// 503 because there is too much of everything.
    pub(crate) fn overloaded() -> Self {
        let detail = "too many requests in progress, try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
    }

    /// 415; the answer lists what is taken (RFC 9110, 15.5.16).
    pub(crate) fn unsupported_encoding() -> Self {
        let detail = "the body must be sent without content-encoding";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, UNSUPPORTED_ENCODING, detail)
    }

    pub(crate) fn body_too_large(limit: usize) -> Self {
        let detail = format!("the body may have at most {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    pub(crate) fn request_timeout() -> Self {
        let detail = "the body of the request did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
    }

    /// The same problem, with the members of `facts`, which is a struct.
    pub(crate) fn with(mut self, facts: &impl Serialize) -> Self {
        if let Ok(serde_json::Value::Object(members)) = serde_json::to_value(facts) {
            self.extension = members;
        }
        self
    }

    /// The same problem, of one line of a stream.
    pub(crate) fn in_line(mut self, line: u64) -> Self {
        self.detail = format!("line {line}: {}", self.detail).into();
        for field in &mut self.fields {
            field.field = format!("line {line}: {}", field.field);
        }
        self
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The parts of the request that are at fault.
    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether a service behind could not be asked: 503 or 504.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
    }

    /// Whether the caller may not do this at all: 401 or 403.
    pub(crate) fn denies_access(&self) -> bool {
        matches!(self.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
    }
}

fn shortened(text: Cow<'static, str>) -> Cow<'static, str> {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]).into(),
        None => text,
    }
}

/// How much of a service's refusal the client sees.
enum Verdict {
    /// A client error: the service's own reason, or this code when it gave none, and its message.
    PassThrough(StatusCode, &'static str),
    /// A server error: this code and this sentence, whatever the service said.
    Hidden(StatusCode, &'static str, &'static str),
}

/// What a gRPC code, and for some the reason beside it, becomes.
fn verdict(code: Code, reason: Option<&str>) -> Verdict {
    use Verdict::{Hidden, PassThrough};
    let internal = || Hidden(StatusCode::INTERNAL_SERVER_ERROR, "internal", INTERNAL);
    match code {
        Code::InvalidArgument | Code::OutOfRange => {
            PassThrough(StatusCode::UNPROCESSABLE_ENTITY, "invalid")
        }
        Code::Unauthenticated => PassThrough(StatusCode::UNAUTHORIZED, "unauthenticated"),
        // We are not on a service's list of callers: nothing that the customer can mend.
        Code::PermissionDenied if reason == Some("caller_not_allowed") => internal(),
        Code::PermissionDenied => PassThrough(StatusCode::FORBIDDEN, "forbidden"),
        Code::NotFound => PassThrough(StatusCode::NOT_FOUND, "not_found"),
        Code::AlreadyExists => PassThrough(StatusCode::CONFLICT, "already_exists"),
        // The state is fine; this request can never be right, now or later.
        Code::FailedPrecondition if reason == Some("idempotency_key_reused") => {
            PassThrough(StatusCode::UNPROCESSABLE_ENTITY, "invalid")
        }
        Code::FailedPrecondition | Code::Aborted => PassThrough(StatusCode::CONFLICT, "conflict"),
        // A limit of this caller, not of the shop.
        Code::ResourceExhausted if matches!(reason, Some("rate_limited" | "too_many_streams")) => {
            PassThrough(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
        }
        Code::ResourceExhausted => {
            Hidden(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too much to do, try again soon")
        }
        Code::Unavailable | Code::Cancelled => {
            Hidden(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again in a moment")
        }
        Code::DeadlineExceeded => {
            Hidden(StatusCode::GATEWAY_TIMEOUT, "deadline", "the answer did not come in time")
        }
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            internal()
        }
    }
}

impl From<tonic::Status> for Problem {
    fn from(refused: tonic::Status) -> Self {
        let reason = rpc::status::reason(&refused);
        match verdict(refused.code(), reason.as_deref()) {
            Verdict::Hidden(status, code, detail) => Self::new(status, code, detail),
            Verdict::PassThrough(status, code) => {
                let code = reason.map_or(Cow::Borrowed(code), Cow::Owned);
                let fields = rpc::status::fields(&refused).into_iter();
                let fields = fields.map(|(field, detail)| Field { field, detail }).collect();
                Self { fields, ..Self::new(status, code, refused.message().to_owned()) }
            }
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    fields: &'a [Field],
    #[serde(flatten)]
    extension: &'a serde_json::Map<String, serde_json::Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = self.code(), "answered 500");
        }
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            code: &self.code,
            detail: &self.detail,
            fields: &self.fields,
            extension: &self.extension,
        };
        let body = serde_json::to_vec(&body).unwrap_or_default(); // strings and a number: cannot fail
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        match self.status {
            StatusCode::UNAUTHORIZED => drop(headers.insert(header::WWW_AUTHENTICATE, BEARER)),
            StatusCode::UNSUPPORTED_MEDIA_TYPE if self.code == UNSUPPORTED_ENCODING => {
                drop(headers.insert(header::ACCEPT_ENCODING, IDENTITY));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                drop(headers.insert(header::RETRY_AFTER, RETRY_AFTER));
            }
            _ => {}
        }
        response
    }
}
