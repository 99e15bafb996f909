//! The listener that speaks TLS: for the edge, and for the payment provider.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{World, eventually};

const GET: &[u8] = b"GET /v1/cart HTTP/1.1\r\nhost: x\r\n\r\n";
const SOON: Duration = Duration::from_secs(10);

/// As a client that has no certificate, and offers these versions of HTTP.
async fn connect(world: &World, alpn: &[&str]) -> TlsStream<TcpStream> {
    let ca = fs::read(world.tls_dir().join("ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(world.tls_address).await.unwrap();
    let name = ServerName::try_from("gateway").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

fn requests(scheme: &str) -> u64 {
    let metrics = telemetry::render_metrics();
    let of_it = |line: &&str| {
        line.starts_with("http_server_request_duration_seconds_count")
            && line.contains("http_route=\"/v1/cart\"")
            && line.contains(&format!("url_scheme=\"{scheme}\""))
    };
    let counts = metrics.lines().filter(of_it);
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn the_same_is_answered_over_tls_and_counted_apart() {
    let world = World::new().await;
    let before = requests("https");
    for (offered, spoken) in [(&[][..], None), (&["h2", "http/1.1"], Some(&b"h2"[..]))] {
        let stream = connect(&world, offered).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), spoken);
    }
    let mut stream = connect(&world, &["http/1.1"]).await;
    stream.write_all(GET).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    eventually("it is counted", || requests("https") == before + 1).await;
}

#[tokio::test]
async fn at_the_tls_listener_a_plain_client_gets_nothing_and_is_counted() {
    let world = World::new().await;
    let failed = "souk_http_server_handshakes_failed_total{reason=\"failed\"}";
    let count = || {
        let metrics = telemetry::render_metrics();
        metrics.lines().find_map(|line| line.strip_prefix(failed)?.trim().parse::<u64>().ok())
    };
    let before = count().unwrap_or(0);
    let mut stream = TcpStream::connect(world.tls_address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let mut bytes = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the connection is cut");
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");
    eventually("it is counted", || count() > Some(before)).await;
}

#[tokio::test]
async fn the_next_handshake_shows_a_renewed_certificate() {
    let world = World::new().await;
    let old = connect(&world, &[]).await;
    let shown = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    world.renew_certificate();
    testkit::eventually("a handshake shows the new one", SOON, async || {
        (shown(&connect(&world, &[]).await) != shown(&old)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_ends_both_listeners() {
    let mut world = World::new().await;
    let mut stream = connect(&world, &[]).await;
    stream.write_all(GET).await.unwrap();
    assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
    assert!(world.stop().await < Duration::from_secs(2));
    assert_eq!(stream.read(&mut [0; 4096]).await.unwrap_or(0), 0, "an idle connection ends");
    for address in [world.address, world.tls_address] {
        assert!(TcpStream::connect(address).await.is_err());
    }
}
