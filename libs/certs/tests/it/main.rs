//! What the authority issues is accepted by rustls, for the right name and no other.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use certs::Authority;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

fn certificate(dir: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(dir.join(name)).unwrap()
}

/// Whether the certificate in `dir` is good for `name`, in the eyes of who trusts `ca`.
fn accepted(ca: &Path, dir: &Path, name: &str, when: UnixTime) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(ca, "ca.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&certificate(dir, "cert.pem"), &[], &name, &[], when).map(|_| ())
}

fn in_days(days: u64) -> UnixTime {
    let now = UnixTime::now().as_secs();
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(now + days * 86_400))
}

#[test]
fn a_certificate_is_good_for_its_name_for_ninety_days() {
    let dir = TempDir::new().unwrap();
    let (ca, order) = (dir.path().join("ca"), dir.path().join("order"));
    Authority::open_or_create(&ca).unwrap().issue("order", &order).unwrap();
    accepted(&ca, &order, "order", in_days(0)).unwrap();
    accepted(&ca, &order, "order", in_days(89)).unwrap();
    accepted(&ca, &order, "order", in_days(91)).unwrap_err();
    accepted(&ca, &order, "payment", in_days(0)).unwrap_err();
    accepted(&ca, &order, "localhost", in_days(0)).unwrap_err();
    accepted(&order, &order, "order", in_days(0)).unwrap();
}

#[test]
fn the_key_belongs_to_the_certificate() {
    let dir = TempDir::new().unwrap();
    Authority::open_or_create(dir.path()).unwrap().issue("order", dir.path()).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.path().join("key.pem")).unwrap();
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(dir.path(), "cert.pem")], key)
        .unwrap();
}

#[test]
fn an_authority_is_opened_again() {
    let dir = TempDir::new().unwrap();
    let (ca, order) = (dir.path().join("ca"), dir.path().join("order"));
    let first = Authority::open_or_create(&ca).unwrap();
    let again = Authority::open_or_create(&ca).unwrap();
    assert_eq!(first.certificate(), again.certificate());
    again.issue("order", &order).unwrap();
    accepted(&ca, &order, "order", in_days(0)).unwrap();
    // The certificate follows from the key: a new one vouches for what the old one did.
    fs::remove_file(ca.join("ca.pem")).unwrap();
    Authority::open_or_create(&ca).unwrap();
    accepted(&ca, &order, "order", in_days(0)).unwrap();
}

#[test]
fn of_many_who_make_an_authority_at_once_all_get_the_same() {
    let dir = TempDir::new().unwrap();
    let ca = dir.path().join("ca");
    std::thread::scope(|scope| {
        for serial in 0..8 {
            let (ca, dir) = (&ca, dir.path().join(serial.to_string()));
            scope.spawn(move || {
                Authority::open_or_create(ca).unwrap().issue("order", dir).unwrap();
            });
        }
    });
    for serial in 0..8 {
        accepted(&ca, &dir.path().join(serial.to_string()), "order", in_days(0)).unwrap();
    }
}

#[test]
fn issuing_again_rotates() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    authority.issue("order", dir.path()).unwrap();
    let old = certificate(dir.path(), "cert.pem");
    authority.issue("order", dir.path()).unwrap();
    assert_ne!(certificate(dir.path(), "cert.pem"), old);
    accepted(dir.path(), dir.path(), "order", in_days(0)).unwrap();
}

#[test]
fn only_the_owner_reads_what_is_written_and_nothing_else_is_left() {
    let dir = TempDir::new().unwrap();
    Authority::open_or_create(dir.path()).unwrap().issue("order", dir.path()).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["ca-key.pem", "ca.pem", "cert.pem", "key.pem"]);
}

#[test]
fn names_that_are_no_dns_label_are_refused() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::open_or_create(dir.path()).unwrap();
    for name in ["", "Order", "order.souk", "*", "a b", "-a", "a-", &"x".repeat(64), "ördér"] {
        let error = authority.issue(name, dir.path().join("x")).unwrap_err();
        assert!(error.to_string().contains("not a name"), "{error}");
    }
}
