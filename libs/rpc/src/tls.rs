//! Mutual TLS with certificate rotation: our certificate, its key and the authority that both sides trust, from three
//! files that may be replaced while the process runs.
//!
//! A new connection uses the files as they were a second ago; connections that exist keep what
//! they were made with. Files that do not fit together (a rotation seen half-way, a truncated
//! copy) change nothing: the old certificate stays until a good one is there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use arc_swap::ArcSwap;
use net::{Acceptor, ConfigSource};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use telemetry::catalogue::RPC_TLS_RELOADS;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Peer;
use crate::in_process::{self, InProcess, NotServing, Serving};
use crate::server::Stack;
use crate::status::Chain;

const POLL: Duration = Duration::from_secs(1);
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Where a process finds its certificate.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Folder with ca.pem (whom we trust), cert.pem (our chain) and key.pem
    #[arg(long, env = "SOUK_TLS_DIR", value_name = "DIR")]
    pub tls_dir: PathBuf,
}

/// Why the files of an [`Identity`] cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A file is not what its name says.
    #[error("no usable PEM in {0}")]
    Pem(&'static str, #[source] rustls::pki_types::pem::Error),
    /// A file holds no certificate at all.
    #[error("{0} holds no certificate")]
    Empty(&'static str),
    /// The files do not fit together.
    #[error("certificate, key and authority cannot be used together")]
    Tls(#[from] rustls::Error),
    /// The authority is not one.
    #[error("ca.pem is no authority for clients")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// Our certificate and whom we trust. Clones share one state.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}

struct Inner {
    dir: PathBuf,
    loaded: Files,
    /// Ours, and who else runs in this process.
    in_process: Option<(Peer, InProcess)>,
    current: ArcSwap<Configs>,
}

struct Configs {
    server: Arc<ServerConfig>,
    /// For clients that have no certificate.
    open: Arc<ServerConfig>,
    /// The same, for the admin port.
    open_http1: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is missing, or they do not fit together.
    pub fn load(options: &Options) -> Result<Self, Error> {
        let dir = options.tls_dir.clone();
        let loaded = Files::read(&dir)?;
        let current = ArcSwap::from_pointee(loaded.configs()?);
        let in_process = loaded.name()?.zip(InProcess::ours());
        Ok(Self(Arc::new(Inner { dir, loaded, in_process, current })))
    }

    /// Starts the task that looks for new files every second, until `stop`.
    pub fn watch(&self, stop: CancellationToken) -> JoinHandle<()> {
        let identity = self.clone();
        tokio::spawn(async move {
            stop.run_until_cancelled_owned(identity.follow()).await;
        })
    }

    /// Takes in clients that have no certificate, and speak HTTP. What is to be kept from anybody who can connect is
    /// not kept by this.
    pub fn open_acceptor(&self) -> Acceptor {
        let identity = self.clone();
        Acceptor::tls(move || Arc::clone(&identity.0.current.load().open))
    }

    /// For the admin port: the same for clients of HTTP/1.1.
    pub fn open_http1(&self) -> ConfigSource {
        let identity = self.clone();
        Arc::new(move || Arc::clone(&identity.0.current.load().open_http1))
    }

    /// How to accept connections, now.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.current.load().server)
    }

    /// How to make connections, now.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0.current.load().client)
    }

    /// The service `name`, if it runs in this process.
    pub(crate) fn in_process(&self, name: &str) -> Option<Result<in_process::Server, NotServing>> {
        let (own, services) = self.0.in_process.as_ref()?;
        services.find(name, own)
    }

    /// Our stack answers who else runs in this process.
    pub(crate) fn serve_in_process(&self, stack: &Arc<Stack>) -> Option<Serving> {
        let (own, services) = self.0.in_process.as_ref()?;
        services.serve(own.name(), stack)
    }

    async fn follow(self) {
        let mut seen = self.0.loaded.clone();
        loop {
            tokio::time::sleep(POLL).await;
            let dir = self.0.dir.clone();
            // Three small files. Comparing their content needs no faith in time stamps, which a
            // volume that swaps a symbolic link does not change.
            let read = tokio::task::spawn_blocking(move || Files::read(&dir)).await;
            let Ok(read) = read else { continue };
            match read.map(|files| (files != seen).then_some(files)) {
                Ok(None) => {}
                Ok(Some(files)) => {
                    self.replace(&files);
                    seen = files;
                }
                // A missing file is reported once, not every second.
                Err(error) if seen != Files::default() => {
                    reload_failed(&error);
                    seen = Files::default();
                }
                Err(_) => {}
            }
        }
    }

    fn replace(&self, files: &Files) {
        match files.configs() {
            Ok(configs) => {
                self.0.current.store(Arc::new(configs));
                RPC_TLS_RELOADS.with_label_values(&["ok"]).inc();
                tracing::info!(dir = %self.0.dir.display(), "new certificate");
            }
            Err(error) => reload_failed(&error),
        }
    }
}

fn reload_failed(error: &Error) {
    RPC_TLS_RELOADS.with_label_values(&["failed"]).inc();
    tracing::error!(error = %Chain(error), "the new certificate cannot be used, keeping the old");
}

/// The three files, as bytes.
#[derive(Clone, Default, PartialEq, Eq)]
struct Files {
    authority: Vec<u8>,
    chain: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    fn read(dir: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).map_err(|error| Error::Read(path, error))
        };
        Ok(Self { authority: read("ca.pem")?, chain: read("cert.pem")?, key: read("key.pem")? })
    }

    /// The name in our certificate.
    fn name(&self) -> Result<Option<Peer>, Error> {
        let chain = certificates("cert.pem", &self.chain)?;
        Ok(chain.first().and_then(Peer::of_certificate))
    }

    /// Each pair of configurations has session caches of its own, so that nobody resumes a
    /// session across a change of certificates.
    fn configs(&self) -> Result<Configs, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in certificates("ca.pem", &self.authority)? {
            roots.add(certificate)?;
        }
        let roots = Arc::new(roots);
        let chain = certificates("cert.pem", &self.chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|e| Error::Pem("key.pem", e))?;

        let verifier: Arc<dyn ClientCertVerifier> =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()?;
        let server = |alpn: &[&[u8]], clients: Arc<dyn ClientCertVerifier>| {
            let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&TLS13])?
                .with_client_cert_verifier(clients)
                .with_single_cert(chain.clone(), key.clone_key())?;
            server.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
            Ok::<_, rustls::Error>(Arc::new(server))
        };
        let open = server(&[H2, HTTP1], Arc::new(NoClientAuth))?;
        let open_http1 = server(&[HTTP1], Arc::new(NoClientAuth))?;
        let server = server(&[H2], verifier)?;

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.alpn_protocols = vec![H2.to_vec()];
        Ok(Configs { server, open, open_http1, client: Arc::new(client) })
    }
}

fn certificates(name: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Pem(name, error))?;
    if found.is_empty() { Err(Error::Empty(name)) } else { Ok(found) }
}
