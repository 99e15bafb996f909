//! Connections over real sockets: TLS whose certificate is replaced, limits, and the end.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as the test does")]

mod client;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use certs::Authority;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use net::{Acceptor, Connected, Listener, Options, Server, Timeouts, auto};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const SOON: Duration = Duration::from_secs(5);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

async fn serve(acceptor: Acceptor, options: Options) -> Running {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    serve_at(address, vec![Listener { tcp, acceptor }], options)
}

/// Answers everything with "hello", or "hello over TLS", without a look at what was sent.
fn serve_at(address: SocketAddr, listeners: Vec<Listener>, options: Options) -> Running {
    let shutdown = CancellationToken::new();
    let connected = move |client: Connected<'_>| {
        let hello = if client.tls { "hello over TLS" } else { "hello" };
        let answer = move |_: Request<Incoming>| async move {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(hello.as_bytes()))))
        };
        Some(service_fn(answer))
    };
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().header_read_timeout(None);
    let server = Server::new(http, options);
    let task = tokio::spawn(server.serve(listeners, connected, shutdown.clone()));
    Running { address, shutdown, task }
}

/// What comes next, which has to come soon.
async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut buffer = [0; 4096];
    let read = timeout(SOON, stream.read(&mut buffer)).await.expect("an answer in time").unwrap();
    String::from_utf8(buffer[..read].to_vec()).unwrap()
}

#[tokio::test]
async fn the_next_connection_shows_the_certificate_of_the_moment() {
    let dir = TempDir::new().unwrap();
    let authority = Authority::open_or_create(dir.path().join("ca")).unwrap();
    let issue = |name: &str| {
        authority.issue("gateway", dir.path().join(name)).unwrap();
        client::server_config(&dir.path().join(name))
    };
    let current = Arc::new(Mutex::new(issue("old")));
    let source = Arc::clone(&current);
    let acceptor = Acceptor::tls(move || Arc::clone(&source.lock().unwrap()));
    let server = serve(acceptor, Options::default()).await;
    let trusted = dir.path().join("old");
    let connect = || client::connect("gateway", &trusted, server.address);

    let mut old = connect().await;
    *current.lock().unwrap() = issue("new");
    let mut new = connect().await;
    assert_ne!(client::shown(&old), client::shown(&new));
    for stream in [&mut old, &mut new] {
        stream.write_all(GET).await.unwrap();
        assert!(read(stream).await.ends_with("hello over TLS"), "both connections go on");
    }
}

#[tokio::test]
async fn a_client_that_does_not_shake_hands_holds_up_nobody() {
    static FAILED: AtomicUsize = AtomicUsize::new(0);
    let dir = TempDir::new().unwrap();
    let authority = Authority::open_or_create(dir.path().join("ca")).unwrap();
    authority.issue("gateway", dir.path().join("gateway")).unwrap();
    let config = client::server_config(&dir.path().join("gateway"));
    let handshake_failed = |_: &_| {
        FAILED.fetch_add(1, Ordering::Relaxed);
    };
    let options = Options { handshake_failed, ..Options::default() };
    let server = serve(Acceptor::tls(move || Arc::clone(&config)), options).await;

    let mut plain = TcpStream::connect(server.address).await.unwrap();
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut secure = client::connect("gateway", &dir.path().join("gateway"), server.address).await;
    secure.write_all(GET).await.unwrap();
    assert!(read(&mut secure).await.ends_with("hello over TLS"));
    plain.write_all(GET).await.unwrap();
    let mut refused = Vec::new();
    let _ = timeout(SOON, plain.read_to_end(&mut refused)).await.expect("refused at once");
    assert!(!refused.starts_with(b"HTTP"), "{refused:?}");
    assert_eq!(FAILED.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_that_ends() {
    let options = Options { max_connections: 1, ..Options::default() };
    let server = serve(Acceptor::Plain, options).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(GET).await.unwrap();
    assert!(read(&mut first).await.ends_with("hello"));
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(GET).await.unwrap();
    let pause = Duration::from_millis(200); // the wait itself is what is tested
    assert!(timeout(pause, second.read_u8()).await.is_err());
    drop(first);
    assert!(read(&mut second).await.ends_with("hello"));
}

#[tokio::test]
async fn listeners_share_one_limit_and_one_end() {
    let dir = TempDir::new().unwrap();
    Authority::open_or_create(dir.path().join("ca")).unwrap().issue("gateway", dir.path()).unwrap();
    let config = client::server_config(dir.path());
    let mut listeners = Vec::new();
    for acceptor in [Acceptor::Plain, Acceptor::tls(move || Arc::clone(&config))] {
        listeners.push(Listener { tcp: TcpListener::bind("127.0.0.1:0").await.unwrap(), acceptor });
    }
    let [plain, secure] = [0, 1].map(|at: usize| listeners[at].tcp.local_addr().unwrap());
    let options = Options { max_connections: 1, ..Options::default() };
    let server = serve_at(plain, listeners, options);

    let mut first = TcpStream::connect(plain).await.unwrap();
    first.write_all(GET).await.unwrap();
    assert!(read(&mut first).await.ends_with("hello"));
    let second = client::connect("gateway", dir.path(), secure);
    let mut second = std::pin::pin!(second);
    let pause = Duration::from_millis(200); // the wait itself is what is tested
    assert!(timeout(pause, &mut second).await.is_err(), "one connection at both together");
    drop(first);
    let mut second = timeout(SOON, second).await.expect("the other listener's turn");
    second.write_all(GET).await.unwrap();
    assert!(read(&mut second).await.ends_with("hello over TLS"));

    server.shutdown.cancel();
    assert_eq!(read(&mut second).await, "");
    timeout(SOON, server.task).await.expect("it ends").unwrap();
    for address in [plain, secure] {
        assert!(TcpStream::connect(address).await.is_err());
    }
}

/// Were the socket closed at once, the rest of the body would be answered with a reset, and the answer lost.
#[tokio::test]
async fn an_answer_reaches_a_client_that_is_still_sending() {
    let server = serve(Acceptor::Plain, Options::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head =
        b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3000000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    stream.readable().await.unwrap(); // the answer, but this client sends first and reads then
    stream.write_all(&[0; 1_000_000]).await.unwrap();
    stream.write_all(&[0; 1_000_000]).await.unwrap();
    assert!(read(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn a_slow_head_is_cut_and_a_stop_does_not_wait_for_silence() {
    let timeouts = Timeouts { head: Duration::from_millis(300), idle: SOON };
    let options = Options { timeouts: Some(timeouts), ..Options::default() };
    let server = serve(Acceptor::Plain, options).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(read(&mut slow).await, "");

    let server = serve(Acceptor::Plain, Options::default()).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut asked = TcpStream::connect(server.address).await.unwrap();
    asked.write_all(GET).await.unwrap();
    assert!(read(&mut asked).await.ends_with("hello"));
    drop(asked);
    let began = Instant::now();
    server.shutdown.cancel();
    timeout(SOON, server.task).await.expect("it ends").unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(TcpStream::connect(server.address).await.is_err());
}
