//! Inbound RPC: parse, one call, render.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use identity::Verifier;
use proto::order::v1::order_service_server::OrderService;
use proto::order::v1::{
    CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, ListOrdersRequest,
    ListOrdersResponse, ListReturnsRequest, ListReturnsResponse, PlaceOrderRequest,
    PlaceOrderResponse, ReceiveReturnRequest, ReceiveReturnResponse, RefuseReturnRequest,
    RefuseReturnResponse, ReturnItemsRequest, ReturnItemsResponse, WatchOrderRequest,
    WatchOrderResponse,
};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::{convert, watch};

type Answer<T> = Result<Response<T>, Status>;

/// The service's RPCs.
pub(crate) struct Grpc {
    app: App,
    verifier: Verifier,
}

impl Grpc {
    pub(crate) fn new(app: App, verifier: Verifier) -> Self {
        Self { app, verifier }
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
        let wanted = convert::return_items(request.into_inner())?;
        let order = self.app.return_items(caller.user, wanted).await?;
        Ok(Response::new(ReturnItemsResponse { order: Some(convert::order(&order)) }))
    }

    async fn list_returns(
        &self,
        request: Request<ListReturnsRequest>,
    ) -> Answer<ListReturnsResponse> {
        self.verifier.staff(request.metadata())?;
        let (size, after) = convert::returns_page(request.get_ref())?;
        let returns = self.app.returns_on_their_way(after, size).await?;
        Ok(Response::new(convert::returns_reply(&returns, size)))
    }

    async fn receive_return(
        &self,
        request: Request<ReceiveReturnRequest>,
    ) -> Answer<ReceiveReturnResponse> {
        let staff = self.verifier.staff(request.metadata())?;
        let receipt = convert::receipt(request.into_inner())?;
        let (order, received) = self.app.inspect(&staff, receipt).await?;
        let r#return = Some(convert::return_for_staff(order, &received));
        Ok(Response::new(ReceiveReturnResponse { r#return }))
    }

    async fn refuse_return(
        &self,
        request: Request<RefuseReturnRequest>,
    ) -> Answer<RefuseReturnResponse> {
        let staff = self.verifier.staff(request.metadata())?;
        let refusal = convert::refusal_of_return(request.get_ref())?;
        let (order, refused) = self.app.inspect(&staff, refusal).await?;
        let r#return = Some(convert::return_for_staff(order, &refused));
        Ok(Response::new(RefuseReturnResponse { r#return }))
    }

    type WatchOrderStream = BoxStream<'static, Result<WatchOrderResponse, Status>>;

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Answer<Self::WatchOrderStream> {
        let caller = self.verifier.caller(request.metadata())?;
        let request = request.into_inner();
        let id = convert::order_id(&request.order_id)?;
        let (verifier, seen) = (self.verifier.clone(), request.after_version);
        let versions = watch::versions(&self.app, verifier, caller, id, seen).await?;
        let replies =
            versions.map(|order| Ok(WatchOrderResponse { order: Some(convert::order(&order?)) }));
        Ok(Response::new(replies.boxed()))
    }
}
