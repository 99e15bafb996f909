//! The admin port where it leaves the machine.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::child::{Idle, TLS_DIR, certificates, command, run};

const EVERYWHERE: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// As the kubelet asks, or Prometheus: without a certificate, offering both versions of HTTP.
fn connect(idle: &Idle) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(TLS_DIR.join("ca.pem")).expect("an authority");
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("idle").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(connection, tcp(idle))
}

fn tcp(idle: &Idle) -> TcpStream {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, idle.admin.port()));
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream
}

fn livez(stream: &mut (impl Read + Write)) -> std::io::Result<Vec<u8>> {
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: idle\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map(|_| answer)
}

#[test]
fn a_client_without_a_certificate_is_answered_over_tls() {
    let idle = Idle::start_at(EVERYWHERE, "good", &[]);
    idle.answers("ready", |health| health.code == Some(0));
    let mut stream = connect(&idle);
    let answer = livez(&mut stream).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_plain_client_gets_nothing() {
    let idle = Idle::start_at(EVERYWHERE, "good", &[]);
    idle.answers("ready", |health| health.code == Some(0));
    // A reset is as good as an end.
    let answer = livez(&mut tcp(&idle)).unwrap_or_default();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

#[test]
fn without_a_certificate_the_process_does_not_start() {
    let empty = tempfile::tempdir().expect("a folder");
    let dir = empty.path().display().to_string();
    let end = Idle::start_at(EVERYWHERE, "good", &["--tls-dir", &dir]).end();
    assert!(end.stderr.starts_with(&format!("idle: cannot read {dir}/ca.pem: ")), "{}", end.stderr);
    assert_eq!((end.code, end.stderr.lines().count()), (Some(1), 1), "{}", end.stderr);
}

#[test]
fn healthcheck_speaks_tls_and_believes_its_own_authority_alone() {
    let idle = Idle::start_at(EVERYWHERE, "good", &[]);
    idle.answers("ready", |health| health.code == Some(0));
    let end = idle.healthcheck();
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    let (admin, tls_dir) = (idle.admin.to_string(), certificates("stranger", "idle"));
    let tls_dir = tls_dir.to_str().expect("text");
    let end = run(&["--admin-listen", &admin, "--tls-dir", tls_dir, "healthcheck"]);
    let line = format!("idle: no answer on the admin port {admin}: invalid peer certificate: ");
    assert!(end.stderr.starts_with(&line), "{}", end.stderr);
    assert_eq!((end.code, end.stderr.lines().count()), (Some(1), 1), "{}", end.stderr);
}

#[test]
fn healthcheck_is_not_content_with_another_process_of_the_shop() {
    let cart = certificates("shop", "cart").display().to_string();
    let idle = Idle::start_at(EVERYWHERE, "good", &["--tls-dir", &cart]);
    idle.answers("refused", |health| health.stderr.contains("not valid for name \"idle\""));
}

#[test]
fn healthcheck_says_which_certificates_it_misses() {
    let mut unset = command(&["--admin-listen", "0.0.0.0:1", "healthcheck"]);
    let output = unset.env_remove("SOUK_TLS_DIR").output().expect("it runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("SOUK_TLS_DIR") && said.lines().count() == 1, "{said}");
    let end = run(&["--admin-listen", "0.0.0.0:1", "--tls-dir", "/no/such", "healthcheck"]);
    assert!(end.stderr.contains("cannot read /no/such/ca.pem: "), "{}", end.stderr);
    assert_eq!(end.code, Some(1));
}
