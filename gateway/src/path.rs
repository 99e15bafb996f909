//! The ids in a route. Text that is no id names nothing that exists, so it is a 404 like any other.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::StatusCode;
use http::request::Parts;
use kernel::{ImportId, OrderId, ProductId, ReturnId};

use crate::problem::Problem;

/// The one parameter of the route.
pub(crate) struct Id<T>(pub(crate) T);

/// The two parameters of the route, in their order.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

/// An id that may stand in a route.
pub(crate) trait InPath: FromStr {
    /// `code` and `detail` when there is no such thing.
    const MISSING: (&'static str, &'static str);
}

impl InPath for ProductId {
    const MISSING: (&'static str, &'static str) = ("product_not_found", "there is no such product");
}

impl InPath for OrderId {
    const MISSING: (&'static str, &'static str) = ("order_not_found", "there is no such order");
}

impl InPath for ReturnId {
    const MISSING: (&'static str, &'static str) = ("return_not_found", "there is no such return");
}

impl InPath for ImportId {
    const MISSING: (&'static str, &'static str) = ("import_not_found", "there is no such import");
}

impl<S: Send + Sync, T: InPath> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        Ok(Self(nth(params.as_ref(), 0)?))
    }
}

impl<S: Send + Sync, A: InPath, B: InPath> FromRequestParts<S> for Ids<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.ok();
        Ok(Self(nth(params.as_ref(), 0)?, nth(params.as_ref(), 1)?))
    }
}

fn nth<T: InPath>(params: Option<&RawPathParams>, at: usize) -> Result<T, Problem> {
    let id = params.and_then(|params| params.iter().nth(at)?.1.parse().ok());
    id.ok_or_else(|| {
        let (code, detail) = T::MISSING;
        Problem::new(StatusCode::NOT_FOUND, code, detail)
    })
}
