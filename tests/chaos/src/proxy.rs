//! A TCP proxy on every hop: between a process and each of those that it calls, and between the
//! customers and the gateways. It knows nothing of what passes; what it does to connections is what
//! networks do.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

const CHUNK_BYTES: usize = 16 << 10;

/// What a hop does to what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Every piece comes so much later.
    Delay(Duration),
    /// Connections stay open and nothing arrives, until this is over.
    BlackHole,
    /// Connections are reset, those that are open and those that are opened.
    Reset,
    /// Every connection is reset after so many more bytes.
    CutAfter(u64),
}

/// One hop: from a process to those of a service, or to a store. Clones are one.
#[derive(Clone, Debug)]
struct Hop {
    mode: watch::Sender<Mode>,
}

/// All hops.
#[derive(Debug, Default)]
pub struct Proxy {
    hops: Mutex<BTreeMap<String, Hop>>,
}

/// How a hop is called.
pub fn name(from: &str, to: &str) -> String {
    format!("{from}→{to}")
}

impl Proxy {
    /// A new address that leads to `to`; it belongs to the hop with this name. Has to be called
    /// within a runtime.
    ///
    /// # Errors
    /// When there is no port to be had.
    pub fn through(&self, hop: &str, to: SocketAddr) -> Result<SocketAddr> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let mut hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Hop { mode: watch::Sender::new(Mode::Pass) };
        let hop = hops.entry(hop.to_owned()).or_insert_with(new).clone();
        tokio::spawn(serve(listener, to, hop));
        Ok(address)
    }

    /// The hops that there are.
    pub fn names(&self) -> Vec<String> {
        self.hops.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// From now on.
    ///
    /// # Errors
    /// When there is no such hop.
    pub fn set(&self, hop: &str, mode: Mode) -> Result<()> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        hops.get(hop).with_context(|| format!("no hop {hop}"))?.mode.send_replace(mode);
        Ok(())
    }
}

async fn serve(listener: TcpListener, to: SocketAddr, hop: Hop) {
    while let Ok((inbound, _)) = listener.accept().await {
        tokio::spawn(connection(inbound, to, hop.mode.subscribe()));
    }
}

/// Neither end learns more than that the connection was reset.
async fn connection(mut inbound: TcpStream, to: SocketAddr, mode: watch::Receiver<Mode>) {
    let Ok(mut outbound) = TcpStream::connect(to).await else { return reset(&inbound) };
    let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true)); // else it is slower
    let (from_caller, to_caller) = inbound.split();
    let (from_callee, to_callee) = outbound.split();
    let both_ways = async {
        let there = pump(from_caller, to_callee, mode.clone());
        let back = pump(from_callee, to_caller, mode.clone());
        tokio::try_join!(there, back).map(drop)
    };
    let ended = tokio::select! {
        ended = both_ways => ended,
        () = until_reset(mode.clone()) => Err(ErrorKind::ConnectionReset.into()),
    };
    if ended.is_err() {
        reset(&inbound);
        reset(&outbound);
    }
}

fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger(); // it is closed all the same
}

/// An idle connection is reset as well.
async fn until_reset(mut mode: watch::Receiver<Mode>) {
    if mode.wait_for(|mode| *mode == Mode::Reset).await.is_err() {
        std::future::pending().await // nobody will ever reset it
    }
}

/// One direction of a connection.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = None;
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        pass(&chunk[..read], &mut to, &mut mode, &mut left).await?;
    }
}

/// `left` is what may still pass of a connection that is being cut.
async fn pass(
    bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    mode: &mut watch::Receiver<Mode>,
    left: &mut Option<u64>,
) -> io::Result<()> {
    loop {
        let now = *mode.borrow_and_update();
        match now {
            Mode::Pass => *left = None,
            Mode::Delay(time) => sleep(time).await,
            Mode::Reset => return Err(ErrorKind::ConnectionReset.into()),
            Mode::BlackHole => {
                let gone = |_| ErrorKind::ConnectionReset;
                mode.changed().await.map_err(gone)?;
                continue;
            }
            Mode::CutAfter(after) => {
                let rest = left.get_or_insert(after);
                let passing = bytes.len().min(usize::try_from(*rest).unwrap_or(usize::MAX));
                *rest -= passing as u64;
                to.write_all(&bytes[..passing]).await?;
                return match passing == bytes.len() {
                    true => Ok(()),
                    false => Err(ErrorKind::ConnectionReset.into()),
                };
            }
        }
        return to.write_all(bytes).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    const SOON: Duration = Duration::from_secs(5);

    /// A server that sends back what it gets, and the way to it.
    async fn echo() -> (Proxy, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let to = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let proxy = Proxy::default();
        let address = proxy.through("a→b", to).unwrap();
        (proxy, address)
    }

    /// What comes back of so many bytes, up to the end or for a moment.
    async fn back(stream: &mut TcpStream, bytes: usize) -> io::Result<usize> {
        stream.write_all(&vec![7; bytes]).await?;
        let mut all = vec![0; bytes];
        timeout(SOON, stream.read_exact(&mut all)).await.unwrap_or(Ok(0))
    }

    #[tokio::test]
    async fn what_nobody_strikes_passes_in_both_directions_and_ends_in_order() {
        let (_proxy, address) = echo().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(back(&mut stream, 100_000).await.unwrap(), 100_000);
        stream.shutdown().await.unwrap();
        assert_eq!(timeout(SOON, stream.read(&mut [0])).await.unwrap().unwrap(), 0, "an end");
    }

    #[tokio::test]
    async fn a_reset_ends_connections_that_are_open_and_those_that_come() {
        let (proxy, address) = echo().await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        assert_eq!(back(&mut idle, 10).await.unwrap(), 10);
        proxy.set("a→b", Mode::Reset).unwrap();
        let reset = timeout(SOON, idle.read(&mut [0])).await.unwrap();
        assert_eq!(reset.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let mut late = TcpStream::connect(address).await.unwrap();
        assert!(back(&mut late, 10).await.is_err());
        proxy.set("a→b", Mode::Pass).unwrap();
        let mut fresh = TcpStream::connect(address).await.unwrap();
        assert_eq!(back(&mut fresh, 10).await.unwrap(), 10);
    }

    #[tokio::test]
    async fn a_black_hole_keeps_what_comes_until_it_is_over() {
        let (proxy, address) = echo().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        proxy.set("a→b", Mode::BlackHole).unwrap();
        stream.write_all(&[7; 10]).await.unwrap();
        let moment = Duration::from_millis(100);
        assert!(timeout(moment, stream.read(&mut [0])).await.is_err(), "nothing comes");
        proxy.set("a→b", Mode::Pass).unwrap();
        timeout(SOON, stream.read_exact(&mut [0; 10])).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_delay_is_at_least_what_was_asked_for_in_each_direction() {
        let (proxy, address) = echo().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        proxy.set("a→b", Mode::Delay(Duration::from_millis(60))).unwrap();
        let began = Instant::now();
        assert_eq!(back(&mut stream, 10).await.unwrap(), 10);
        assert!(began.elapsed() >= Duration::from_millis(120), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_connection_is_cut_after_exactly_so_many_bytes() {
        let (proxy, address) = echo().await;
        for bytes in [0, 1, 99] {
            proxy.set("a→b", Mode::Pass).unwrap();
            let mut stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(back(&mut stream, 500).await.unwrap(), 500);
            proxy.set("a→b", Mode::CutAfter(bytes)).unwrap();
            let passing = usize::try_from(bytes).unwrap();
            assert_eq!(back(&mut stream, passing).await.unwrap(), passing, "so many pass");
            assert!(back(&mut stream, 1).await.is_err(), "and no more: {bytes}");
        }
    }

    #[test]
    fn a_hop_that_is_not_there_is_said_to_be_missing() {
        assert!(Proxy::default().set("a→b", Mode::Reset).is_err());
    }
}
