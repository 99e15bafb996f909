//! The query of a URL. Parameters that nobody knows are ignored, as browsers and trackers add
//! their own; a value that cannot be read names its parameter.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The query, read into `T`.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

/// Which page of a list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Page {
    pub(crate) page_size: u32,
    pub(crate) page_token: String,
}

/// Reads pairs, of a query or of a form.
pub(crate) fn read<T: DeserializeOwned>(pairs: &[u8]) -> Result<T, Problem> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(pairs));
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| Problem::invalid(error.path().to_string(), error.inner().to_string()))
}
