//! Calls to the contexts that a checkout asks: cart, product and user, each in the caller's name.

use std::collections::HashMap;

use identity::Caller;
use kernel::{AddressId, CartId, Currency, Money, OrderId, ProductId};
use proto::cart::v1::cart_service_client::CartServiceClient;
use proto::cart::v1::{
    BeginCheckoutRequest, CheckoutOutcome, GetCartRequest, Item, ListUnresolvedCheckoutsRequest,
    ResolveCheckoutRequest,
};
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{BatchGetProductsRequest, Product};
use proto::user::v1::GetAddressRequest;
use proto::user::v1::user_service_client::UserServiceClient;
use rpc::{Channel, Identity};
use thiserror::Error;
use tonic::{Code, Status};

use crate::Config;
use crate::domain::Rejection;
use crate::domain::placing::Offer;

/// Why a peer did not answer the question.
#[derive(Debug, Error)]
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

/// The clients. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers {
    cart: CartServiceClient<Channel>,
    product: ProductServiceClient<Channel>,
    user: UserServiceClient<Channel>,
}

impl Peers {
    pub(crate) fn connect(config: &Config, identity: &Identity) -> Self {
        let cart = rpc::connect("cart", &config.cart_urls, identity);
        let product = rpc::connect("product", &config.product_urls, identity);
        let user = rpc::connect("user", &config.user_urls, identity);
        Self {
            cart: CartServiceClient::new(cart),
            product: ProductServiceClient::new(product),
            user: UserServiceClient::new(user),
        }
    }

    /// The caller's cart.
    pub(crate) async fn cart(&self, caller: &Caller) -> Result<CartContents, PeerError> {
        let request = caller.request(GetCartRequest { cart_id: String::new() });
        let reply = self.cart.clone().get_cart(request).await?.into_inner();
        let cart = reply.cart.ok_or(PeerError::Malformed("cart"))?;
        let checkouts = cart.checkout_order_ids.iter().map(|id| id.parse().ok());
        Ok(CartContents {
            id: caller.user.into(),
            version: cart.version,
            items: items(cart.items)?,
            checkouts: checkouts.collect::<Option<_>>().ok_or(PeerError::Malformed("cart"))?,
        })
    }

    /// Takes every line out of the caller's cart for this order, if the cart has this version. Returns
    /// what the order has got, also when it was given before.
    pub(crate) async fn begin_checkout(
        &self,
        caller: &Caller,
        order: OrderId,
        cart_version: i64,
    ) -> Result<CartContents, PeerError> {
        let order_id = order.to_string();
        let request = caller.request(BeginCheckoutRequest { order_id, cart_version });
        let reply = self.cart.clone().begin_checkout(request).await;
        let begun = reply.map_err(|status| match status.code() {
            Code::Aborted => Rejection::CartChanged.into(),
            _ => PeerError::from(status),
        })?;
        let begun = begun.into_inner();
        let (version, items) = (begun.cart_version, items(begun.items)?);
        Ok(CartContents { id: caller.user.into(), version, items, checkouts: Vec::new() })
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
    ) -> Result<HashMap<ProductId, Offer>, PeerError> {
        let product_ids = products.map(|id| id.to_string()).collect();
        let request = BatchGetProductsRequest { product_ids };
        let reply = self.product.clone().batch_get_products(request).await?.into_inner();
        reply
            .products
            .into_iter()
            .map(offer)
            .collect::<Option<_>>()
            .ok_or(PeerError::Malformed("product"))
    }

    /// One of the caller's addresses, or the default one; as JSON, since nothing here reads it.
    pub(crate) async fn address(
        &self,
        caller: &Caller,
        id: Option<AddressId>,
    ) -> Result<serde_json::Value, PeerError> {
        let address_id = id.map(|id| id.to_string()).unwrap_or_default();
        let request = caller.request(GetAddressRequest { address_id });
        let reply = self.user.clone().get_address(request).await.map_err(|status| {
            match (status.code(), id) {
                (Code::NotFound, Some(_)) => Rejection::AddressNotFound.into(),
                (Code::NotFound, None) => Rejection::AddressMissing.into(),
                _ => PeerError::from(status),
            }
        })?;
        let address = reply.into_inner().address.ok_or(PeerError::Malformed("user"))?;
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
