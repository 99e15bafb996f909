//! The shop's own certificate authority: one root, and for every process a certificate that
//! carries nothing but the process's name. It is used where nobody else hands out
//! certificates: by `cargo souk up` and by tests. In a cluster the same three files
//! (`ca.pem`, `cert.pem`, `key.pem`) come from whatever the cluster has.
//!
//! The name in a certificate is the identity that `rpc` checks, on both sides of a call, so
//! it is the first subject alternative name, and the only one: no `localhost`, no address. The stores are not called by
//! our own stack, nor is the gateway, and clients of theirs compare the certificate with the address: where they run on
//! the clients' machine, theirs has loopback beside the name.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::Duration;

const COMMON_NAME: &str = "Souk certificate authority";
const AUTHORITY_VALID: Duration = Duration::days(3650);
const PROCESS_VALID: Duration = Duration::days(90);
/// Certificates are valid a little into the past, for machines whose clocks differ.
const CLOCK_SKEW: Duration = Duration::hours(1);

/// A certificate authority that lives in a folder.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Opens the authority in `dir` (`ca.pem`, `ca-key.pem`), or makes one.
    ///
    /// Of two processes that make one at the same time, the first to place its key wins and
    /// both use that: the key is the authority, and the certificate follows from it.
    ///
    /// # Errors
    /// When the folder cannot be written, or holds a key that is not a PEM private key.
    pub fn open_or_create(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref();
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let key = open_or_create_key(&dir.join("ca-key.pem"))?;
        let params = authority_params();
        let path = dir.join("ca.pem");
        let certificate = match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                let pem = params.self_signed(&key)?.pem();
                replace(&path, &pem)?;
                pem
            }
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem` (mode 0600) for the process `name` into `dir`,
    /// valid for 90 days. Each file is replaced in one step. Issuing again is how a certificate
    /// is rotated: running processes notice the new files.
    ///
    /// # Errors
    /// When `name` is not a DNS label in lower case, or the folder cannot be written.
    pub fn issue(&self, name: &str, dir: impl AsRef<Path>) -> Result<()> {
        self.issue_for(name, &[], dir.as_ref())
    }

    /// The same for a server on this machine that others reach by address: valid for `127.0.0.1` and `localhost` too.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_local(&self, name: &str, dir: impl AsRef<Path>) -> Result<()> {
        self.issue_for(name, &["localhost", "127.0.0.1"], dir.as_ref())
    }

    fn issue_for(&self, name: &str, addresses: &[&str], dir: &Path) -> Result<()> {
        ensure!(is_dns_label(name), "{name:?} is not a name for a process: a-z, 0-9 and - only");
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = process_params(name, addresses)?.signed_by(&key, &self.issuer)?;
        replace(&dir.join("ca.pem"), &self.certificate)?;
        replace(&dir.join("key.pem"), &key.serialize_pem())?;
        replace(&dir.join("cert.pem"), &certificate.pem())
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(COMMON_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, AUTHORITY_VALID);
    params
}

fn process_params(name: &str, addresses: &[&str]) -> Result<CertificateParams> {
    let names = [name].into_iter().chain(addresses.iter().copied()).map(str::to_owned);
    let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
    params.distinguished_name = distinguished_name(name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    valid_for(&mut params, PROCESS_VALID);
    Ok(params)
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn valid_for(params: &mut CertificateParams, validity: Duration) {
    let now = kernel::clock::now();
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + validity;
}

fn is_dns_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn open_or_create_key(path: &Path) -> Result<KeyPair> {
    if !path.exists() {
        let fresh =
            scratch(path, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?.serialize_pem())?;
        // Unlike a rename, a link does not replace the key that somebody else has just placed.
        let placed = fs::hard_link(&fresh, path);
        fs::remove_file(&fresh)?;
        match placed {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    let pem = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    KeyPair::from_pem(&pem).with_context(|| format!("{} holds no usable key", path.display()))
}

/// Replaces the file at `path` in one step, so that a reader sees the old or the new content.
fn replace(path: &Path, content: &str) -> Result<()> {
    let fresh = scratch(path, content)?;
    fs::rename(&fresh, path).with_context(|| format!("cannot write {}", path.display()))
}

/// A file beside `path` that only its owner may read.
fn scratch(path: &Path, content: &str) -> Result<std::path::PathBuf> {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
    let fresh = path.with_extension(format!("{}-{serial}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", fresh.display()))?;
    Ok(fresh)
}
