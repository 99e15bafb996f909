//! tonic's own `Channel` as a transport of `rpc`: one for each endpoint, with a connector of ours below it.
//!
//! What it cannot do: tell whether a request was sent, once it was handed over. So a call that may not be repeated is
//! not sent again when its connection breaks.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rpc::client::{Connection, Failure, Payload, Transport};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::Service as _;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connects to `product` with one certificate.
pub struct OverTonic(pub Arc<ClientConfig>);

#[derive(Clone)]
pub struct Connected {
    channel: Channel,
    ended: CancellationToken,
}

impl Transport for OverTonic {
    type Connection = Connected;

    /// A `Channel` connects again by itself, out of sight. Here its connector makes one connection, and whoever keeps
    /// endpoints learns of its end: the socket is dropped.
    async fn connect(
        &self,
        address: SocketAddr,
    ) -> Result<(Connected, impl Future<Output = ()> + Send), BoxError> {
        let ended = CancellationToken::new();
        let connector = tower::service_fn({
            let (tls, ended) = (TlsConnector::from(Arc::clone(&self.0)), ended.clone());
            let spent = Arc::new(AtomicBool::new(false));
            move |_: Uri| {
                let (tls, ended, spent) = (tls.clone(), ended.clone(), Arc::clone(&spent));
                async move {
                    if spent.swap(true, Ordering::Relaxed) {
                        return Err(BoxError::from("this connection has ended"));
                    }
                    let guard = ended.drop_guard();
                    let tcp = TcpStream::connect(address).await?;
                    tcp.set_nodelay(true)?;
                    let stream = tls.connect(ServerName::try_from("product")?, tcp).await?;
                    let guarded = InspectReader::new(stream, move |_: &[u8]| {
                        let _until_it_is_dropped = &guard;
                    });
                    Ok::<_, BoxError>(TokioIo::new(guarded))
                }
            }
        });
        // The connector speaks TLS, so tonic is not told of it.
        let endpoint = Endpoint::from_static("http://product");
        let channel = endpoint.connect_with_connector(connector).await?;
        let connected = Connected { channel, ended: ended.clone() };
        Ok((connected, async move { ended.cancelled().await }))
    }
}

impl Connection for Connected {
    type Body = Body;

    fn is_closed(&self) -> bool {
        self.ended.is_cancelled()
    }

    async fn send(mut self, request: Request<Payload>) -> Result<Response<Body>, Failure> {
        let failed = |unsent| {
            move |error: tonic::transport::Error| Failure {
                status: Status::new(Code::Unavailable, error.to_string()),
                unsent,
            }
        };
        poll_fn(|cx| self.channel.poll_ready(cx)).await.map_err(failed(true))?;
        self.channel.call(request.map(Body::new)).await.map_err(failed(false))
    }
}
