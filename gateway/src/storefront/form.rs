//! Forms: urlencoded, with a limit. That they come from a page of ours is checked before ([`super::failed::around`]).

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use super::Failed;
use crate::app::App;
use crate::body;
use crate::query;

/// The fields of a form.
pub(super) struct Form<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failed> {
        let (parts, body) = request.into_parts();
        body::check_type(&parts.headers, "application/x-www-form-urlencoded")?;
        let bytes = body::whole(body, app.body_limit()).await?;
        Ok(Self(query::read(&bytes)?))
    }
}
