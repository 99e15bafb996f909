//! Inbound RPC: parse, one call, render.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use identity::Verifier;
use kernel::{OrderId, UserId};
use proto::order::v1::order_service_server::OrderService;
use proto::order::v1::{
    CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, ListOrdersRequest,
    ListOrdersResponse, PlaceOrderRequest, PlaceOrderResponse, ReturnItemsRequest,
    ReturnItemsResponse, WatchOrderRequest, WatchOrderResponse,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;

/// How often a watched order is read when nothing wakes the watcher.
const POLL: Duration = Duration::from_secs(2);

type Answer<T> = Result<Response<T>, Status>;

/// The service's RPCs.
pub(crate) struct Grpc {
    app: App,
    verifier: Verifier,
    stop: CancellationToken,
}

impl Grpc {
    pub(crate) fn new(app: App, verifier: Verifier, stop: CancellationToken) -> Self {
        Self { app, verifier, stop }
    }
}

#[tonic::async_trait]
impl OrderService for Grpc {
    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Answer<PlaceOrderResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let checkout = convert::checkout(request.into_inner())?;
        let reply = self.app.place(&caller, checkout).await?;
        Ok(Response::new(convert::read_place_reply(&reply)?))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Answer<GetOrderResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let id = convert::order_id(&request.get_ref().order_id)?;
        let order = self.app.order(caller.user, id).await?;
        Ok(Response::new(GetOrderResponse { order: Some(convert::order(&order)) }))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<ListOrdersResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let (size, before) = convert::page(request.get_ref())?;
        let orders = self.app.orders(caller.user, before, size).await?;
        let full = orders.len() as i64 == size;
        let last = orders.last().filter(|_| full).map(|order| order.id.to_string());
        Ok(Response::new(ListOrdersResponse {
            orders: orders.iter().map(convert::order).collect(),
            next_page_token: last.unwrap_or_default(),
        }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Answer<CancelOrderResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let id = convert::order_id(&request.get_ref().order_id)?;
        let order = self.app.cancel(caller.user, id).await?;
        Ok(Response::new(CancelOrderResponse { order: Some(convert::order(&order)) }))
    }

    async fn return_items(
        &self,
        request: Request<ReturnItemsRequest>,
    ) -> Answer<ReturnItemsResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let (id, return_id, items) = convert::return_items(request.into_inner())?;
        let order = self.app.return_items(caller.user, id, return_id, items).await?;
        Ok(Response::new(ReturnItemsResponse { order: Some(convert::order(&order)) }))
    }

    type WatchOrderStream = BoxStream<'static, Result<WatchOrderResponse, Status>>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Answer<Self::WatchOrderStream> {
        let caller = self.verifier.caller(request.metadata())?;
        let request = request.into_inner();
        let id = convert::order_id(&request.order_id)?;
        self.app.order(caller.user, id).await?; // refused now, not in the stream
        let wake_ups = self.app.watch.of(id).await;
        let watcher = Watcher {
            app: self.app.clone(),
            user: caller.user,
            id,
            seen: request.after_version,
            wake_ups,
            ended: false,
        };
        let stop = self.stop.clone().cancelled_owned();
        let orders = stream::unfold(watcher, Watcher::next).take_until(stop);
        Ok(Response::new(orders.boxed()))
    }
}

/// One stream of [`OrderService::watch_order`]. Subscribed before the first read, so that no
/// change falls in between.
struct Watcher {
    app: App,
    user: UserId,
    id: OrderId,
    seen: i64,
    wake_ups: BoxStream<'static, ()>,
    ended: bool,
}

impl Watcher {
    async fn next(mut self) -> Option<(Result<WatchOrderResponse, Status>, Self)> {
        if self.ended {
            return None;
        }
        loop {
            match self.app.order(self.user, self.id).await {
                Ok(order) if order.version > self.seen => {
                    self.seen = order.version;
                    self.ended = order.state.is_final();
                    let reply = WatchOrderResponse { order: Some(convert::order(&order)) };
                    return Some((Ok(reply), self));
                }
                Ok(_) => {
                    let _woken = timeout(POLL, self.wake_ups.next()).await;
                }
                Err(error) => {
                    self.ended = true;
                    return Some((Err(error.into()), self));
                }
            }
        }
    }
}
