//! Traces, passed on from the collector in the supervisor: its address is not the browser's business.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use form_urlencoded::Serializer;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use operator::http::{Client, empty};

use crate::problem::Problem;

const ANSWER_MAX: Duration = Duration::from_secs(3);
/// What the collector can be asked for.
const PARAMETERS: [&str; 5] = ["order", "service", "failed", "min_ms", "limit"];

/// The path of a search with the parameters that the collector knows, empty ones left out.
///
/// # Errors
/// 400 for a parameter that there is not.
pub fn search(query: &str) -> Result<String, Problem> {
    let mut wanted = Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if !PARAMETERS.contains(&&*name) {
            let known = PARAMETERS.join(", ");
            return Err(Problem::bad_request("invalid", format!("{name:?} is none of {known}")));
        }
        if !value.is_empty() {
            wanted.append_pair(&name, &value);
        }
    }
    Ok(format!("/traces?{}", wanted.finish()))
}

/// The path of one trace, or of that of an order.
///
/// # Errors
/// 404 when the id cannot be one.
pub fn one(before: &str, id: &str, after: &str) -> Result<String, Problem> {
    let valid = !id.is_empty() && id.len() <= 64;
    match valid && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        true => Ok(format!("{before}{id}{after}")),
        false => Err(Problem::not_found("that is no id")),
    }
}

/// Asks the collector.
///
/// # Errors
/// 404 when it has no such trace, 503 when it is away.
pub async fn pass_on(traces_url: Option<&str>, path: &str) -> Result<Response, Problem> {
    let away = |detail: String| Problem::unavailable("collector_unavailable", detail);
    let url = traces_url.ok_or_else(|| away("the shop has no trace collector here".to_owned()))?;
    let client = Client::new(url);
    let asked = async {
        let request = client.request(Method::GET, path).body(empty())?;
        client.send(request, ANSWER_MAX).await
    };
    let answer = asked.await.map_err(|error| away(format!("{error:#}")))?;
    match answer.status {
        200 => Ok(([(CONTENT_TYPE, "application/json")], answer.body).into_response()),
        404 => Err(Problem::not_found("the collector has no such trace (any more)")),
        400 | 422 => {
            let detail = String::from_utf8_lossy(&answer.body).into_owned();
            Err(Problem::new(StatusCode::BAD_REQUEST, "invalid", detail))
        }
        status => Err(away(format!("the collector answers {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_is_made_of_what_the_collector_knows() {
        let path = search("service=order&order=&min_ms=5&failed=true").expect("valid");
        assert_eq!(path, "/traces?service=order&min_ms=5&failed=true");
        assert_eq!(search("").expect("valid"), "/traces?");
        assert_eq!(search("order=a%26b").expect("valid"), "/traces?order=a%26b");
        assert!(search("url=http://elsewhere").is_err());
    }

    #[test]
    fn an_id_cannot_lead_elsewhere() {
        assert_eq!(one("/traces/", "ab12", "").expect("valid"), "/traces/ab12");
        for id in ["", "../x", "a/b", "a?b", &"a".repeat(65)] {
            assert!(one("/traces/", id, "").is_err(), "{id}");
        }
    }
}
