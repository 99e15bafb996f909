//! What every handler can reach: the services behind, and the moment to stop.

use std::sync::Arc;
use std::time::Duration;

use cache::redis::Redis;
use proto::cart::v1::cart_service_client::CartServiceClient;
use proto::order::v1::order_service_client::OrderServiceClient;
use proto::payment::v1::payment_service_client::PaymentServiceClient;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::user::v1::user_service_client::UserServiceClient;
use rpc::{Channel, Identity};
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::pages::Pages;
use crate::sessions::Sessions;
use crate::storefront::Origin;
use crate::views::Views;

/// Clones are one.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    product: ProductServiceClient<Channel>,
    pages: Pages,
    views: Views,
    user: UserServiceClient<Channel>,
    cart: CartServiceClient<Channel>,
    order: OrderServiceClient<Channel>,
    payment: PaymentServiceClient<Channel>,
    sessions: Sessions,
    origin: Option<Origin>,
    copy: String,
    body_limit: usize,
    keep_alive: Duration,
    resume_within: Duration,
    stop: CancellationToken,
}

impl App {
    /// Returns at once; the channels find their services by themselves.
    ///
    /// # Errors
    /// The Redis URL is none.
    pub(crate) fn connect(
        config: &Config,
        identity: &Identity,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let connect = |name, targets| rpc::connect(name, targets, identity);
        let product = ProductServiceClient::new(connect("product", &config.product_urls));
        let user = UserServiceClient::new(connect("user", &config.user_urls));
        let redis = Redis::new(&config.redis, "sessions")?;
        Ok(Self(Arc::new(Inner {
            pages: Pages::new(&product, config.product_pages_bytes, config.product_pages_life),
            views: Views::new(&product),
            product,
            sessions: Sessions::new(redis, config.sessions, user.clone()),
            user,
            origin: config.origin.clone(),
            copy: config.copy(),
            cart: CartServiceClient::new(connect("cart", &config.cart_urls)),
            order: OrderServiceClient::new(connect("order", &config.order_urls)),
            payment: PaymentServiceClient::new(connect("payment", &config.payment_urls)),
            body_limit: config.body_limit,
            keep_alive: config.keep_alive,
            resume_within: config.resume_within,
            stop,
        })))
    }

    // The generated clients want to be `mut`; a clone shares the channel.

    pub(crate) fn product(&self) -> ProductServiceClient<Channel> {
        self.0.product.clone()
    }

    /// Products as they are answered.
    pub(crate) fn pages(&self) -> &Pages {
        &self.0.pages
    }

    /// How often products are looked at.
    pub(crate) fn views(&self) -> &Views {
        &self.0.views
    }

    pub(crate) fn user(&self) -> UserServiceClient<Channel> {
        self.0.user.clone()
    }

    pub(crate) fn cart(&self) -> CartServiceClient<Channel> {
        self.0.cart.clone()
    }

    pub(crate) fn order(&self) -> OrderServiceClient<Channel> {
        self.0.order.clone()
    }

    pub(crate) fn payment(&self) -> PaymentServiceClient<Channel> {
        self.0.payment.clone()
    }

    /// Browsers' sessions.
    pub(crate) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Where browsers reach the shop, when that is configured.
    pub(crate) fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }

    /// The name of this copy of the gateway.
    pub(crate) fn copy(&self) -> &str {
        &self.0.copy
    }

    /// The largest body, in bytes.
    pub(crate) fn body_limit(&self) -> usize {
        self.0.body_limit
    }

    /// How often a live stream that is silent sends a comment.
    pub(crate) fn keep_alive(&self) -> Duration {
        self.0.keep_alive
    }

    /// How long a live stream may look for another copy of order.
    pub(crate) fn resume_within(&self) -> Duration {
        self.0.resume_within
    }

    /// Cancelled when streams are to end.
    pub(crate) fn stop(&self) -> CancellationToken {
        self.0.stop.clone()
    }
}
