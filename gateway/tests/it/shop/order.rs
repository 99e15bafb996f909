use proto::order::v1::order_service_server::OrderService;
use proto::order::v1::{self as order, Order};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Status};

use super::{Answer, Shop, ok};

pub type Live = mpsc::UnboundedSender<Result<order::WatchOrderResponse, Status>>;

impl Shop {
    fn order(&self) -> Option<Order> {
        Some(self.state().order.clone())
    }
}

#[tonic::async_trait]
impl OrderService for Shop {
    async fn place_order(
        &self,
        request: Request<order::PlaceOrderRequest>,
    ) -> Answer<order::PlaceOrderResponse> {
        self.enter("PlaceOrder", request).await?;
        ok(order::PlaceOrderResponse { order: self.order() })
    }

    async fn get_order(
        &self,
        request: Request<order::GetOrderRequest>,
    ) -> Answer<order::GetOrderResponse> {
        self.enter("GetOrder", request).await?;
        ok(order::GetOrderResponse { order: self.order() })
    }

    async fn list_orders(
        &self,
        request: Request<order::ListOrdersRequest>,
    ) -> Answer<order::ListOrdersResponse> {
        self.enter("ListOrders", request).await?;
        let orders = self.order().into_iter().collect();
        ok(order::ListOrdersResponse { orders, next_page_token: String::new() })
    }

    async fn cancel_order(
        &self,
        request: Request<order::CancelOrderRequest>,
    ) -> Answer<order::CancelOrderResponse> {
        self.enter("CancelOrder", request).await?;
        ok(order::CancelOrderResponse { order: self.order() })
    }

    async fn return_items(
        &self,
        request: Request<order::ReturnItemsRequest>,
    ) -> Answer<order::ReturnItemsResponse> {
        self.enter("ReturnItems", request).await?;
        ok(order::ReturnItemsResponse { order: self.order() })
    }

    async fn list_returns(
        &self,
        request: Request<order::ListReturnsRequest>,
    ) -> Answer<order::ListReturnsResponse> {
        self.enter("ListReturns", request).await?;
        let returns = self.state().order.returns.clone();
        ok(order::ListReturnsResponse { returns, next_page_token: "t2".into() })
    }

    async fn receive_return(
        &self,
        request: Request<order::ReceiveReturnRequest>,
    ) -> Answer<order::ReceiveReturnResponse> {
        self.enter("ReceiveReturn", request).await?;
        let r#return = self.state().order.returns.first().cloned();
        ok(order::ReceiveReturnResponse { r#return })
    }

    async fn refuse_return(
        &self,
        request: Request<order::RefuseReturnRequest>,
    ) -> Answer<order::RefuseReturnResponse> {
        self.enter("RefuseReturn", request).await?;
        let r#return = self.state().order.returns.first().cloned();
        ok(order::RefuseReturnResponse { r#return })
    }

    type WatchOrderStream = UnboundedReceiverStream<Result<order::WatchOrderResponse, Status>>;

    async fn watch_order(
        &self,
        request: Request<order::WatchOrderRequest>,
    ) -> Answer<Self::WatchOrderStream> {
        self.enter("WatchOrder", request).await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state().live.push(sender);
        ok(UnboundedReceiverStream::new(receiver))
    }
}
