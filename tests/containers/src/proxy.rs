//! The private PostgreSQL listens on loopback alone, which containers cannot reach: connections to the
//! bridge are passed on to it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Passes connections to `from` on to `to`, for as long as this process lives.
pub(crate) async fn pass(from: SocketAddr, to: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(from).await.with_context(|| format!("listening on {from}"))?;
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut outer = TcpStream::connect(to).await?;
                copy_bidirectional(&mut inner, &mut outer).await
            });
        }
    });
    Ok(())
}
