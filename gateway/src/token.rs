//! The caller's access token. The gateway does not read it: every service verifies it by itself.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use tonic::Extensions;
use tonic::metadata::MetadataMap;

use crate::problem::Problem;

const SCHEME: &[u8] = b"Bearer ";

/// An `Authorization: Bearer …` header.
#[derive(Clone)]
pub(crate) struct Token(HeaderValue);

impl Token {
    /// A token that the user service has just given out.
    pub(crate) fn new(access_token: &str) -> Option<Self> {
        HeaderValue::try_from(format!("Bearer {access_token}")).ok().map(Self)
    }

    /// The header as it came; only the scheme, which HTTP reads in any case, is spelled as gRPC's
    /// side expects it.
    fn read(value: &HeaderValue) -> Result<Self, Problem> {
        let (scheme, token) =
            value.as_bytes().split_at_checked(SCHEME.len()).ok_or_else(Problem::unauthenticated)?;
        if token.is_empty() || !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Problem::unauthenticated());
        }
        if scheme == SCHEME {
            return Ok(Self(value.clone()));
        }
        let spelled = HeaderValue::from_bytes(&[SCHEME, token].concat());
        spelled.map(Self).map_err(|_| Problem::unauthenticated())
    }

    /// A call in the caller's name.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut headers = HeaderMap::with_capacity(2);
        headers.insert(header::AUTHORIZATION, self.0.clone());
        let metadata = MetadataMap::from_headers(headers);
        tonic::Request::from_parts(metadata, Extensions::default(), message)
    }
}

impl<S: Sync> FromRequestParts<S> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts
            .headers
            .get(header::AUTHORIZATION)
            .ok_or_else(Problem::unauthenticated)
            .and_then(Self::read)
    }
}

/// Without the header there is nobody; a broken one is refused all the same.
impl<S: Sync> OptionalFromRequestParts<S> for Token {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        parts.headers.get(header::AUTHORIZATION).map(Self::read).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_passed_on_as_it_came() {
        let token = Token::read(&HeaderValue::from_static("Bearer a.b.c")).unwrap();
        assert_eq!(token.request(()).metadata().get("authorization").unwrap(), "Bearer a.b.c");
        let token = Token::read(&HeaderValue::from_static("bEARER a.b.c")).unwrap();
        assert_eq!(token.request(()).metadata().get("authorization").unwrap(), "Bearer a.b.c");
    }

    #[test]
    fn anything_else_is_nobody() {
        for bad in ["", "Bearer", "Bearer ", "Basic YTpi", "a.b.c", "BearerX a.b.c"] {
            assert!(Token::read(&HeaderValue::from_static(bad)).is_err(), "{bad:?}");
        }
    }
}
