//! Listening sockets.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::net::TcpListener;

/// Bound by [`reserve`], not yet asked for.
static RESERVED: LazyLock<Mutex<HashMap<SocketAddr, StdListener>>> = LazyLock::new(Mutex::default);

/// Listens on `address`.
///
/// # Errors
/// Names the address, and says so when the port is taken.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner).remove(&address);
    let listener = match reserved {
        Some(listener) => TcpListener::from_std(listener),
        None => TcpListener::bind(address).await,
    };
    listener.map_err(|error| {
        let taken = if error.kind() == ErrorKind::AddrInUse { ": port taken" } else { "" };
        anyhow::Error::new(error).context(format!("cannot listen on {address}{taken}"))
    })
}

/// Binds a free port on loopback and keeps it until somebody in this process calls [`bind`] with the address. For
/// tests that start a whole service in-process and must know its ports before it runs.
///
/// # Errors
/// No port can be bound.
pub fn reserve() -> anyhow::Result<SocketAddr> {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port on loopback")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).insert(address, listener);
    Ok(address)
}
