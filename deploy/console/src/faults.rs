//! `POST /api/faults`: asks the supervisor for a fault, and says how the same is written on the command line.

use anyhow::Error;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use operator::control::{self, Injection};
use operator::layout::Layout;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// As `cargo souk fault` has it.
const SECONDS: u64 = 10;

/// What is to happen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    kind: String,
    target: Option<String>,
    #[serde(default = "seconds")]
    seconds: u64,
}

fn seconds() -> u64 {
    SECONDS
}

#[derive(Serialize)]
struct Accepted<'a> {
    #[serde(flatten)]
    injection: &'a Injection,
    command: String,
}

/// Asks for it: 202 when the supervisor has begun.
///
/// # Errors
/// 422 with the supervisor's reason when it refuses, 503 when it does not answer.
pub async fn inject(layout: &Layout, request: &Request) -> Result<Response, Problem> {
    let Request { kind, target, seconds } = request;
    let injected = control::inject(layout, kind, target.as_deref(), *seconds).await;
    let injection = injected.map_err(|error| refusal(&error))?;
    let command = command(&injection);
    tracing::info!(command, "fault");
    let accepted = Accepted { injection: &injection, command };
    Ok((StatusCode::ACCEPTED, axum::Json(accepted)).into_response())
}

/// A supervisor that refuses says why in a sentence; one that is away is an error of the system below it.
fn refusal(error: &Error) -> Problem {
    let detail = format!("{error:#}");
    let away = error.chain().any(|cause| {
        cause.is::<std::io::Error>()
            || cause.is::<tokio::time::error::Elapsed>()
            || cause.is::<serde_json::Error>()
    });
    match away {
        true => Problem::unavailable("supervisor_unavailable", detail),
        false => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "fault_refused", detail),
    }
}

/// The same fault on the command line. Some have no length: they are over when the process is back.
pub fn command(injection: &Injection) -> String {
    let Injection { kind, target, seconds, .. } = injection;
    let target = target.as_ref().map(|target| format!(" {target}")).unwrap_or_default();
    let lasts = ["pause", "stop", "nats-rollback", "provider-errors"].contains(&kind.as_str());
    let lasts = if lasts { format!(" --for {seconds}") } else { String::new() };
    format!("cargo souk fault {kind}{target}{lasts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_command_line() {
        let of = |kind: &str, target: Option<&str>| {
            command(&Injection {
                id: 1,
                kind: kind.into(),
                target: target.map(str::to_owned),
                seconds: 7,
                began_unix_ms: 0,
                ended_unix_ms: None,
                error: None,
            })
        };
        assert_eq!(of("kill", Some("order-2")), "cargo souk fault kill order-2");
        assert_eq!(of("pause", Some("psp")), "cargo souk fault pause psp --for 7");
        assert_eq!(of("redis-flush", None), "cargo souk fault redis-flush");
        assert_eq!(of("provider-errors", None), "cargo souk fault provider-errors --for 7");
    }

    #[test]
    fn ten_seconds_are_meant_unless_others_are_said() {
        let parse = |text: &str| serde_json::from_str::<Request>(text).map(|it| it.seconds);
        assert_eq!(parse(r#"{"kind":"kill","target":"order"}"#).expect("valid"), 10);
        assert_eq!(parse(r#"{"kind":"kill","seconds":3}"#).expect("valid"), 3);
        for text in ["{}", r#"{"kind":"kill","sekunds":3}"#, r#"{"kind":1}"#, "[]"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
