//! One serving core for everything that listens: the gateway's HTTP, the gRPC of the services, and the admin ports.
//!
//! - [`Acceptor`]: TCP as it is, or TLS with a configuration that may be replaced while the process runs.
//! - [`Server`]: accepts at one listener or several, limits connections, watches over slow clients, and drains in bounded time.
//! - [`Admission`]: a limit of requests in progress, with two priorities.
//!
//! hyper speaks HTTP, rustls speaks TLS; neither tonic nor axum is known here. What a server answers is a
//! [`hyper::service::Service`] for each connection, and which versions of HTTP it speaks is decided by the builder that it
//! is made with, whose own timers (the head of a request, HTTP/2 keep-alive) stay hyper's business:
//!
//! ```no_run
//! # use http_body_util::Full;
//! # async fn answer(_: http::Request<hyper::body::Incoming>)
//! #     -> Result<http::Response<Full<bytes::Bytes>>, std::convert::Infallible> { Ok(http::Response::default()) }
//! # async fn serve(tls: std::sync::Arc<rustls::ServerConfig>) -> std::io::Result<()> {
//! use net::{Acceptor, Listener, Options, Server};
//!
//! let http = net::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
//! let tcp = tokio::net::TcpListener::bind("127.0.0.1:8443").await?;
//! let shutdown = tokio_util::sync::CancellationToken::new();
//! let acceptor = Acceptor::tls(move || tls.clone()); // asked at each handshake
//! let listener = Listener { tcp, acceptor };
//! let connected = |_: net::Connected<'_>| Some(hyper::service::service_fn(answer));
//! Server::new(http, Options::default()).serve(vec![listener], connected, shutdown).await;
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod activity;
mod admission;
mod listener;
mod server;
mod socket;

pub use acceptor::{Acceptor, ConfigSource, HandshakeError};
pub use activity::Timeouts;
pub use admission::{Admission, Permit, Priority};
pub use hyper_util::server::conn::auto;
pub use listener::{Connected, Listener};
pub use server::{Options, Server};
