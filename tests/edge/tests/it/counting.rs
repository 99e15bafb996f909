//! Gateways that count what they are asked: one takes a request and goes away, one takes its time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// Long enough for everybody to have asked.
const SLOW: Duration = Duration::from_millis(500);
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=1\r\n\
                        Content-Length: 2\r\nConnection: close\r\n\r\n{}";

/// Listens, reads the head of whatever comes, and then does what it is for; gone when dropped.
pub struct Counting {
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Counting {
    /// Shows the certificate in a folder, and closes the connection without an answer.
    pub async fn dropping(certificate: &Path) -> Result<Self> {
        Self::start(Some(acceptor(certificate)?), false).await
    }

    /// Shows the certificate in a folder, and answers late, with something that may be kept.
    pub async fn slow(certificate: &Path) -> Result<Self> {
        Self::start(Some(acceptor(certificate)?), true).await
    }

    /// Speaks no TLS.
    pub async fn plain() -> Result<Self> {
        Self::start(None, true).await
    }

    async fn start(tls: Option<TlsAcceptor>, answers: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, counted) = (tls.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    let Some(tls) = tls else { return serve(stream, answers, &counted).await };
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, answers, &counted).await;
                    }
                });
            }
        });
        Ok(Self { address, requests, task })
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn acceptor(certificate: &Path) -> Result<TlsAcceptor> {
    let chain = vec![CertificateDer::from_pem_file(certificate.join("cert.pem"))?];
    let key = PrivateKeyDer::from_pem_file(certificate.join("key.pem"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A request is what begins like one of HTTP.
async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answers: bool,
    counted: &AtomicUsize,
) {
    let mut head = [0; 4096];
    let length = stream.read(&mut head).await.unwrap_or(0);
    if !head[..length].windows(5).any(|bytes| bytes == b"HTTP/") {
        return;
    }
    counted.fetch_add(1, Ordering::Relaxed);
    if answers {
        // the fault itself
        tokio::time::sleep(SLOW).await;
        let _ = stream.write_all(ANSWER).await; // the client may be gone
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}
