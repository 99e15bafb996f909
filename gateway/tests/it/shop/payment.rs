use proto::payment::v1 as payment;
use proto::payment::v1::payment_service_server::PaymentService;
use tonic::Request;

use super::{Answer, Shop, money, ok};

#[tonic::async_trait]
impl PaymentService for Shop {
    async fn add_payment_method(
        &self,
        request: Request<payment::AddPaymentMethodRequest>,
    ) -> Answer<payment::AddPaymentMethodResponse> {
        let label = self.enter("AddPaymentMethod", request).await?.label;
        let method = payment::PaymentMethod { payment_method_id: "pm".into(), label };
        ok(payment::AddPaymentMethodResponse { payment_method: Some(method) })
    }

    async fn list_payment_methods(
        &self,
        request: Request<payment::ListPaymentMethodsRequest>,
    ) -> Answer<payment::ListPaymentMethodsResponse> {
        self.enter("ListPaymentMethods", request).await?;
        let payment_methods = self.state().payment_methods.clone();
        ok(payment::ListPaymentMethodsResponse { payment_methods })
    }

    async fn get_payment(
        &self,
        request: Request<payment::GetPaymentRequest>,
    ) -> Answer<payment::GetPaymentResponse> {
        let order_id = self.enter("GetPayment", request).await?.order_id;
        let state = payment::State::Captured.into();
        let payment = payment::Payment { order_id, state, amount: money(510), refunded: money(0) };
        ok(payment::GetPaymentResponse { payment: Some(payment) })
    }

    async fn receive_webhook(
        &self,
        request: Request<payment::ReceiveWebhookRequest>,
    ) -> Answer<payment::ReceiveWebhookResponse> {
        self.enter("ReceiveWebhook", request).await?;
        ok(payment::ReceiveWebhookResponse {})
    }

    async fn list_refunds(
        &self,
        request: Request<payment::ListRefundsRequest>,
    ) -> Answer<payment::ListRefundsResponse> {
        self.enter("ListRefunds", request).await?;
        let refunds = if self.state().without_refunds { vec![] } else { vec![refund()] };
        ok(payment::ListRefundsResponse { refunds, next_page_token: "".into() })
    }

    async fn retry_refund(
        &self,
        request: Request<payment::RetryRefundRequest>,
    ) -> Answer<payment::RetryRefundResponse> {
        self.enter("RetryRefund", request).await?;
        ok(payment::RetryRefundResponse { refund: Some(refund()) })
    }

    async fn settle_refund(
        &self,
        request: Request<payment::SettleRefundRequest>,
    ) -> Answer<payment::SettleRefundResponse> {
        self.enter("SettleRefund", request).await?;
        ok(payment::SettleRefundResponse { refund: Some(refund()) })
    }
}

fn refund() -> payment::Refund {
    let decision = payment::refund::Decision {
        decision: payment::RefundDecision::Retry.into(),
        user_id: "staff".into(),
        note: "the bank is back".into(),
        refusal: "refund_refused".into(),
        at_unix_ms: 2,
    };
    payment::Refund {
        refund_id: "order.cancellation".into(),
        order_id: "order".into(),
        amount: money(510),
        state: payment::RefundState::Refused.into(),
        refusal: "refund_refused".into(),
        refused_at_unix_ms: 1,
        decisions: vec![decision],
    }
}
