//! Inbound RPC: parse, one call, render.

use identity::Verifier;
use proto::payment::v1::payment_service_server::PaymentService;
use proto::payment::v1::{
    AddPaymentMethodRequest, AddPaymentMethodResponse, GetPaymentRequest, GetPaymentResponse,
    ListPaymentMethodsRequest, ListPaymentMethodsResponse, ListRefundsRequest, ListRefundsResponse,
    ReceiveWebhookRequest, ReceiveWebhookResponse, RetryRefundRequest, RetryRefundResponse,
    SettleRefundRequest, SettleRefundResponse,
};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::domain::refund::Choice;

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
impl PaymentService for Grpc {
    async fn add_payment_method(
        &self,
        request: Request<AddPaymentMethodRequest>,
    ) -> Answer<AddPaymentMethodResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let (card, label) = convert::method(request.get_ref())?;
        let method = self.app.add_method(caller.user, card, label).await?;
        let payment_method = Some(convert::payment_method(method));
        Ok(Response::new(AddPaymentMethodResponse { payment_method }))
    }

    async fn list_payment_methods(
        &self,
        request: Request<ListPaymentMethodsRequest>,
    ) -> Answer<ListPaymentMethodsResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let methods = self.app.methods(caller.user).await?;
        let payment_methods = methods.into_iter().map(convert::payment_method).collect();
        Ok(Response::new(ListPaymentMethodsResponse { payment_methods }))
    }

    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Answer<GetPaymentResponse> {
        let caller = self.verifier.caller(request.metadata())?;
        let order = convert::order_id(&request.get_ref().order_id)?;
        let payment = self.app.payment(caller.user, order).await?;
        Ok(Response::new(GetPaymentResponse { payment: Some(convert::payment(&payment)) }))
    }

    async fn receive_webhook(
        &self,
        request: Request<ReceiveWebhookRequest>,
    ) -> Answer<ReceiveWebhookResponse> {
        let ReceiveWebhookRequest { body, signature } = request.into_inner();
        self.app.receive_webhook(&body, &signature).await?;
        Ok(Response::new(ReceiveWebhookResponse {}))
    }

    async fn list_refunds(
        &self,
        request: Request<ListRefundsRequest>,
    ) -> Answer<ListRefundsResponse> {
        self.verifier.staff(request.metadata())?;
        let page = convert::refunds_page(request.get_ref())?;
        let refunds = self.app.refunds(page).await?;
        Ok(Response::new(convert::refunds(&refunds, &page)))
    }

    async fn retry_refund(
        &self,
        request: Request<RetryRefundRequest>,
    ) -> Answer<RetryRefundResponse> {
        let by = self.verifier.staff(request.metadata())?.user;
        let RetryRefundRequest { refund_id, note } = request.into_inner();
        let decided = convert::decided(&refund_id, &note, by, Choice::Retry)?;
        let refund = Some(convert::refund(&self.app.decide_refund(decided).await?));
        Ok(Response::new(RetryRefundResponse { refund }))
    }

    async fn settle_refund(
        &self,
        request: Request<SettleRefundRequest>,
    ) -> Answer<SettleRefundResponse> {
        let by = self.verifier.staff(request.metadata())?.user;
        let SettleRefundRequest { refund_id, note } = request.into_inner();
        let decided = convert::decided(&refund_id, &note, by, Choice::SettleByHand)?;
        let refund = Some(convert::refund(&self.app.decide_refund(decided).await?));
        Ok(Response::new(SettleRefundResponse { refund }))
    }
}
