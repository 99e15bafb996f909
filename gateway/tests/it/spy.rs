//! Looks at how the body of a call to product ends. A handler cannot: tonic gives it the same good
//! end whether the caller finished its stream or broke it off.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use proto::product::v1::product_service_server::ProductServiceServer;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use crate::shop::Shop;

#[derive(Clone)]
pub struct Spied {
    product: ProductServiceServer<Shop>,
    shop: Arc<Shop>,
}

impl Spied {
    pub fn new(shop: Arc<Shop>) -> Self {
        Self { product: ProductServiceServer::from_arc(Arc::clone(&shop)), shop }
    }
}

impl NamedService for Spied {
    const NAME: &'static str = <ProductServiceServer<Shop> as NamedService>::NAME;
}

impl Service<Request<Body>> for Spied {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <ProductServiceServer<Shop> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if !path.ends_with("/ImportProducts") && !path.ends_with("/StartImport") {
            return self.product.call(request);
        }
        let shop = Arc::clone(&self.shop);
        self.product.call(request.map(|body| Body::new(Watched { body, shop })))
    }
}

struct Watched {
    body: Body,
    shop: Arc<Shop>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.shop.state().import_ended_well = Some(true),
            Some(Err(_)) => self.shop.state().import_ended_well = Some(false),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }
}

impl Drop for Watched {
    /// A call that is dropped before its end was seen has not ended well.
    fn drop(&mut self) {
        self.shop.state().import_ended_well.get_or_insert(false);
    }
}
