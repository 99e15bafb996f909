//! Refusals on the wire: `application/problem+json` (RFC 9457) with a stable code.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::Serialize;

use crate::ledger::Refusal;

/// One refusal.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl Problem {
    /// A refusal with a stable `code` and words for people in `detail`.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// 400.
    pub fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 404.
    pub fn not_found(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    /// 422.
    pub fn unprocessable(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = Body {
            r#type: "about:blank",
            title,
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, http::HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::KeyReused => Problem::unprocessable("idempotency_key_reused", detail),
            Refusal::UnknownCapture => Problem::not_found("unknown_capture", detail),
            Refusal::CurrencyMismatch => Problem::unprocessable("currency_mismatch", detail),
            Refusal::RefundExceedsCapture => {
                Problem::unprocessable("refund_exceeds_capture", detail)
            }
            Refusal::Unavailable => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger_unavailable", detail)
            }
        }
    }
}
