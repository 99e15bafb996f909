//! HTTP caching and conditional requests: `ETag`, `Cache-Control`, `If-None-Match` and 304 (RFC 9110, 13.1.2).

use std::convert::Infallible;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hasher as _};

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use headers::{ETag, HeaderMapExt as _, IfNoneMatch};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

/// How long a product may be served from a cache: its price and stock change. A shared cache (the edge) may serve it for
/// one second more while it revalidates (`stale-while-revalidate`), so that no client waits for that.
pub(crate) const PUBLIC: HeaderValue =
    HeaderValue::from_static("public, max-age=1, stale-while-revalidate=1");

/// The tags of `If-None-Match`; none, if the header cannot be read.
pub(crate) struct Known(Option<IfNoneMatch>);

impl<S: Sync> FromRequestParts<S> for Known {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.headers.typed_get()))
    }
}

impl Known {
    fn names(&self, tag: &ETag) -> bool {
        self.0.as_ref().is_some_and(|known| !known.precondition_passes(tag))
    }

    /// 304 when the client has what `tag` names, or else the answer, to be kept under that tag.
    pub(crate) fn or(self, tag: ETag, answer: impl FnOnce() -> Response) -> Response {
        let mut response = if self.names(&tag) {
            (StatusCode::NOT_MODIFIED, Body::empty()).into_response()
        } else {
            answer()
        };
        response.headers_mut().typed_insert(tag);
        response.headers_mut().insert(header::CACHE_CONTROL, PUBLIC);
        response
    }
}

/// A tag for what means the same, though its bytes may differ. Made of letters, digits and hyphens.
pub(crate) fn weak(version: impl Display) -> ETag {
    format!("W/\"{version}\"").parse().expect("letters, digits and hyphens make a tag")
}

/// A tag for a list, which has no version of its own: what all its parts would tell.
pub(crate) fn tag_of<'a>(parts: impl Iterator<Item = (&'a str, i64, i64)>, end: &str) -> ETag {
    // `new` has fixed keys, so every copy of the gateway gives the same list the same tag.
    let mut hasher = DefaultHasher::new();
    for (id, version, available) in parts {
        hasher.write(id.as_bytes());
        hasher.write_i64(version);
        hasher.write_i64(available);
    }
    hasher.write(end.as_bytes());
    weak(format_args!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn known(values: &[&'static str]) -> Known {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        Known(values.map(|value| (header::IF_NONE_MATCH, value)).collect::<HeaderMap>().typed_get())
    }

    #[test]
    fn a_tag_is_found_among_others_weak_or_not() {
        let tag = weak("3-5");
        for named in ["W/\"3-5\"", "\"3-5\"", "\"1\", W/\"3-5\"", "\"a,b\",\"3-5\"", "*"] {
            assert!(known(&[named]).names(&tag), "{named}");
        }
        for other in ["W/\"3-4\"", "3-5", "", "\"13-5\"", "\"3-5", "\"3 5\""] {
            assert!(!known(&[other]).names(&tag), "{other}");
        }
        assert!(known(&["\"1\"", "\"3-5\""]).names(&tag), "in a second line");
        assert!(!known(&[]).names(&tag));
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
