//! Calls to the contexts that a checkout asks: cart, product and user, each in the caller's name.

mod ask;

use std::collections::HashMap;
use std::sync::Arc;

use batching::{Batcher, Unanswered};
use database::Database;
use identity::Caller;
use identity::batch::Waiting;
use kernel::{AddressId, CartId, Currency, Money, OrderId, ProductId};
use proto::cart::v1::cart_service_client::CartServiceClient;
use proto::cart::v1::{
    CheckoutOutcome, Item, ListUnresolvedCheckoutsRequest, ResolveCheckoutRequest,
};
use proto::product::v1::Product;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::user::v1::Address;
use proto::user::v1::user_service_client::UserServiceClient;
use rpc::{Channel, Identity};
use thiserror::Error;
use tonic::Status;

use self::ask::{Addressed, Addresses, Carts, Checkouts, Products, Wanted, gather};
use crate::Config;
use crate::domain::Rejection;
use crate::domain::placing::Offer;

/// Why a peer did not answer the question.
#[derive(Clone, Debug, Error)]
pub(crate) enum PeerError {
    /// What it said is a refusal of ours.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It is unavailable, or did not answer in time.
    #[error("{0}")]
    Status(Status),
    /// It answered something that is not in the contract.
    #[error("malformed answer of {0}")]
    Malformed(&'static str),
}

impl From<Unanswered> for PeerError {
    fn from(unanswered: Unanswered) -> Self {
        Self::Status(rpc::status::internal(unanswered))
    }
}

impl From<Status> for PeerError {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// A cart at a version.
pub(crate) struct CartContents {
    pub id: CartId,
    pub version: i64,
    pub items: Vec<(ProductId, i64)>,
    /// Orders that have taken lines of the cart, and whose outcome cart does not know yet.
    pub checkouts: Vec<OrderId>,
}

/// What is known of each product that was asked for.
type Offers = HashMap<ProductId, Offer>;

/// The clients, and what gathers for them: the questions of checkouts that run at the same time travel together.
/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers {
    cart: CartServiceClient<Channel>,
    /// For each of our databases, as far as the carts of its users are in one: a database of cart that is slow delays no others.
    carts: Arc<[Batcher<Waiting, Result<CartContents, PeerError>>]>,
    checkouts: Arc<[Batcher<Wanted, Result<CartContents, PeerError>>]>,
    database: Database,
    addresses: Batcher<Addressed, Result<Address, PeerError>>,
    offers: Batcher<Vec<ProductId>, Result<Offers, PeerError>>,
}

impl Peers {
    pub(crate) fn connect(config: &Config, identity: &Identity, database: &Database) -> Self {
        let cart = CartServiceClient::new(rpc::connect("cart", &config.cart_urls, identity));
        let product = rpc::connect("product", &config.product_urls, identity);
        let user = rpc::connect("user", &config.user_urls, identity);
        Self {
            carts: database
                .one_shard_per_database()
                .map(|_| gather("cart.get", Carts(cart.clone())))
                .collect(),
            checkouts: database
                .one_shard_per_database()
                .map(|_| gather("cart.begin_checkout", Checkouts(cart.clone())))
                .collect(),
            database: database.clone(),
            addresses: gather("user.address", Addresses(UserServiceClient::new(user))),
            offers: gather("product.offers", Products(ProductServiceClient::new(product))),
            cart,
        }
    }

    /// The caller's cart.
    pub(crate) async fn cart(&self, caller: &Caller) -> Result<CartContents, PeerError> {
        let carts = &self.carts[self.database.index_of(caller.user.shard())];
        carts.ask(Waiting::now(caller)).await?
    }

    /// Takes every line out of the caller's cart for this order, if the cart has this version. Returns
    /// what the order has got, also when it was given before.
    pub(crate) async fn begin_checkout(
        &self,
        caller: &Caller,
        order: OrderId,
        cart_version: i64,
    ) -> Result<CartContents, PeerError> {
        let wanted = Wanted { caller: Waiting::now(caller), order, cart_version };
        let checkouts = &self.checkouts[self.database.index_of(caller.user.shard())];
        checkouts.ask(wanted).await?
    }

    /// Tells cart what became of an order that it gave lines to.
    pub(crate) async fn resolve_checkout(
        &self,
        cart: CartId,
        order: OrderId,
        outcome: CheckoutOutcome,
    ) -> Result<(), PeerError> {
        let (cart_id, order_id) = (cart.to_string(), order.to_string());
        let request = ResolveCheckoutRequest { cart_id, order_id, outcome: outcome.into() };
        self.cart.clone().resolve_checkout(request).await?;
        Ok(())
    }

    /// Orders that have lines of carts, and whose outcome cart has been waiting for too long.
    pub(crate) async fn unresolved_checkouts(
        &self,
        limit: u32,
    ) -> Result<Vec<(CartId, OrderId)>, PeerError> {
        let request = ListUnresolvedCheckoutsRequest { limit };
        let reply = self.cart.clone().list_unresolved_checkouts(request).await?.into_inner();
        let checkouts = reply.checkouts.iter();
        checkouts
            .map(|checkout| Some((checkout.cart_id.parse().ok()?, checkout.order_id.parse().ok()?)))
            .collect::<Option<_>>()
            .ok_or(PeerError::Malformed("cart"))
    }

    /// The products as they are sold now, from product's primary. Unknown ones are missing.
    pub(crate) async fn offers(
        &self,
        products: impl Iterator<Item = ProductId>,
    ) -> Result<Offers, PeerError> {
        self.offers.ask(products.collect()).await?
    }

    /// One of the caller's addresses, or the default one; as JSON, since nothing here reads it.
    pub(crate) async fn address(
        &self,
        caller: &Caller,
        id: Option<AddressId>,
    ) -> Result<serde_json::Value, PeerError> {
        let asked = Addressed { caller: Waiting::now(caller), id };
        let address = self.addresses.ask(asked).await??;
        Ok(serde_json::json!({
            "recipient": address.recipient, "line1": address.line1, "line2": address.line2,
            "city": address.city, "postcode": address.postcode, "country": address.country,
        }))
    }
}

fn items(items: Vec<Item>) -> Result<Vec<(ProductId, i64)>, PeerError> {
    let item = |item: Item| Some((item.product_id.parse().ok()?, item.quantity));
    items.into_iter().map(item).collect::<Option<_>>().ok_or(PeerError::Malformed("cart"))
}

fn money(money: proto::money::v1::Money) -> Option<Money> {
    let currency = Currency::parse(&money.currency).ok()?;
    Some(Money { currency, minor: money.minor_units })
}

fn offer(product: Product) -> Option<(ProductId, Offer)> {
    let offer = Offer {
        sku: product.sku,
        name: product.name,
        price: money(product.price?)?,
        previous_price: product.previous_price.and_then(money),
        retired: product.retired,
    };
    Some((product.product_id.parse().ok()?, offer))
}
