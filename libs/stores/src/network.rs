//! Is there a network? Asked before apt is, because apt takes minutes to say no.

use crate::{Error, Result};
use std::collections::BTreeSet;
use std::net::{TcpStream, ToSocketAddrs};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A mirror that does not take a connection in this time is taken for absent.
const PATIENCE: Duration = Duration::from_millis(900);

/// Succeeds as soon as one of the sites, or the proxy that stands before them, takes a connection.
///
/// Sites of other kinds (`file:`, `cdrom:`) need no network and always count as reachable.
pub(crate) fn reach_any(sites: &BTreeSet<String>) -> Result<()> {
    let proxies = proxies();
    let addresses: BTreeSet<String> = match proxies.is_empty() {
        true => sites.iter().filter_map(|site| host_and_port(site)).collect(),
        false => proxies,
    };
    let local = sites.iter().any(|site| !site.starts_with("http"));
    if local || addresses.is_empty() || any_connects(&addresses) {
        return Ok(());
    }
    let names = addresses.into_iter().collect::<Vec<_>>().join(", ");
    Err(Error::Missing(format!("no network: no answer from {names}")))
}

fn any_connects(addresses: &BTreeSet<String>) -> bool {
    let deadline = Instant::now() + PATIENCE;
    let (sender, receiver) = mpsc::channel();
    for address in addresses {
        let (address, sender) = (address.clone(), sender.clone());
        // Not joined: a name server that never answers must not hold us up.
        std::thread::spawn(move || sender.send(connects(&address, PATIENCE)));
    }
    drop(sender);
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(true) => return true,
            Ok(false) => {}
            Err(_) => return false,
        }
    }
}

/// Whether `host:port` takes a TCP connection.
pub(crate) fn connects(address: &str, patience: Duration) -> bool {
    let addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.take(4).any(|address| TcpStream::connect_timeout(&address, patience).is_ok())
}

/// The proxies that apt would use: from its configuration, or from the environment.
fn proxies() -> BTreeSet<String> {
    let dump = Command::new("apt-config").args(["dump", "Acquire"]).output();
    let dump =
        dump.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let configured = dump.lines().filter_map(proxy_of_setting).map(str::to_owned);
    let variables = ["http_proxy", "https_proxy", "HTTPS_PROXY"];
    let environment = variables.iter().filter_map(|name| std::env::var(name).ok());
    configured.chain(environment).filter_map(|url| host_and_port(&url)).collect()
}

/// `Acquire::http::Proxy "http://cache:3142";` → `http://cache:3142`.
fn proxy_of_setting(line: &str) -> Option<&str> {
    let (key, value) = line.split_once(' ')?;
    let key = key.to_ascii_lowercase();
    let is_proxy = key.starts_with("acquire::http") && key.contains("::proxy");
    is_proxy.then(|| value.trim_matches(['"', ';'])).filter(|value| value.starts_with("http"))
}

fn host_and_port(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let authority = authority.rsplit('@').next()?;
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Some(if has_port { authority.to_owned() } else { format!("{authority}:{default}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_become_addresses() {
        let address = |url| host_and_port(url);
        assert_eq!(address("http://deb.debian.org/debian").as_deref(), Some("deb.debian.org:80"));
        assert_eq!(
            address("https://u:p@mirror.example:8443/x").as_deref(),
            Some("mirror.example:8443")
        );
        assert_eq!(address("file:///srv/mirror"), None);
    }

    #[test]
    fn proxies_are_read_from_the_settings_of_apt() {
        assert_eq!(
            proxy_of_setting("Acquire::http::Proxy \"http://cache:3142\";"),
            Some("http://cache:3142")
        );
        assert_eq!(proxy_of_setting("Acquire::http::Proxy::host \"DIRECT\";"), None);
        assert_eq!(proxy_of_setting("Acquire::Retries \"3\";"), None);
    }

    #[test]
    fn an_address_that_nobody_listens_on_is_no_network() {
        // Port 1 on loopback refuses at once; the reserved name resolves nowhere.
        let sites = ["http://127.0.0.1:1/debian".to_owned()].into();
        let started = Instant::now();
        if proxies().is_empty() {
            let error = reach_any(&sites).expect_err("nothing listens there");
            assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
        }
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}
