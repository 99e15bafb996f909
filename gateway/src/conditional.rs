//! Answers that may be kept, and the short answer for whoever kept one: `ETag`, `Cache-Control`,
//! `If-None-Match` (RFC 9110, 13.1.2).

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hasher as _};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

/// How long anybody may show a product without asking again: its price and stock move. A cache for
/// many (the edge) may show it for one second more while it asks, so that nobody waits for that.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=1, stale-while-revalidate=1");

/// What the client has already.
pub(crate) struct IfNoneMatch(Option<HeaderValue>);

impl<S: Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.get(header::IF_NONE_MATCH).cloned()))
    }
}

impl IfNoneMatch {
    fn names(&self, tag: &str) -> bool {
        let Some(known) = self.0.as_ref().and_then(|known| known.to_str().ok()) else {
            return false;
        };
        // The comparison is the weak one: `W/` makes no difference.
        let opaque = |tag: &'_ str| tag.trim().trim_start_matches("W/").to_owned();
        known.trim() == "*" || known.split(',').any(|known| opaque(known) == opaque(tag))
    }

    /// 304 when the client has what `tag` names, or else the answer, to be kept under that tag.
    pub(crate) fn or(self, tag: &str, answer: impl FnOnce() -> Response) -> Response {
        let mut response = if self.names(tag) {
            (StatusCode::NOT_MODIFIED, Body::empty()).into_response()
        } else {
            answer()
        };
        if let Ok(tag) = HeaderValue::from_str(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response.headers_mut().insert(header::CACHE_CONTROL, PUBLIC);
        response
    }
}

/// A tag for a list, which has no version of its own: what all its parts would tell.
pub(crate) fn tag_of<'a>(parts: impl Iterator<Item = (&'a str, i64, i64)>, end: &str) -> String {
    // `new` has fixed keys, so every copy of the gateway gives the same list the same tag.
    let mut hasher = DefaultHasher::new();
    for (id, version, available) in parts {
        hasher.write(id.as_bytes());
        hasher.write_i64(version);
        hasher.write_i64(available);
    }
    hasher.write(end.as_bytes());
    format!("W/\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_weak_or_not() {
        let tag = "W/\"3-5\"";
        for known in ["W/\"3-5\"", "\"3-5\"", "\"1\", W/\"3-5\"", "*"] {
            assert!(IfNoneMatch(Some(HeaderValue::from_static(known))).names(tag), "{known}");
        }
        for other in ["W/\"3-4\"", "3-5", "", "\"13-5\""] {
            assert!(!IfNoneMatch(Some(HeaderValue::from_static(other))).names(tag), "{other}");
        }
        assert!(!IfNoneMatch(None).names(tag));
    }

    #[test]
    fn a_list_that_differs_has_another_tag() {
        let list = [("a", 1, 5), ("b", 1, 0)];
        let tag = tag_of(list.into_iter(), "");
        assert_eq!(tag, tag_of(list.into_iter(), ""));
        for other in
            [[("a", 2, 5), ("b", 1, 0)], [("a", 1, 4), ("b", 1, 0)], [("b", 1, 0), ("a", 1, 5)]]
        {
            assert_ne!(tag, tag_of(other.into_iter(), ""));
        }
        assert_ne!(tag, tag_of(list.into_iter(), "next"));
    }
}
