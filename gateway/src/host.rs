//! Which host a request is for, as far as HTTP demands that it says so: exactly one, and a valid
//! one (RFC 9112, 3.2; RFC 9113, 8.3.1). There is one shop, so any name will do; but a request
//! that two servers on its way may understand in two ways (request smuggling) is refused.

use axum::extract::Request;
use http::uri::Authority;
use http::{StatusCode, Version, header};

use crate::problem::Problem;

/// # Errors
/// 400 when the host is missing, said twice, contradicted, or not one.
pub(crate) fn check(request: &Request) -> Result<(), Problem> {
    let mut lines = request.headers().get_all(header::HOST).iter();
    let (first, second) = (lines.next(), lines.next());
    if second.is_some() {
        return Err(refused("a request has one Host header"));
    }
    let named = first.map(|host| {
        let host = Authority::try_from(host.as_bytes()).ok();
        host.filter(is_host).ok_or_else(|| refused("the Host header is not a host"))
    });
    let (named, target) = (named.transpose()?, request.uri().authority());
    if target.is_some_and(|target| !is_host(target)) {
        return Err(refused("the authority is not a host"));
    }
    match (request.version(), named, target) {
        (Version::HTTP_2, Some(named), Some(target)) if named != *target => {
            Err(refused("Host and :authority differ"))
        }
        (Version::HTTP_2, None, None) => Err(refused("the :authority is missing")),
        (Version::HTTP_11, None, _) => Err(refused("the Host header is missing")),
        _ => Ok(()),
    }
}

/// A name and perhaps a port; no user.
fn is_host(authority: &Authority) -> bool {
    let host = authority.host();
    let Some(port) = authority.as_str().strip_prefix(host) else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |text: &str| text.is_empty() || digits(text) && text.parse::<u16>().is_ok();
    !host.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(number))
}

fn refused(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_host", detail)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn code(version: Version, uri: &str, hosts: &[&str]) -> Option<u16> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let problem = check(&request.body(Body::empty()).expect("a request")).err()?;
        Some(axum::response::IntoResponse::into_response(problem).status().as_u16())
    }

    #[test]
    fn http_1_needs_one_valid_host() {
        for host in ["shop", "shop.example:8080", "127.0.0.1", "[::1]:80", "[::1]", "shop:"] {
            assert_eq!(code(Version::HTTP_11, "/", &[host]), None, "{host}");
        }
        for host in ["", "a b", "a@b", "shop:http", "shop:70000", "shop/x", ":80", "[::1"] {
            assert_eq!(code(Version::HTTP_11, "/", &[host]), Some(400), "{host}");
        }
        assert_eq!(code(Version::HTTP_11, "/", &[]), Some(400));
        assert_eq!(code(Version::HTTP_11, "/", &["shop", "shop"]), Some(400));
        assert_eq!(code(Version::HTTP_11, "http://shop/", &[]), Some(400));
        // The target says it all, and a proxy may not have changed the header.
        assert_eq!(code(Version::HTTP_11, "http://shop/", &["other"]), None);
        assert_eq!(code(Version::HTTP_10, "/", &[]), None);
        assert_eq!(code(Version::HTTP_10, "/", &["shop", "other"]), Some(400));
    }

    #[test]
    fn http_2_needs_an_authority_that_host_does_not_contradict() {
        assert_eq!(code(Version::HTTP_2, "http://shop/", &[]), None);
        assert_eq!(code(Version::HTTP_2, "http://shop/", &["SHOP"]), None);
        assert_eq!(code(Version::HTTP_2, "/", &["shop"]), None);
        assert_eq!(code(Version::HTTP_2, "http://shop/", &["other"]), Some(400));
        assert_eq!(code(Version::HTTP_2, "http://me@shop/", &[]), Some(400));
        assert_eq!(code(Version::HTTP_2, "/", &[]), Some(400));
    }
}
