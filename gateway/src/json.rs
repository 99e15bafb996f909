//! JSON in a request. What is no JSON at all is a 400; JSON that is not what the route wants is a
//! 422 that names the field.

use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::app::App;
use crate::body;
use crate::problem::Problem;

/// The body, read into `T`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        body::check_type(request.headers(), "application/json")?;
        let bytes = body::whole(request.into_body(), app.body_limit()).await?;
        parse(&bytes).map(Self)
    }
}

/// Reads one JSON value.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        refusal(path, &error.into_inner())
    })?;
    json.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn refusal(path: String, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Io | Category::Syntax | Category::Eof => malformed(error),
        Category::Data => {
            let text = error.to_string();
            let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
            Problem::invalid(field(path, text), text)
        }
    }
}

/// serde reports an unknown, missing or repeated field at the object it is about, and its name in
/// the text only.
fn field(path: String, text: &str) -> String {
    let kinds = ["unknown field `", "missing field `", "duplicate field `"];
    let rest = kinds.iter().find_map(|kind| text.strip_prefix(kind));
    let name = rest.and_then(|rest| rest.split('`').next()).unwrap_or_default();
    match (path.as_str(), name) {
        (".", "") => "body".to_owned(),
        (".", name) => name.to_owned(),
        (path, name) if name.is_empty() || path == name || path.ends_with(&format!(".{name}")) => {
            path.to_owned()
        }
        (path, name) => format!("{path}.{name}"),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_json", format!("not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Outer {
        name: String,
        price: Inner,
        #[serde(default)]
        items: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Inner {
        minor_units: i64,
    }

    fn refused(json: &str) -> serde_json::Value {
        let problem = parse::<Outer>(json.as_bytes()).unwrap_err();
        serde_json::json!([problem.code(), format!("{problem:?}")])
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for json in ["", "{", "{]", "nil", r#"{"name":"a","price":{"minor_units":1}} x"#] {
            assert_eq!(refused(json)[0], "malformed_json", "{json}");
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        for (json, name) in [
            (r#"{"name":1,"price":{"minor_units":1}}"#, "name"),
            (r#"{"price":{"minor_units":1}}"#, "name"),
            (r#"{"name":"a","price":{"minor_units":1.5}}"#, "price.minor_units"),
            (r#"{"name":"a","price":{"minor_units":1,"x":2}}"#, "price.x"),
            (r#"{"name":"a","price":{}}"#, "price.minor_units"),
            (r#"{"name":"a","nome":"b"}"#, "nome"),
            (r#"{"name":"a","name":"b"}"#, "name"),
            (
                r#"{"name":"a","price":{"minor_units":1},"items":[{"minor_units":"x"}]}"#,
                "items[0].minor_units",
            ),
            ("3", "body"),
        ] {
            let refused = refused(json);
            assert_eq!(refused[0], "invalid", "{json}");
            let wanted = format!("field: {name:?}");
            assert!(refused[1].as_str().unwrap().contains(&wanted), "{json}: {refused}");
        }
    }
}
