//! What comes in, checked: the idempotency key and the JSON bodies.

use std::{borrow::Cow, time::Duration};

use axum::{
    extract::{FromRequest, FromRequestParts, Request},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde::Deserialize;
use serde_json::error::Category;

use crate::{
    amount::{Amount, RawAmount},
    ledger::Charge,
    problem::Problem,
};

/// Maximum size of a request body.
pub const BODY_MAX_BYTES: usize = 16 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(10);
const KEY_MAX_BYTES: usize = 128;
const TEXT_MAX_BYTES: usize = 128;

/// 1 to 128 visible ASCII characters that name one attempt to move money.
#[derive(Debug)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Checks a key.
    pub fn parse(text: &[u8]) -> Result<Self, Problem> {
        let fits = (1..=KEY_MAX_BYTES).contains(&text.len());
        match std::str::from_utf8(text) {
            Ok(key) if fits && text.iter().all(u8::is_ascii_graphic) => Ok(Self(key.into())),
            _ => Err(Problem::bad_request(
                "invalid_idempotency_key",
                "an idempotency key is 1 to 128 visible ASCII characters",
            )),
        }
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.headers.get("idempotency-key") {
            Some(key) => Self::parse(key.as_bytes()),
            None => Err(Problem::bad_request(
                "missing_idempotency_key",
                "the header Idempotency-Key is missing",
            )),
        }
    }
}

/// The bytes of a body that says it is JSON, not too long and not too slow.
#[derive(Debug)]
pub struct JsonBytes(Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body must be application/json",
            ));
        }
        match tokio::time::timeout(BODY_WITHIN, Bytes::from_request(request, state)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(error)) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::new(
                error.status(),
                "body_too_large",
                "a body has at most 16384 bytes",
            )),
            Ok(Err(error)) => {
                tracing::debug!(status = %error.into_response().status(), "a body broke off");
                Err(Problem::bad_request("unreadable_body", "the body broke off"))
            }
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the body did not arrive within 10 s",
            )),
        }
    }
}

impl JsonBytes {
    /// Reads the body as `T`: 400 when it is no JSON, 422 when it is another JSON.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Problem> {
        serde_json::from_slice(&self.0).map_err(|error| match error.classify() {
            Category::Data => Problem::unprocessable("invalid_body", error.to_string()),
            Category::Syntax | Category::Eof | Category::Io => {
                Problem::bad_request("malformed_json", error.to_string())
            }
        })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The body of a capture, not checked yet.
#[derive(Deserialize)]
pub struct CaptureBody<'a> {
    #[serde(borrow)]
    card_token: Cow<'a, str>,
    #[serde(borrow)]
    amount: RawAmount<'a>,
    #[serde(borrow)]
    reference: Cow<'a, str>,
}

impl CaptureBody<'_> {
    /// Checks it.
    pub fn check(self) -> Result<Charge, Problem> {
        Ok(Charge {
            card_token: check_text("card_token", &self.card_token)?.into(),
            amount: check_amount(self.amount)?,
            reference: check_text("reference", &self.reference)?.into(),
        })
    }
}

/// The body of a refund, not checked yet.
#[derive(Deserialize)]
pub struct RefundBody<'a> {
    /// Which capture.
    #[serde(borrow)]
    pub capture_id: Cow<'a, str>,
    #[serde(borrow)]
    amount: RawAmount<'a>,
}

impl RefundBody<'_> {
    /// Checks how much it asks for.
    pub fn amount(self) -> Result<Amount, Problem> {
        check_amount(self.amount)
    }
}

fn check_amount(raw: RawAmount<'_>) -> Result<Amount, Problem> {
    Amount::try_from(raw)
        .map_err(|error| Problem::unprocessable("invalid_amount", format!("amount: {error}")))
}

fn check_text<'a>(field: &str, text: &'a str) -> Result<&'a str, Problem> {
    let fits = (1..=TEXT_MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(text).ok_or_else(|| {
        Problem::unprocessable(
            "invalid_body",
            format!("{field}: 1 to 128 bytes without control characters"),
        )
    })
}
