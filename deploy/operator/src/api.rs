//! The shop's HTTP API as its clients see it: what is sent, what is answered, and refusals.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::http::{Answer, Body, Client, empty, full, is_success};

const ANSWER_MAX: Duration = Duration::from_secs(30);
const TRIES_MAX: u32 = 5;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Three letters.
    pub currency: String,
    /// Pence of GBP.
    pub minor_units: i64,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor_units < 0 { "-" } else { "" };
        let minor = self.minor_units.unsigned_abs();
        let (whole, rest) = (minor / 100, minor % 100);
        match self.currency.as_str() {
            "GBP" => write!(f, "{sign}£{whole}.{rest:02}"),
            other => write!(f, "{sign}{whole}.{rest:02} {other}"),
        }
    }
}

/// A product of the catalogue.
#[derive(Clone, Debug, Deserialize)]
pub struct Product {
    /// Its id.
    pub product_id: String,
    /// The key that the outside knows it by.
    pub sku: String,
    /// What it says on the label.
    pub name: String,
    /// For one piece.
    pub price: Money,
    /// Pieces that can be bought now.
    pub available: i64,
}

/// An order, lines left out.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    /// Its id.
    pub order_id: String,
    /// `placed`, `stock_held`, `confirmed` or `cancelled`.
    pub state: String,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    /// What it costs.
    pub total: Money,
    /// Grows with every change.
    pub version: i64,
    /// The states that it went through.
    pub steps: Vec<Step>,
}

impl Order {
    /// Whether its checkout has come to its end.
    pub fn is_settled(&self) -> bool {
        matches!(self.state.as_str(), "confirmed" | "cancelled")
    }
}

/// A state that an order reached.
#[derive(Clone, Debug, Deserialize)]
pub struct Step {
    /// Which.
    pub state: String,
    /// When, by the clock of the order's database.
    pub at_unix_ms: i64,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Imported {
    /// New products.
    pub added: i64,
    /// Products that say something else now.
    pub revised: i64,
    /// Products that were as they should be.
    pub unchanged: i64,
    /// Pieces booked in.
    pub stock_received: i64,
}

/// An import in the background.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Import {
    /// Its id.
    pub import_id: String,
    /// `running`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// Of the file.
    pub items: i64,
    /// The first so many of them are imported.
    pub items_imported: i64,
    /// Why it has failed.
    #[serde(default)]
    pub failure: String,
    /// What that did.
    #[serde(flatten)]
    pub imported: Imported,
}

/// The shop said no.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Of HTTP.
    pub status: u16,
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub detail: String,
    /// Leads to the log lines.
    pub trace_id: String,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, detail, trace_id } = self;
        write!(f, "the shop answered {status} {code}: {detail}")?;
        if trace_id.is_empty() { Ok(()) } else { write!(f, " (trace {trace_id})") }
    }
}

/// A client of the shop. Clones share connections.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
}

impl Api {
    /// For the gateway at `http://host:port`.
    pub fn new(shop_url: &str) -> Self {
        Self::over(Client::new(shop_url))
    }

    /// Over connections of one's own.
    pub fn over(client: Client) -> Self {
        Self { client }
    }

    /// The HTTP client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn get(&self, path: &str, token: Option<&str>) -> Result<Answer> {
        self.call(Method::GET, path, token, None, &[]).await
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Answer> {
        self.call(Method::POST, path, token, Some(body), &[]).await
    }

    /// One request. While the shop says that it is busy (503 with `Retry-After`), what can be sent
    /// twice is sent again.
    ///
    /// # Errors
    /// When there is no answer, or it is no success: then the error is a [`Refusal`].
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer> {
        let keyed = headers.iter().any(|(name, _)| *name == "idempotency-key");
        let mut tries = if method.is_idempotent() || keyed { TRIES_MAX } else { 1 };
        loop {
            let request = self.request(method.clone(), path, token, body, headers)?;
            let answer = self.client.send(request, ANSWER_MAX).await?;
            tries -= 1;
            match retry_after(&answer) {
                Some(wait) if tries > 0 => tokio::time::sleep(wait).await,
                _ => return accepted(answer),
            }
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
        headers: &[(&'static str, &str)],
    ) -> Result<Request<Body>> {
        let mut request = self.client.request(method, path);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(match body {
            Some(body) => {
                let request = request.header(CONTENT_TYPE, "application/json");
                request.body(full(serde_json::to_vec(body)?))?
            }
            None => request.body(empty())?,
        })
    }

    /// Signs in; the access token.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Session {
            access_token: String,
        }
        let body = json!({ "email": email, "password": password });
        let session: Session = self.post("/v1/sessions", None, &body).await?.json()?;
        Ok(session.access_token)
    }
}

/// How long a busy shop asks to be left alone; no longer than is sensible here.
fn retry_after(answer: &Answer) -> Option<Duration> {
    let busy = answer.status == 503;
    let seconds = answer.header("retry-after").filter(|_| busy)?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// The header of a signed-in client.
///
/// # Errors
/// When the token could not stand in a header.
pub fn bearer(token: &str) -> Result<HeaderValue> {
    let mut value: HeaderValue = format!("Bearer {token}").parse()?;
    value.set_sensitive(true);
    Ok(value)
}

/// An answer, if it is a success.
///
/// # Errors
/// A [`Refusal`] otherwise.
pub fn accepted(answer: Answer) -> Result<Answer> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        code: String,
        detail: String,
        fields: Vec<Field>,
    }
    #[derive(Deserialize)]
    struct Field {
        field: String,
        detail: String,
    }
    if is_success(answer.status) {
        return Ok(answer);
    }
    let Problem { code, mut detail, fields } =
        serde_json::from_slice(&answer.body).unwrap_or_default();
    for Field { field, detail: wrong } in fields {
        let wrong = format!("{field}: {wrong}");
        if !detail.contains(&wrong) {
            detail.push_str(&format!("; {wrong}"));
        }
    }
    let trace_id = answer.header("x-trace-id").unwrap_or_default().to_owned();
    Err(Refusal { status: answer.status, code, detail, trace_id }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_busy_shop_is_asked_again() {
        let answer = |status, after: &'static str| Answer {
            status,
            headers: [(http::header::RETRY_AFTER, HeaderValue::from_static(after))]
                .into_iter()
                .collect(),
            body: Default::default(),
        };
        assert_eq!(retry_after(&answer(503, "1")), Some(Duration::from_secs(1)));
        assert_eq!(retry_after(&answer(503, "600")), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after(&answer(503, "soon")), None);
        assert_eq!(retry_after(&answer(429, "1")), None);
    }

    #[test]
    fn amounts_are_written_as_people_write_them() {
        for (minor_units, text) in [(255, "£2.55"), (5, "£0.05"), (-120_000, "-£1200.00")] {
            let money = Money { currency: "GBP".into(), minor_units };
            assert_eq!(money.to_string(), text);
        }
        let euro = Money { currency: "EUR".into(), minor_units: 101 };
        assert_eq!(euro.to_string(), "1.01 EUR");
    }

    #[test]
    fn a_refusal_says_what_the_problem_says() {
        let body = br#"{"code":"invalid","detail":"bad","fields":[{"field":"q","detail":"no"}]}"#;
        let answer = Answer {
            status: 422,
            headers: [(http::HeaderName::from_static("x-trace-id"), "ab".parse().expect("text"))]
                .into_iter()
                .collect(),
            body: body.as_slice().into(),
        };
        let refusal = accepted(answer).expect_err("422 is no success").to_string();
        assert_eq!(refusal, "the shop answered 422 invalid: bad; q: no (trace ab)");
    }
}
