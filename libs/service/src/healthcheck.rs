//! `<process> healthcheck`: asks a running process's admin port whether it is ready. For container engines, whose
//! images have no curl in them.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

const ANSWER_MAX: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Succeeds when `/readyz` on the admin port answers 200.
///
/// # Errors
/// Nobody answers there, or what is not ready.
pub(crate) fn ask(admin: SocketAddr) -> anyhow::Result<()> {
    ensure!(
        admin.port() != 0,
        "healthcheck needs --admin-listen (SOUK_ADMIN_LISTEN) with the port of the process"
    );
    let answer =
        get(reachable(admin)).with_context(|| format!("no answer on the admin port {admin}"))?;
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

fn get(admin: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&admin, ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
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
