//! TLS without `rpc`, to see what a stranger would see.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn certificate(dir: &Path, name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&fs::read(dir.join(name)).unwrap()).unwrap()
}

fn key(dir: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(&fs::read(dir.join("key.pem")).unwrap()).unwrap()
}

fn client(dir: &Path) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(dir, "ca.pem")).unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
}

async fn shake_hands(config: ClientConfig, address: SocketAddr) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("product").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap()
}

/// Shows the certificate in `dir`.
pub fn known(dir: &Path) -> ClientConfig {
    let chain = vec![certificate(dir, "cert.pem")];
    client(dir).with_client_auth_cert(chain, key(dir)).unwrap()
}

/// A connection with the certificate in `dir`.
pub async fn with_certificate(dir: &Path, address: SocketAddr) -> TlsStream<TcpStream> {
    shake_hands(known(dir), address).await
}

/// A connection with no certificate, that trusts the authority in `dir`.
pub async fn without_certificate(dir: &Path, address: SocketAddr) -> TlsStream<TcpStream> {
    shake_hands(client(dir).with_no_client_auth(), address).await
}

/// The certificate that a server shows to a new connection.
pub async fn shown_by(address: SocketAddr, dir: &Path) -> CertificateDer<'static> {
    let tls = without_certificate(dir, address).await;
    tls.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Accepts with the certificate in `dir`, asking for none.
pub fn acceptor(dir: &Path) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate(dir, "cert.pem")], key(dir))
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}
