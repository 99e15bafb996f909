//! The catalogue of events, made of what binds: the .proto files with their comments, and the lists of
//! what each service listens to. It is committed, so that it can be read where the repository is, and
//! compared here, so that it stays true.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod descriptors;
mod services;
mod catalogue;
mod asyncapi;
mod page;
mod surface;
mod baseline;

use std::fs;
use std::path::Path;

use crate::catalogue::Catalogue;

/// Set, it makes the test write what it would compare.
const WRITE: &str = "SOUK_WRITE_CATALOGUE";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn references_lead_somewhere() {
    let document = asyncapi::document(&Catalogue::read(root()).unwrap());
    assert_eq!(asyncapi::dangling(&document), Vec::<String>::new());
    let broken = document.replace("#/components/schemas/Money", "#/components/schemas/Gold");
    assert!(asyncapi::dangling(&broken).contains(&"#/components/schemas/Gold".to_owned()));
}

#[test]
fn the_catalogue_says_what_the_code_says() {
    let catalogue = Catalogue::read(root()).unwrap();
    let files = [
        ("docs/events/asyncapi.json", asyncapi::document(&catalogue)),
        ("docs/events.md", page::page(&catalogue)),
    ];
    for (path, expected) in files {
        let file = root().join(path);
        if std::env::var_os(WRITE).is_some() {
            fs::write(&file, &expected).unwrap();
        }
        let committed = fs::read_to_string(&file).unwrap_or_default();
        let line = committed.lines().zip(expected.lines()).position(|(one, other)| one != other);
        assert!(
            committed == expected,
            "{path} is not what the code says (from line {} on): {WRITE}=1 cargo test -p proto",
            line.map_or(committed.lines().count(), |at| at + 1)
        );
    }
}
