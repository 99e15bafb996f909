//! Who may use the console: a browser that has the token, at the console's own address, and no page of anybody else.
//!
//! - The Host has to be the console's own (DNS rebinding: a page of another host whose name leads here is refused).
//! - What is read and done is below `/api/`, and needs the token in a header. No cookie is known, so a browser adds
//!   nothing by itself, and no CORS header is sent, so a page of another origin cannot add the token either.
//! - The page runs its own script only, and the script builds nodes, never markup (Trusted Types).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::problem::Problem;
use crate::token::Token;

/// Probes come from this machine and know the address only; they learn nothing.
const PROBES: [&str; 2] = ["/livez", "/readyz"];

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// Sent with every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CSP),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// The middleware for everything: refuses another Host, and adds the headers to whatever is answered.
pub async fn own_host(State(host): State<Arc<str>>, request: Request, next: Next) -> Response {
    let mut response = match PROBES.contains(&request.uri().path()) || is_own(&host, &request) {
        true => next.run(request).await,
        false => misdirected(&host),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One Host header, byte by byte; and no other host in the request's line.
fn is_own(host: &str, request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let one = matches!((hosts.next(), hosts.next()), (Some(only), None) if only == host);
    one && request.uri().authority().is_none_or(|authority| authority == host)
}

fn misdirected(host: &str) -> Response {
    let text = format!("the console is at http://{host}/ only\n");
    (StatusCode::MISDIRECTED_REQUEST, text).into_response()
}

/// The middleware for `/api/`: the token, or 401.
pub async fn with_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    match shown.is_some_and(|shown| token.is(shown)) {
        true => next.run(request).await,
        false => Problem::unauthenticated().into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    const OWN: &str = "console.localhost:8090";

    fn request(uri: &str, hosts: &[&str]) -> Request {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(Body::empty()).expect("a request")
    }

    #[test]
    fn the_host_is_compared_letter_by_letter() {
        assert!(is_own(OWN, &request("/", &[OWN])));
        assert!(is_own(OWN, &request("http://console.localhost:8090/", &[OWN])));
        for hosts in [
            &["console.localhost"][..],
            &["console.localhost:80900"],
            &["CONSOLE.localhost:8090"],
            &["127.0.0.1:8090"],
            &["localhost:8090"],
            &["a.console.localhost:8090"],
            &[OWN, "evil.example"],
            &[OWN, OWN],
            &[],
        ] {
            assert!(!is_own(OWN, &request("/", hosts)), "{hosts:?}");
        }
        assert!(!is_own(OWN, &request("http://evil.example/", &[OWN])));
    }
}
