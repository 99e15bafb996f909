//! `<process> healthcheck`: asks a running process's admin port whether it is ready. For container engines, whose
//! images have no curl in them.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::admin;

const ANSWER_MAX: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Succeeds when `/readyz` on the admin port of the process `name` answers 200.
///
/// # Errors
/// Nobody of that name answers there, or what is not ready.
pub(crate) fn ask(
    name: &'static str,
    admin: SocketAddr,
    tls_dir: Option<&Path>,
) -> anyhow::Result<()> {
    ensure!(
        admin.port() != 0,
        "healthcheck needs --admin-listen (SOUK_ADMIN_LISTEN) with the port of the process"
    );
    let tls = if admin::is_encrypted(admin) { Some(trusting(tls_dir)?) } else { None };
    let answer =
        get(name, admin, tls).with_context(|| format!("no answer on the admin port {admin}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("503") => bail!("not ready: {}", body.trim().replace('\n', "; ")),
        _ => bail!(
            "unexpected answer on the admin port {admin}: {:?}",
            head.lines().next().unwrap_or_default()
        ),
    }
}

/// Trusts whom the process trusts.
fn trusting(tls_dir: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let dir = tls_dir.context(
        "healthcheck needs --tls-dir (SOUK_TLS_DIR) of the process: its admin port is not on loopback",
    )?;
    let authority = dir.join("ca.pem");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&authority)
        .with_context(|| format!("cannot read {}", authority.display()))?
    {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_protocol_versions(&[&TLS13]);
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn get(name: &'static str, admin: SocketAddr, tls: Option<ClientConfig>) -> anyhow::Result<String> {
    let stream = TcpStream::connect_timeout(&reachable(admin), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    let Some(tls) = tls else { return Ok(readyz(stream, name)?) };
    let connection = ClientConnection::new(Arc::new(tls), ServerName::try_from(name)?)?;
    Ok(readyz(StreamOwned::new(connection, stream), name)?)
}

fn readyz(mut stream: impl Read + Write, host: &str) -> std::io::Result<String> {
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A process that listens on every address is asked on loopback.
fn reachable(mut admin: SocketAddr) -> SocketAddr {
    match admin.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => admin.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => admin.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    admin
}
