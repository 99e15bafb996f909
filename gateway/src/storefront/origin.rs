//! Where browsers reach the shop, and whether a request comes from a page of ours (CSRF).

use std::str::FromStr;

use axum::extract::Request;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, StatusCode, Uri, header};

use crate::problem::Problem;

/// A scheme and a host, perhaps with a port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    https: bool,
    host: Authority,
}

impl Origin {
    pub(crate) fn is_https(&self) -> bool {
        self.https
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no origin, such as https://shop.example");
        let parts = text.parse::<Uri>().map_err(|_| bad())?.into_parts();
        let https = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTPS => true,
            Some(scheme) if scheme == Scheme::HTTP => false,
            _ => return Err(bad()),
        };
        let path = parts.path_and_query.map_or(String::new(), |path| path.to_string());
        let host = parts.authority.filter(|host| !host.as_str().contains('@'));
        match host {
            // As browsers write it: without the scheme's own port.
            Some(host) if host.port_u16() == Some(if https { 443 } else { 80 }) => Err(bad()),
            Some(host) if matches!(&*path, "" | "/") && !text.ends_with('/') => {
                Ok(Self { https, host })
            }
            _ => Err(bad()),
        }
    }
}

/// Whether a form of ours sent this. Browsers say where a request comes from in `Sec-Fetch-Site`, but only to https and to
/// localhost; all of them send `Origin` with a POST. With neither it is no browser, or an old one. `ours`: the configured origin; without one,
/// whatever host the request itself is for.
///
/// # Errors
/// 403.
pub(super) fn check(request: &Request, ours: Option<&Origin>) -> Result<(), Problem> {
    if is_same_origin(request, ours) {
        return Ok(());
    }
    let detail = "this form was not sent from a page of this shop";
    Err(Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail))
}

fn is_same_origin(request: &Request, ours: Option<&Origin>) -> bool {
    if let Some(site) = one(request.headers(), "sec-fetch-site") {
        return site == Some("same-origin");
    }
    let Some(Some(origin)) = one(request.headers(), header::ORIGIN.as_str()) else { return false };
    let Ok(origin) = origin.parse::<Origin>() else { return false };
    match ours {
        Some(ours) => origin == *ours,
        None => host(request).is_some_and(|host| host == origin.host.as_str()),
    }
}

/// The header's one value: `None` without it, `Some(None)` when it is not one text.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<Option<&'a str>> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    Some(first.to_str().ok().filter(|_| lines.next().is_none()))
}

/// The host that a request is for, with its port.
pub(super) fn host(request: &Request) -> Option<&str> {
    let target = request.uri().authority().map(Authority::as_str);
    target.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn sent(headers: &[(&str, &str)], ours: Option<&str>) -> bool {
        let mut request = Request::post("/cart").header("host", "shop.example:8080");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let ours = ours.map(|ours| ours.parse().unwrap());
        check(&request.body(Body::empty()).unwrap(), ours.as_ref()).is_ok()
    }

    #[test]
    fn only_our_own_pages_send_forms() {
        for (site, good) in
            [("same-origin", true), ("same-site", false), ("cross-site", false), ("none", false)]
        {
            let site = ("sec-fetch-site", site);
            assert_eq!(sent(&[site], None), good, "{site:?}");
            assert_eq!(sent(&[site, ("origin", "http://shop.example:8080")], None), good);
        }
        for (origin, good) in [
            ("http://shop.example:8080", true),
            ("https://shop.example:8080", true), // whoever ends TLS for us
            ("http://shop.example", false),
            ("http://evil.example", false),
            ("http://shop.example:8080.evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(sent(&[("origin", origin)], None), good, "{origin:?}");
        }
        assert!(!sent(&[], None), "nobody says where it comes from");
        let twice = [("origin", "http://shop.example:8080"), ("origin", "http://evil.example")];
        assert!(!sent(&twice, None));
    }

    #[test]
    fn a_configured_origin_is_the_only_one() {
        let ours = Some("https://shop.example");
        assert!(sent(&[("origin", "https://shop.example")], ours));
        for other in
            ["http://shop.example", "https://shop.example:8080", "https://www.shop.example"]
        {
            assert!(!sent(&[("origin", other)], ours), "{other}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "shop.example",
            "https://",
            "ftp://shop.example",
            "https://shop.example/",
            "https://shop.example/shop",
            "https://a@shop.example",
            "https://shop.example:443",
            "http://shop.example:80",
            "null",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad:?}");
        }
        assert!("https://shop.example".parse::<Origin>().unwrap().is_https());
        assert!(!"http://localhost:8080".parse::<Origin>().unwrap().is_https());
    }
}
