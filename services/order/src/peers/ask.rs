//! The calls of a checkout, each made for all who ask at one moment ([`batching`]). A caller who is alone is asked for as
//! he would be without the others. So is each of a batch that its callee does not take (one of the release before), that a
//! member breaks, or that takes too long.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use batching::{Batcher, Limits};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use identity::batch::{MEMBERS_MAX, Waiting, status};
use kernel::{AddressId, CartId, OrderId, ProductId};
use proto::cart::v1::batch_begin_checkouts_request::Entry as CheckoutEntry;
use proto::cart::v1::batch_begin_checkouts_response::result::Result as CheckoutResult;
use proto::cart::v1::batch_get_carts_response::result::Result as CartResult;
use proto::cart::v1::cart_service_client::CartServiceClient;
use proto::cart::v1::{
    BatchBeginCheckoutsRequest, BatchGetCartsRequest, BeginCheckoutRequest, BeginCheckoutResponse,
    Cart, GetCartRequest,
};
use proto::product::v1::BatchGetProductsRequest;
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::user::v1::batch_get_addresses_request::Entry as AddressEntry;
use proto::user::v1::batch_get_addresses_response::result::Result as AddressResult;
use proto::user::v1::user_service_client::UserServiceClient;
use proto::user::v1::{Address, BatchGetAddressesRequest, GetAddressRequest};
use rpc::Channel;
use tonic::{Code, Request, Status};

use super::{CartContents, Offers, PeerError, items, offer};
use crate::domain::Rejection;

/// Two batches of a kind at a time: when a copy of the callee does not answer, the balancer sends the other one elsewhere.
const LIMITS: Limits = Limits { size: MEMBERS_MAX, under_way: 2 };

/// A batch waits so long at most; then each member is asked for alone, as long as its own deadline lets it.
const BATCH_WITHIN: Duration = Duration::from_secs(2);

/// Maximum number of products of one call.
const PRODUCTS_MAX: usize = 2_000;

type Answer<T> = Result<T, PeerError>;

/// A call that is made for one or for many.
pub(super) trait Call: Clone + Send + Sync + 'static {
    /// What one member asks.
    type Asked: Send + Sync + 'static;
    /// What it is answered.
    type Answered: Send + 'static;

    /// For one.
    fn alone(&self, asked: &Self::Asked) -> impl Future<Output = Answer<Self::Answered>> + Send;

    /// For many: an answer for each, in their order.
    fn together(
        &self,
        asked: &[Self::Asked],
    ) -> impl Future<Output = Answer<Vec<Answer<Self::Answered>>>> + Send;
}

/// Gathers what is asked by this call.
pub(super) fn gather<C: Call>(
    name: &'static str,
    call: C,
) -> Batcher<C::Asked, Answer<C::Answered>> {
    Batcher::new(name, LIMITS, move |asked: Vec<C::Asked>| {
        let call = call.clone();
        async move { ask(&call, &asked).await }.boxed()
    })
}

async fn ask<C: Call>(call: &C, asked: &[C::Asked]) -> Vec<Answer<C::Answered>> {
    if let [alone] = asked {
        return vec![call.alone(alone).await];
    }
    let answers = match rpc::deadline::within(BATCH_WITHIN, call.together(asked)).await {
        Ok(answers) if answers.len() == asked.len() => answers,
        Ok(_) => asked.iter().map(|_| Err(PeerError::Malformed("batch"))).collect(),
        Err(failure) => asked.iter().map(|_| Err(failure.clone())).collect(),
    };
    let settled = asked.iter().zip(answers).map(async |(asked, answer)| match answer {
        Err(failure) if may_be_anothers(&failure) => call.alone(asked).await,
        answer => answer,
    });
    join_all(settled).await
}

/// Whether a member of a batch may have got this because of another. Not when the callee is away or has too much to do: to ask
/// it for each would make that worse.
fn may_be_anothers(failure: &PeerError) -> bool {
    match failure {
        PeerError::Status(status) => match status.code() {
            Code::Unimplemented | Code::InvalidArgument | Code::OutOfRange => true,
            Code::Internal | Code::Unknown | Code::DeadlineExceeded => true,
            // Together they may have been too large an answer.
            Code::ResourceExhausted => rpc::status::reason(status).as_deref() != Some("overloaded"),
            _ => false,
        },
        PeerError::Malformed(_) => true,
        PeerError::Rejected(_) => false,
    }
}

/// Asks for the carts of callers.
#[derive(Clone)]
pub(super) struct Carts(pub CartServiceClient<Channel>);

impl Call for Carts {
    type Asked = Waiting;
    type Answered = CartContents;

    async fn alone(&self, asked: &Waiting) -> Answer<CartContents> {
        let request = asked.caller.request(GetCartRequest { cart_id: String::new() });
        let reply = self.0.clone().get_cart(request).await?.into_inner();
        contents(asked, reply.cart.ok_or(PeerError::Malformed("cart"))?)
    }

    async fn together(&self, asked: &[Waiting]) -> Answer<Vec<Answer<CartContents>>> {
        let members = asked.iter().map(Waiting::member).collect();
        let request = Request::new(BatchGetCartsRequest { members });
        let results = self.0.clone().batch_get_carts(request).await?.into_inner().results;
        let answers = results.into_iter().zip(asked).map(|(it, asked)| match it.result {
            Some(CartResult::Cart(cart)) => contents(asked, cart),
            Some(CartResult::Refusal(refusal)) => Err(status(refusal).into()),
            None => Err(PeerError::Malformed("cart")),
        });
        Ok(answers.collect())
    }
}

fn contents(asked: &Waiting, cart: Cart) -> Answer<CartContents> {
    if cart.cart_id.parse().ok() != Some(CartId::from(asked.caller.user)) {
        return Err(PeerError::Malformed("cart")); // somebody else's
    }
    let checkouts = cart.checkout_order_ids.iter().map(|id| id.parse().ok());
    Ok(CartContents {
        id: asked.caller.user.into(),
        version: cart.version,
        items: items(cart.items)?,
        checkouts: checkouts.collect::<Option<_>>().ok_or(PeerError::Malformed("cart"))?,
    })
}

/// Asks for the lines of callers' carts, for orders.
#[derive(Clone)]
pub(super) struct Checkouts(pub CartServiceClient<Channel>);

/// A checkout that wants the lines of its caller's cart at this version.
pub(super) struct Wanted {
    pub caller: Waiting,
    pub order: OrderId,
    pub cart_version: i64,
}

impl Wanted {
    fn request(&self) -> BeginCheckoutRequest {
        let (order_id, cart_version) = (self.order.to_string(), self.cart_version);
        BeginCheckoutRequest { order_id, cart_version }
    }

    fn cart(&self) -> CartId {
        self.caller.caller.user.into()
    }
}

impl Call for Checkouts {
    type Asked = Wanted;
    type Answered = CartContents;

    async fn alone(&self, asked: &Wanted) -> Answer<CartContents> {
        let request = asked.caller.caller.request(asked.request());
        let begun = self.0.clone().begin_checkout(request).await.map_err(not_begun)?;
        taken(asked.cart(), begun.into_inner())
    }

    async fn together(&self, asked: &[Wanted]) -> Answer<Vec<Answer<CartContents>>> {
        let entry = |it: &Wanted| CheckoutEntry {
            member: Some(it.caller.member()),
            checkout: Some(it.request()),
        };
        let entries = asked.iter().map(entry).collect();
        let request = Request::new(BatchBeginCheckoutsRequest { entries });
        let results = self.0.clone().batch_begin_checkouts(request).await?.into_inner().results;
        let answers = results.into_iter().zip(asked).map(|(it, asked)| match it.result {
            Some(CheckoutResult::Checkout(begun)) => taken(asked.cart(), begun),
            Some(CheckoutResult::Refusal(refusal)) => Err(not_begun(status(refusal))),
            None => Err(PeerError::Malformed("cart")),
        });
        Ok(answers.collect())
    }
}

fn not_begun(status: Status) -> PeerError {
    match status.code() {
        Code::Aborted => Rejection::CartChanged.into(),
        _ => status.into(),
    }
}

fn taken(id: CartId, begun: BeginCheckoutResponse) -> Answer<CartContents> {
    let (version, items) = (begun.cart_version, items(begun.items)?);
    Ok(CartContents { id, version, items, checkouts: Vec::new() })
}

/// Asks for addresses of callers.
#[derive(Clone)]
pub(super) struct Addresses(pub UserServiceClient<Channel>);

/// A checkout that wants an address of its caller: this one, or the first.
pub(super) struct Addressed {
    pub caller: Waiting,
    pub id: Option<AddressId>,
}

impl Addressed {
    fn address_id(&self) -> String {
        self.id.map(|id| id.to_string()).unwrap_or_default()
    }

    fn not_found(&self, status: Status) -> PeerError {
        match (status.code(), self.id) {
            (Code::NotFound, Some(_)) => Rejection::AddressNotFound.into(),
            (Code::NotFound, None) => Rejection::AddressMissing.into(),
            _ => status.into(),
        }
    }
}

impl Call for Addresses {
    type Asked = Addressed;
    type Answered = Address;

    async fn alone(&self, asked: &Addressed) -> Answer<Address> {
        let request = GetAddressRequest { address_id: asked.address_id() };
        let reply = self.0.clone().get_address(asked.caller.caller.request(request)).await;
        let address = reply.map_err(|it| asked.not_found(it))?.into_inner().address;
        address.ok_or(PeerError::Malformed("user"))
    }

    async fn together(&self, asked: &[Addressed]) -> Answer<Vec<Answer<Address>>> {
        let entry = |it: &Addressed| AddressEntry {
            member: Some(it.caller.member()),
            address_id: it.address_id(),
        };
        let entries = asked.iter().map(entry).collect();
        let request = Request::new(BatchGetAddressesRequest { entries });
        let results = self.0.clone().batch_get_addresses(request).await?.into_inner().results;
        let answers = results.into_iter().zip(asked).map(|(it, asked)| match it.result {
            Some(AddressResult::Address(address)) => Ok(address),
            Some(AddressResult::Refusal(refusal)) => Err(asked.not_found(status(refusal))),
            None => Err(PeerError::Malformed("user")),
        });
        Ok(answers.collect())
    }
}

/// Asks for products as they are sold now. They are nobody's, so a batch asks for each once.
#[derive(Clone)]
pub(super) struct Products(pub ProductServiceClient<Channel>);

impl Products {
    async fn offers(&self, products: &[ProductId]) -> Answer<Offers> {
        let mut offers = HashMap::with_capacity(products.len());
        for some in products.chunks(PRODUCTS_MAX) {
            let product_ids = some.iter().map(|id| id.to_string()).collect();
            let request = BatchGetProductsRequest { product_ids, may_be_cached: false };
            let reply = self.0.clone().batch_get_products(request).await?.into_inner();
            let found = reply.products.into_iter().map(offer).collect::<Option<Vec<_>>>();
            offers.extend(found.ok_or(PeerError::Malformed("product"))?);
        }
        Ok(offers)
    }
}

impl Call for Products {
    type Asked = Vec<ProductId>;
    type Answered = Offers;

    async fn alone(&self, asked: &Vec<ProductId>) -> Answer<Offers> {
        self.offers(asked).await
    }

    async fn together(&self, asked: &[Vec<ProductId>]) -> Answer<Vec<Answer<Offers>>> {
        let all: BTreeSet<ProductId> = asked.iter().flatten().copied().collect();
        let offers = self.offers(&Vec::from_iter(all)).await?;
        let own = |asked: &Vec<ProductId>| {
            let known = asked.iter().filter_map(|id| Some((*id, offers.get(id)?.clone())));
            Ok(known.collect())
        };
        Ok(asked.iter().map(own).collect())
    }
}
