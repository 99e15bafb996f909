//! A service written by hand: it answers at the shop's own paths, so that idempotency and
//! streaming are what the shop's descriptors say, but speaks in plain strings.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use rpc::Channel;
use rpc::client::Transport;
use tokio_stream::Stream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Status, codegen};
use tonic_prost::ProstCodec;

/// Idempotent, says its descriptor.
pub const GET: &str = "/souk.product.v1.ProductService/GetProduct";
/// Not idempotent.
pub const ADD: &str = "/souk.product.v1.ProductService/AddProduct";
/// A streamed answer. It lives in another service, so that callee answers there as well.
pub const WATCH: &str = "/souk.order.v1.OrderService/WatchOrder";

pub type Answer = Pin<Box<dyn Future<Output = Result<String, Status>> + Send>>;
type Handler = Arc<dyn Fn(tonic::Request<String>) -> Answer + Send + Sync>;
type Strings = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;

#[derive(Clone)]
pub struct Callee(Handler);

#[derive(Clone)]
pub struct Watched(Callee);

impl Callee {
    pub fn new<F, A>(handler: F) -> Self
    where
        F: Fn(tonic::Request<String>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<String, Status>> + Send + 'static,
    {
        Self(Arc::new(move |request| Box::pin(handler(request))))
    }

    /// Answers every call with the text that it was made with.
    pub fn echo() -> Self {
        Self::new(|request| async { Ok(request.into_inner()) })
    }

    pub fn routes(self) -> rpc::Routes {
        rpc::Routes::new(self.clone()).add_service(Watched(self))
    }
}

impl NamedService for Callee {
    const NAME: &'static str = "souk.product.v1.ProductService";
}

impl NamedService for Watched {
    const NAME: &'static str = "souk.order.v1.OrderService";
}

struct Unary(Handler);

impl UnaryService<String> for Unary {
    type Response = String;
    type Future = codegen::BoxFuture<tonic::Response<String>, Status>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async { answer.await.map(tonic::Response::new) })
    }
}

/// What the handler says first, then silence that only the other side or the stack ends.
struct Watch(Handler);

impl ServerStreamingService<String> for Watch {
    type Response = String;
    type ResponseStream = Strings;
    type Future = codegen::BoxFuture<tonic::Response<Strings>, Status>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async {
            let first = tokio_stream::once(Ok(answer.await?));
            let stream = tokio_stream::StreamExt::chain(first, tokio_stream::pending());
            Ok(tonic::Response::new(Box::pin(stream) as Strings))
        })
    }
}

type Called = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

impl tower::Service<Request<Body>> for Callee {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Called;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Called {
        let handler = Arc::clone(&self.0);
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(grpc.unary(Unary(handler), request).await)
        })
    }
}

impl tower::Service<Request<Body>> for Watched {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Called;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Called {
        let handler = Arc::clone(&self.0.0);
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<String, String>::default());
            Ok(grpc.server_streaming(Watch(handler), request).await)
        })
    }
}

/// Makes a unary call as the generated clients do.
pub async fn call<T: Transport>(
    channel: &Channel<T>,
    path: &'static str,
    text: &str,
) -> Result<String, Status> {
    call_with(channel, path, tonic::Request::new(text.to_owned())).await
}

pub async fn call_with<T: Transport>(
    channel: &Channel<T>,
    path: &'static str,
    request: tonic::Request<String>,
) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await?;
    let codec = ProstCodec::<String, String>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.unary(request, path, codec).await.map(tonic::Response::into_inner)
}

pub async fn watch(
    channel: &Channel,
    request: tonic::Request<String>,
) -> Result<tonic::Streaming<String>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await?;
    let codec = ProstCodec::<String, String>::default();
    let path = http::uri::PathAndQuery::from_static(WATCH);
    grpc.server_streaming(request, path, codec).await.map(tonic::Response::into_inner)
}
