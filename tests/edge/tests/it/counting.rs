//! Gateways that count what they are asked: one takes a request and goes away, one takes its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

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
    /// Closes the connection without an answer.
    pub async fn dropping() -> Result<Self> {
        Self::start(false).await
    }

    /// Answers late, with something that may be kept.
    pub async fn slow() -> Result<Self> {
        Self::start(true).await
    }

    async fn start(answers: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers, Arc::clone(&counted)));
            }
        });
        Ok(Self { address, requests, task })
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn serve(mut stream: TcpStream, answers: bool, counted: Arc<AtomicUsize>) {
    let mut head = [0; 4096];
    if !stream.read(&mut head).await.is_ok_and(|length| length > 0) {
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
