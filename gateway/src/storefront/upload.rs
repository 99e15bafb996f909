//! A file in a form (`multipart/form-data`, RFC 7578), in memory, with a limit.

use std::convert::Infallible;

use axum::extract::Request;
use bytes::Bytes;
use futures_util::{future, stream};
use http::{StatusCode, header};
use multer::Multipart;

use crate::body;
use crate::problem::Problem;

/// The file of this field: empty when none was chosen. The whole form has at most `limit` bytes.
///
/// # Errors
/// 413, 415, or 400 for what no browser sends.
pub(super) async fn file(request: Request, field: &str, limit: usize) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    body::check_type(&parts.headers, "multipart/form-data")?;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let whole = body::whole(body, limit).await?;
    let whole = stream::once(future::ready(Ok::<_, Infallible>(whole)));
    let mut form = Multipart::new(whole, boundary);
    while let Some(part) = form.next_field().await.map_err(malformed)? {
        if part.name() == Some(field) {
            return part.bytes().await.map_err(malformed);
        }
    }
    Err(Problem::invalid(field, "missing"))
}

fn malformed(error: multer::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_form", format!("not a form: {error}"))
}
