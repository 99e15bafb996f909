//! The shop around the payment service: the order context that asks for money, the gateway that
//! calls, and the provider.

use std::fs;
use std::time::Duration;

use identity::Role;
use kernel::{Money, OrderId, PaymentMethodId, ReturnId, Shard, UserId};
use proto::money::v1::Money as ProtoMoney;
use proto::order::v1::{OrderCancelled, OrderReturned, OrderStockHeld};
use proto::payment::v1::payment_service_client::PaymentServiceClient;
use proto::payment::v1::{
    AddPaymentMethodRequest, GetPaymentRequest, Payment, PaymentMethod, ReceiveWebhookRequest,
};
use rpc::Channel;
use testkit::{Published, Publisher, Running, World, eventually};
use tonic::{Request, Status};

use crate::provider::Provider;

pub const SOON: Duration = Duration::from_secs(30);
pub const SECRET: &str = "a secret of two";

pub struct Shop {
    pub world: World,
    pub provider: Provider,
    settings: Settings,
    payment: Option<Running>,
    pub urls: Vec<String>,
    pub published: Published,
    order: Publisher,
}

/// What the service is told of the provider.
#[derive(Clone, Copy)]
pub struct Settings {
    /// How long a call may take.
    pub timeout: &'static str,
    /// How many there may be.
    pub calls: usize,
}

/// A customer with one card.
#[derive(Clone)]
pub struct Customer {
    pub user: UserId,
    pub method: PaymentMethodId,
}

impl Shop {
    pub async fn open() -> Self {
        Self::open_with(Settings { timeout: "500ms", calls: 32 }).await
    }

    pub async fn open_with(settings: Settings) -> Self {
        let world = World::new();
        fs::write(secret(&world), format!("{SECRET}\n")).unwrap();
        let urls = world.databases("payment", 1);
        let provider = Provider::start(world.folder().join("provider")).await;
        let payment = Some(start(&world, &provider, &urls, settings).await);
        let published = Published::by(&world, "payment").await;
        let order = Publisher::new(&world, "order").await;
        Self { world, provider, settings, payment, urls, published, order }
    }

    /// Another copy of the service, beside the first.
    pub async fn another(&self) -> Running {
        start(&self.world, &self.provider, &self.urls, self.settings).await
    }

    /// Kills the service in the middle of whatever it does.
    pub async fn kill(&mut self) {
        self.payment.take().unwrap().kill().await;
    }

    /// Stops it as SIGTERM would.
    pub async fn stop(&mut self) {
        self.payment.take().unwrap().stop().await;
    }

    pub async fn start_again(&mut self) {
        self.payment = Some(self.another().await);
    }

    pub fn client(&self) -> PaymentServiceClient<Channel> {
        let at = [self.payment.as_ref().unwrap().address];
        PaymentServiceClient::new(self.world.channel("gateway", "payment", &at))
    }

    pub fn request<T>(&self, user: UserId, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = self.world.bearer(user, Role::Customer).parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    pub async fn add(
        &self,
        user: UserId,
        card: &str,
        label: &str,
    ) -> Result<PaymentMethod, Status> {
        let (card_token, label) = (card.to_owned(), label.to_owned());
        let request = self.request(user, AddPaymentMethodRequest { card_token, label });
        Ok(self.client().add_payment_method(request).await?.into_inner().payment_method.unwrap())
    }

    pub async fn customer(&self, card: &str) -> Customer {
        let user = UserId::mint_on(Shard(7));
        let method = self.add(user, card, "").await.unwrap();
        Customer { user, method: method.payment_method_id.parse().unwrap() }
    }

    /// The order wants its money: `OrderStockHeld`.
    pub async fn hold(&self, customer: &Customer, minor: i64) -> OrderId {
        let order = OrderId::mint_on(customer.user.shard());
        self.hold_order(order, customer, minor).await;
        order
    }

    pub async fn hold_order(&self, order: OrderId, customer: &Customer, minor: i64) {
        self.hold_for(order, customer, minor, Duration::from_secs(600)).await;
    }

    /// The checkout has so much time left.
    pub async fn hold_for(
        &self,
        order: OrderId,
        customer: &Customer,
        minor: i64,
        time_left: Duration,
    ) {
        let event = OrderStockHeld {
            order_id: order.to_string(),
            user_id: customer.user.to_string(),
            payment_method_id: customer.method.to_string(),
            amount: Some(gbp(minor)),
            pay_within_ms: time_left.as_millis() as i64,
        };
        self.order.publish(order, &event).await;
    }

    pub async fn hold_many(&self, orders: &[OrderId], customer: &Customer, minor: i64) {
        for chunk in orders.chunks(50) {
            let all = chunk.iter().map(|order| self.hold_order(*order, customer, minor));
            futures_util::future::join_all(all).await;
        }
    }

    pub async fn cancel(&self, order: OrderId) {
        let (order_id, reason) = (order.to_string(), "customer".to_owned());
        let event = OrderCancelled { order_id, reason, ..OrderCancelled::default() };
        self.order.publish(order, &event).await;
    }

    pub async fn give_back(&self, order: OrderId, id: ReturnId, minor: i64) {
        let event = OrderReturned {
            order_id: order.to_string(),
            return_id: id.to_string(),
            lines: Vec::new(),
            refund: Some(gbp(minor)),
        };
        self.order.publish(order, &event).await;
    }

    pub async fn payment(&self, user: UserId, order: OrderId) -> Result<Payment, Status> {
        let request = self.request(user, GetPaymentRequest { order_id: order.to_string() });
        Ok(self.client().get_payment(request).await?.into_inner().payment.unwrap())
    }

    pub async fn receive(&self, body: &[u8], signature: &str) -> Result<(), Status> {
        let (body, signature) = (body.to_vec().into(), signature.to_owned());
        self.client().receive_webhook(ReceiveWebhookRequest { body, signature }).await.map(drop)
    }

    /// The row's state, `-` without a row.
    pub fn state(&self, order: OrderId) -> String {
        let row = format!(
            "select coalesce((select state from payments where order_id = '{order}'), '-')"
        );
        self.sql(&row)
    }

    pub async fn until(&self, order: OrderId, state: &str) {
        eventually(&format!("{order} is {state}"), SOON, async || {
            (self.state(order) == state).then_some(())
        })
        .await;
    }

    pub fn sql(&self, statement: &str) -> String {
        self.world.sql(&self.urls[0], statement)
    }

    pub fn count(&self, from: &str) -> usize {
        self.sql(&format!("select count(*) from {from}")).parse().unwrap()
    }

    /// So many published events of this type speak of the order.
    pub fn events(&self, kind: &str, order: OrderId) -> usize {
        self.count(&format!(
            "messaging.outbox where type = 'souk.payment.v1.{kind}' and aggregate_id = '{order}'"
        ))
    }

    /// The books balance, and agree with what the provider has of this order.
    pub async fn balanced(&self, order: OrderId) {
        let zero = "balances group by currency having sum(balance_minor) <> 0";
        assert_eq!(self.count(&format!("(select from {zero}) b")), 0, "the ledger sums to zero");
        let net = self.sql(&format!(
            "select coalesce(sum(case debit_account when 'psp_clearing' then amount_minor
             else -amount_minor end), 0) from ledger where order_id = '{order}'"
        ));
        assert_eq!(net.parse(), Ok(self.provider.of(order).await.net), "{order}");
    }
}

async fn start(world: &World, provider: &Provider, urls: &[String], settings: Settings) -> Running {
    world
        .service("payment")
        .databases(urls)
        .nats()
        .tokens()
        .arg("--psp-url", format!("http://{}", provider.address))
        .arg("--psp-webhook-secret-file", secret(world).display())
        .arg("--psp-timeout", settings.timeout)
        .arg("--psp-concurrency", settings.calls)
        .start(payment::run)
        .await
}

fn secret(world: &World) -> std::path::PathBuf {
    world.folder().join("webhook-secret")
}

pub fn gbp(minor: i64) -> ProtoMoney {
    let money = Money::gbp(minor);
    ProtoMoney { currency: money.currency.code().into(), minor_units: money.minor }
}
