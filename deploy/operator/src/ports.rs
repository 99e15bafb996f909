//! Ports for the processes: free ones, below those that the system gives to outgoing connections,
//! so that a port stays free while its process is being restarted, and below those of the stores, which
//! are chosen only after these and must not be one of them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use souk::port::{self, Port};

const RANGE: Range<u16> = 10_000..20_000;
const TRIES: usize = 1_000;
/// All that were handed out by this process, whatever became of them.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// Hands out ports that are free now, each one once.
#[derive(Debug, Default)]
pub struct Ports {
    given: BTreeSet<u16>,
}

impl Ports {
    /// An address on loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub fn any(&mut self) -> Result<SocketAddr> {
        for _ in 0..TRIES {
            let port = rand::random_range(RANGE);
            // Another shop of this process may not have taken its ports yet: tests start several at once.
            if is_free(port) && GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
                self.given.insert(port);
                return Ok(loopback(port));
            }
        }
        bail!("no free port between {} and {}", RANGE.start, RANGE.end)
    }

    /// This very port on loopback.
    ///
    /// # Errors
    /// When it is taken; names who has it.
    pub fn exactly(&mut self, port: u16) -> Result<SocketAddr> {
        ensure!(self.given.insert(port), "port {port} is wanted twice");
        match port::look(port) {
            Port::Free => Ok(loopback(port)),
            Port::Taken(owner) => {
                bail!("port {port} is taken by {owner}; choose another: cargo souk up --port P")
            }
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports = Ports::default();
        let mut of_another_shop = Ports::default();
        let mut given: BTreeSet<u16> =
            (0..50).map(|_| ports.any().expect("a port").port()).collect();
        given.extend((0..2_000).map(|_| of_another_shop.any().expect("a port").port()));
        assert_eq!(given.len(), 2_050);
        let one = *ports.given.first().expect("one");
        assert!(ports.exactly(one).is_err());
    }

    #[test]
    fn a_taken_port_is_named_with_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let refusal = Ports::default().exactly(port).expect_err("taken").to_string();
        assert!(refusal.starts_with(&format!("port {port} is taken by ")), "{refusal}");
        if cfg!(target_os = "linux") {
            assert!(refusal.contains(&format!("(pid {})", std::process::id())), "{refusal}");
        }
    }
}
