//! Style, script and icon, which are part of the program. Their paths have a hash of their content, so that browsers and caches may keep
//! them for ever.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest::{SHA256, digest};

use super::Failed;
use crate::problem::Problem;

const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const BY_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

/// All of them.
pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("souk", "css", "text/css", include_bytes!("../../assets/souk.css")),
    script: Asset::new("souk", "js", "text/javascript", include_bytes!("../../assets/souk.js")),
    icon: Asset::new("icon", "svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
});

pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
}

/// A file, plain and compressed once.
pub(super) struct Asset {
    /// The name in its path.
    pub(super) name: String,
    content_type: &'static str,
    plain: &'static [u8],
    gzip: Bytes,
}

impl Asset {
    fn new(stem: &str, ending: &str, content_type: &'static str, plain: &'static [u8]) -> Self {
        let hash = BASE64.encode(&digest(&SHA256, plain).as_ref()[..9]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let written = gzip.write_all(plain).and_then(|()| gzip.finish());
        let gzip = written.expect("memory can be written").into();
        Self { name: format!("{stem}-{hash}.{ending}"), content_type, plain, gzip }
    }

    fn is_another_version(&self, name: &str) -> bool {
        let (stem, ending) = (self.name.split('-').next(), self.name.rsplit('.').next());
        name.len() == self.name.len()
            && name.split('-').next() == stem
            && name.rsplit('.').next() == ending
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = if takes_gzip(headers) {
            ([(header::CONTENT_ENCODING, GZIP)], self.gzip.clone()).into_response()
        } else {
            self.plain.into_response()
        };
        let answered = response.headers_mut();
        answered.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        answered.insert(header::CACHE_CONTROL, FOR_EVER);
        answered.insert(header::VARY, BY_ENCODING);
        response
    }
}

/// `q=0` is a refusal (RFC 9110, 12.4.2).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|it| it.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

pub(super) async fn serve(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such file");
    let Path(name) = name.map_err(|_| missing())?;
    let Assets { style, script, icon } = &*ASSETS;
    let all = || [style, script, icon].into_iter();
    if let Some(asset) = all().find(|asset| asset.name == name) {
        return Ok(asset.answer(&headers));
    }
    // While copies of two releases serve, a page of one loads its files from the other.
    let asset = all().find(|asset| asset.is_another_version(&name)).ok_or_else(missing)?;
    let mut response = asset.answer(&headers);
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_whoever_takes_it() {
        for (line, takes) in [
            ("gzip", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0", false),
            ("deflate, br", false),
            ("", false),
            ("x-gzip", false),
        ] {
            let headers = [(header::ACCEPT_ENCODING, HeaderValue::from_static(line))];
            assert_eq!(takes_gzip(&HeaderMap::from_iter(headers)), takes, "{line}");
        }
    }

    #[test]
    fn what_a_page_loads_is_small() {
        let Assets { style, script, .. } = &*ASSETS;
        assert!(style.gzip.len() <= 8 * 1024, "{} bytes of CSS", style.gzip.len());
        assert!(script.gzip.len() <= 10 * 1024, "{} bytes of JS", script.gzip.len());
    }
}
