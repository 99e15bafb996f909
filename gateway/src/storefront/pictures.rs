//! A drawing for each product, since no photograph of it exists: a small SVG, made from the product's name, category and SKU.
//!
//! All that goes into a drawing is in its file name, `{kind}-{colour}-{seed}-{version}.svg`. So nothing is looked up to serve one, and
//! what a name stands for never changes: any cache may keep it for ever.

mod colour;
mod kind;
mod table;
mod pantry;
mod textiles;
mod house;
mod all;
mod words;
mod paint;

use std::fmt;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use self::colour::{Colour, hex};
use self::kind::Kind;
use self::words::Words;
use super::Failed;
use crate::problem::Problem;

/// Raise it whenever any drawing changes: browsers keep what they have under the old names.
const V: u32 = 2;

const SVG: HeaderValue = HeaderValue::from_static("image/svg+xml");
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// For a drawing that is opened by itself.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'none'");

/// For what may have any colour.
const PALETTE: [u32; 8] =
    [0xb5533c, 0x2f6db5, 0x3f8f86, 0xd19a3a, 0x8a4f6d, 0x6f8a4a, 0x4a5f8a, 0xc9704a];

/// What a drawing is made from. Its text (`Display`) is its file name.
pub(super) struct Picture {
    kind: &'static Kind,
    colour: Colour,
    /// Of sixteen bits. The lowest four choose the motif, the next two its size, the next two what is behind the thing.
    seed: u32,
}

impl Picture {
    pub(super) fn of(name: &str, category: &str, sku: &str) -> Self {
        let (words, hash) = (Words::of(name), fnv(sku));
        let kind = words.kind(category).unwrap_or(&house::GIFT);
        let any = Colour(PALETTE[(hash >> 16) as usize % PALETTE.len()]);
        let colour = words.colour().or(kind.colour).unwrap_or(any);
        let seed = hash & 0xffff;
        Self { kind, colour, seed: words.motif().map_or(seed, |motif| seed & 0xfff0 | motif) }
    }

    /// Only names as `Display` writes them, so that no drawing has two.
    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".svg")?.split('-');
        let mut part = || parts.next();
        let (kind, colour, seed, version) = (part()?, part()?, part()?, part()?);
        let kind = all::ALL.into_iter().find(|it| it.name == kind)?;
        let (colour, seed) = (Colour::parse(colour)?, hex(seed, 4)?);
        (part().is_none() && version == V.to_string()).then_some(Self { kind, colour, seed })
    }
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:04x}-{V}.svg", self.kind.name, self.colour, self.seed)
    }
}

/// FNV-1a: the same in every copy of the gateway and after every update of the compiler.
fn fnv(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

pub(super) async fn serve(name: Result<Path<String>, PathRejection>) -> Result<Response, Failed> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such picture");
    let Path(name) = name.map_err(|_| missing())?;
    let svg = Picture::parse(&name).ok_or_else(missing)?.svg();
    let headers = [
        (header::CONTENT_TYPE, SVG),
        (header::CACHE_CONTROL, FOR_EVER),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((headers, svg).into_response())
}

#[cfg(test)]
mod tests;
