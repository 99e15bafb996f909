//! From a template to an answer.

use std::time::Duration;

use askama::Template;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use proto::user::v1::Role;

use super::assets::ASSETS;
use super::origin;
use crate::conditional::PUBLIC;

/// A part that a page can do without is waited for so long.
pub(super) const BESIDE_WITHIN: Duration = Duration::from_millis(500);

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// Nothing but what is ours: no inline script or style, no frame, no form to elsewhere, no string that becomes script (trusted types).
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; \
     base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types souk",
);
/// A link to elsewhere does not say which order was looked at; a window of another site has no hold on ours.
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What every page has around its content.
pub(super) struct Layout {
    pub(super) title: String,
    /// In the search field.
    pub(super) query: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
    /// Whether the header leads to the staff's pages: never on a page that is the same for everybody.
    pub(super) staff: bool,
    /// Which copy of the gateway made it; empty when that does not matter.
    pub(super) copy: String,
}

impl Layout {
    pub(super) fn new(copy: &str, title: impl Into<String>) -> Self {
        let assets = &*ASSETS;
        Self {
            title: title.into(),
            query: String::new(),
            style: &assets.style.name,
            script: &assets.script.name,
            icon: &assets.icon.name,
            staff: false,
            copy: copy.to_owned(),
        }
    }

    /// The same, with the link to the staff's pages for whoever is staff.
    pub(super) fn with_staff_link(self, role: Role) -> Self {
        Self { staff: role == Role::Staff, ..self }
    }
}

/// A page that is somebody's own: nobody keeps it.
pub(super) fn own(status: StatusCode, page: &impl Template) -> Response {
    let body = match page.render() {
        Ok(body) => body,
        Err(error) => {
            tracing::error!(%error, "a page was not rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HTML);
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::REFERRER_POLICY, SAME_ORIGIN);
    headers.insert(OPENER_POLICY, SAME_ORIGIN);
    response
}

/// A page that is the same for everybody: it is kept as long as what it shows.
pub(super) fn public(page: &impl Template) -> Response {
    let mut response = own(StatusCode::OK, page);
    if response.status() == StatusCode::OK {
        response.headers_mut().insert(header::CACHE_CONTROL, PUBLIC);
    }
    response
}

/// After a form: another page is shown, and going back does not send the form again (303, RFC 9110, 15.4.4).
pub(super) fn see_other(path: &str) -> Response {
    // A path that no header can hold was never one of ours.
    let path = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

/// Whether a browser is looking.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT).iter();
    lines.filter_map(|line| line.to_str().ok()).any(|line| line.contains("text/html"))
}

/// A path of ours, with its query, that may be shown again; anything else (another site, a path that browsers read as one) is `None`.
pub(super) fn local(path: &str) -> Option<&str> {
    let ours = path.starts_with('/') && !path.starts_with("//") && path.len() <= 1024;
    (ours && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')).then_some(path)
}

/// Where to come back to: the path of this request, or of the page whose form it is.
pub(super) fn place(request: &Request) -> String {
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    let page = if read { Some(request.uri().clone()) } else { referer(request) };
    let path = page.as_ref().and_then(Uri::path_and_query);
    path.and_then(|path| local(path.as_str())).unwrap_or("/").to_owned()
}

/// The page of ours that a form is on.
fn referer(request: &Request) -> Option<Uri> {
    let page: Uri = request.headers().get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let ours = page.authority().is_some_and(|it| origin::host(request) == Some(it.as_str()));
    ours.then_some(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_shown_after_a_sign_in() {
        for ours in ["/", "/orders/018f?x=1", "/search?q=a%20b"] {
            assert_eq!(local(ours), Some(ours));
        }
        let long = format!("/{}", "a".repeat(2000));
        for other in [
            "",
            "orders",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/a b",
            "/é",
            &long,
            "javascript:alert(1)",
        ] {
            assert_eq!(local(other), None, "{other:?}");
        }
    }
}
