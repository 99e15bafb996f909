//! The shop's own small catalogue, and how a catalogue is brought to the shop: as staff, through
//! the API, as a stream of lines.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures_util::stream;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::api::{Api, Import, Imported, Money, accepted, bearer};
use crate::secrets::STAFF_EMAIL;

/// How often the shop is asked how far an import is.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// Longer than the gateway allows for the upload of one.
const IMPORT_MAX: Duration = Duration::from_secs(150);
const CHUNK_BYTES: usize = 32 * 1024;
const OWN: &str = include_str!("../catalogue.json");

/// One product, as staff says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The SHA-256 of the file that it comes from: its stock is booked in once for each file.
    pub source: String,
    /// The key that the outside knows it by.
    pub sku: String,
    /// What it says on the label.
    pub name: String,
    /// More of it.
    pub description: String,
    /// One of the shop's sections.
    pub category: String,
    /// For one piece.
    pub price: Money,
    /// Pieces that come with it.
    pub opening_stock: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    sku: String,
    name: String,
    description: String,
    category: String,
    pence: i64,
    stock: i64,
}

/// The shop's own products.
///
/// # Errors
/// Never: a test reads the file.
pub fn own() -> Result<Vec<Line>> {
    let source = hex(digest(&SHA256, OWN.as_bytes()).as_ref());
    let products: Vec<Own> = serde_json::from_str(OWN)?;
    let line = |own: Own| Line {
        source: source.clone(),
        sku: own.sku,
        name: own.name,
        description: own.description,
        category: own.category,
        price: pence(own.pence),
        opening_stock: own.stock,
    };
    Ok(products.into_iter().map(line).collect())
}

/// Puts the shop's own products on the shelves, as staff; how many they are, and how many of them
/// are new. Doing it again changes nothing.
///
/// # Errors
/// When the shop refuses.
pub async fn fill(api: &Api, staff_password: &str) -> Result<(usize, i64)> {
    let lines = own()?;
    let count = lines.len();
    let token = api.sign_in(STAFF_EMAIL, staff_password).await.context("signing in as staff")?;
    let imported = upload(api, &token, lines).await.context("filling the shelves")?;
    Ok((count, imported.added))
}

/// An amount of GBP.
pub fn pence(minor_units: i64) -> Money {
    Money { currency: "GBP".into(), minor_units }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Imports products. What is there already changes nothing.
///
/// # Errors
/// As [`send`] and [`follow`].
pub async fn upload(api: &Api, token: &str, lines: Vec<Line>) -> Result<Imported> {
    let import = send(api, token, lines, |_| ()).await?;
    follow(api, token, import, |_| ()).await
}

/// Waits for the end of an import; `imported` gets the number of products that are.
///
/// # Errors
/// When the import comes to another end than its own, or the shop does not answer: it goes on without us.
pub async fn follow(
    api: &Api,
    token: &str,
    mut import: Import,
    mut imported: impl FnMut(i64),
) -> Result<Imported> {
    while import.state == "running" {
        imported(import.items_imported);
        sleep(FOLLOW_EVERY).await;
        let path = format!("/v1/staff/imports/{}", import.import_id);
        import = api.get(&path, Some(token)).await?.json()?;
    }
    imported(import.items_imported);
    let Import { state, items_imported, items, failure, .. } = &import;
    ensure!(
        state == "done",
        "the import is {state}: {items_imported} of {items} are imported {failure}"
    );
    Ok(import.imported)
}

/// Sends products as one stream, as fast as the shop takes them, to be imported in the background; `sent` gets the number of
/// those that are on their way.
///
/// # Errors
/// When the shop refuses a line (then nothing is imported), or the connection breaks (then it may be): sending all again is
/// safe.
pub async fn send(
    api: &Api,
    token: &str,
    lines: Vec<Line>,
    mut sent: impl FnMut(usize) + Send + 'static,
) -> Result<Import> {
    let mut lines = lines.into_iter();
    let mut count = 0;
    let frames = std::iter::from_fn(move || {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for line in lines.by_ref() {
            count += 1;
            if let Err(error) = serde_json::to_writer(&mut chunk, &line) {
                return Some(Err(error.into()));
            }
            chunk.push(b'\n');
            if chunk.len() >= CHUNK_BYTES {
                break;
            }
        }
        sent(count);
        (!chunk.is_empty()).then(|| Ok(Frame::data(Bytes::from(chunk))))
    });
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    let request = api.client().request(Method::POST, "/v1/staff/imports");
    let request = request.header(AUTHORIZATION, bearer(token)?);
    let request = request.header(CONTENT_TYPE, "application/x-ndjson").body(body)?;
    accepted(api.client().send(request, IMPORT_MAX).await?)?.json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_shops_own_catalogue_can_be_sold() {
        let lines = own().expect("legible");
        assert!(lines.len() >= 40, "{}", lines.len());
        let skus: BTreeSet<&str> = lines.iter().map(|line| line.sku.as_str()).collect();
        assert_eq!(skus.len(), lines.len(), "every SKU once");
        for line in &lines {
            assert!(line.price.minor_units > 0 && line.opening_stock > 0, "{line:?}");
            assert!(line.sku.len() <= 64 && line.sku.bytes().all(|b| b.is_ascii_graphic()));
            assert!(!line.name.is_empty() && !line.description.is_empty(), "{line:?}");
            assert_eq!(line.source.len(), 64);
        }
        let named = |word: &str| lines.iter().filter(|line| line.name.contains(word)).count();
        assert!(named("cup") >= 3, "a search for cups finds something");
    }
}
