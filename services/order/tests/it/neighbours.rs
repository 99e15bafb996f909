//! Cart, product and user, as far as an order asks them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use identity::batch::refusal;
use proto::cart::v1::cart_service_server::{CartService, CartServiceServer};
use proto::cart::v1::list_unresolved_checkouts_response::Checkout;
use proto::cart::v1::{
    self as cart, BeginCheckoutRequest, BeginCheckoutResponse, Cart, CheckoutOutcome,
    GetCartRequest, GetCartResponse, ListUnresolvedCheckoutsRequest,
    ListUnresolvedCheckoutsResponse, ResolveCheckoutRequest, ResolveCheckoutResponse,
};
use proto::money::v1::Money;
use proto::product::v1::product_service_server::{ProductService, ProductServiceServer};
use proto::product::v1::{self as product, BatchGetProductsRequest, BatchGetProductsResponse};
use proto::user::v1::user_service_server::{UserService, UserServiceServer};
use proto::user::v1::{self as user, Address, GetAddressRequest, GetAddressResponse};
use rpc::{Identity, Routes, ServerOptions};
use testkit::World;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::shop::Customer;

/// What the neighbours answer; tests change it.
#[derive(Clone, Default)]
pub struct Neighbours {
    pub carts: Arc<Mutex<HashMap<String, Cart>>>,
    /// What orders have got, by order.
    pub checkouts: Arc<Mutex<HashMap<String, BeginCheckoutResponse>>>,
    /// What cart lists as unresolved.
    pub unresolved: Arc<Mutex<Vec<Checkout>>>,
    /// What cart was told.
    pub outcomes: Arc<Mutex<Vec<(String, CheckoutOutcome)>>>,
    /// The calls of BeginCheckout that succeed and whose answer is lost.
    pub answers_lost: Arc<Mutex<u32>>,
    pub products: Arc<Mutex<Vec<product::Product>>>,
    pub without_address: Arc<Mutex<bool>>,
    /// Users for whom each question fails, with this.
    pub refused: Arc<Mutex<HashMap<String, Code>>>,
    /// They are of the release before: no batches.
    pub alone_only: Arc<Mutex<bool>>,
    /// The sizes of the questions so far, by method.
    pub sizes: Arc<Mutex<HashMap<&'static str, Vec<usize>>>>,
    /// Methods whose answers wait until [`Neighbours::release`].
    held: Arc<Mutex<HashMap<&'static str, Arc<Semaphore>>>>,
}

impl Neighbours {
    /// The customer's cart as it is.
    pub fn cart(&self, customer: &Customer) -> Cart {
        self.carts.lock().unwrap()[&customer.user.to_string()].clone()
    }

    /// Moves the lines of the cart into this checkout again, as a call does that arrives late.
    pub fn give_again(&self, customer: &Customer, order_id: &str) {
        let mut carts = self.carts.lock().unwrap();
        let cart = carts.get_mut(&customer.user.to_string()).unwrap();
        let items = std::mem::take(&mut cart.items);
        let begun = BeginCheckoutResponse { cart_version: cart.version, items };
        cart.checkout_order_ids.push(order_id.to_owned());
        self.checkouts.lock().unwrap().insert(order_id.to_owned(), begun);
    }

    /// From now on no question of this method is answered.
    pub fn hold(&self, method: &'static str) {
        self.held.lock().unwrap().insert(method, Arc::new(Semaphore::new(0)));
    }

    /// What was asked is answered.
    pub fn release(&self, method: &'static str) {
        let held = self.held.lock().unwrap().remove(method).unwrap();
        held.add_permits(Semaphore::MAX_PERMITS);
    }

    /// How many questions of this method came, and how many asked in them.
    pub fn asked(&self, method: &'static str) -> Vec<usize> {
        self.sizes.lock().unwrap().get(method).cloned().unwrap_or_default()
    }

    async fn passes(&self, method: &'static str, size: usize) {
        self.sizes.lock().unwrap().entry(method).or_default().push(size);
        let held = self.held.lock().unwrap().get(method).cloned();
        if let Some(held) = held {
            held.acquire().await.unwrap().forget();
        }
    }

    fn takes_batches(&self) -> Result<(), Status> {
        let alone_only = *self.alone_only.lock().unwrap();
        if alone_only { Err(Status::unimplemented("not yet")) } else { Ok(()) }
    }

    fn answers(&self, owner: &str) -> Result<(), Status> {
        match self.refused.lock().unwrap().get(owner) {
            Some(code) => Err(Status::new(*code, "refused")),
            None => Ok(()),
        }
    }

    fn cart_of(&self, owner: &str) -> Result<Cart, Status> {
        self.answers(owner)?;
        let cart = self.carts.lock().unwrap().get(owner).cloned().unwrap_or_default();
        Ok(Cart { cart_id: owner.to_owned(), ..cart })
    }

    fn address_of(&self, owner: &str) -> Result<Address, Status> {
        self.answers(owner)?;
        if *self.without_address.lock().unwrap() {
            return Err(Status::not_found("none"));
        }
        Ok(Address { city: "Marrakesh".into(), ..Address::default() })
    }

    fn begin(
        &self,
        owner: String,
        asked: BeginCheckoutRequest,
    ) -> Result<BeginCheckoutResponse, Status> {
        let BeginCheckoutRequest { order_id, cart_version } = asked;
        let mut checkouts = self.checkouts.lock().unwrap();
        if !checkouts.contains_key(&order_id) {
            let mut carts = self.carts.lock().unwrap();
            let cart = carts.entry(owner).or_default();
            if cart.version != cart_version || cart.items.is_empty() {
                return Err(Status::aborted("the cart has changed meanwhile"));
            }
            cart.version += 1;
            cart.checkout_order_ids.push(order_id.clone());
            let items = std::mem::take(&mut cart.items);
            checkouts.insert(order_id.clone(), BeginCheckoutResponse { cart_version, items });
        }
        let mut lost = self.answers_lost.lock().unwrap();
        if *lost > 0 {
            *lost -= 1;
            return Err(Status::internal("the answer was lost"));
        }
        Ok(checkouts[&order_id].clone())
    }

    /// Serves all three under their own names. Answers where.
    pub fn serve(&self, world: &World, stop: &CancellationToken) -> [SocketAddr; 3] {
        [
            serve(world, "cart", Routes::new(CartServiceServer::new(self.clone())), stop),
            serve(world, "product", Routes::new(ProductServiceServer::new(self.clone())), stop),
            serve(world, "user", Routes::new(UserServiceServer::new(self.clone())), stop),
        ]
    }
}

fn serve(world: &World, name: &str, routes: Routes, stop: &CancellationToken) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let address = listener.local_addr().unwrap();
    let identity = Identity::load(&rpc::tls::Options { tls_dir: world.tls_dir(name) }).unwrap();
    let options = ServerOptions::default();
    tokio::spawn(rpc::serve(listener, identity, routes, options, stop.clone()));
    address
}

/// The caller of a request.
fn subject<T>(request: &Request<T>) -> String {
    subject_of(request.metadata().get("authorization").unwrap().to_str().unwrap())
}

/// The subject of a token that the test issued, read without a check.
fn subject_of(token: &str) -> String {
    let claims = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, claims).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

type Answer<T> = Result<Response<T>, Status>;

/// Methods that an order never calls. (As `async_trait` would write them: it does not see into
/// macros.)
macro_rules! not_asked {
    ($($name:ident: $request:ty => $response:ty),* $(,)?) => {
        $(fn $name<'a, 'b>(&'a self, _: Request<$request>) -> BoxFuture<'b, Answer<$response>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(async { Err(Status::unimplemented("an order does not ask this")) })
        })*
    };
}

#[tonic::async_trait]
impl CartService for Neighbours {
    async fn get_cart(&self, request: Request<GetCartRequest>) -> Answer<GetCartResponse> {
        self.passes("get_cart", 1).await;
        let cart = Some(self.cart_of(&subject(&request))?);
        Ok(Response::new(GetCartResponse { cart }))
    }

    async fn batch_get_carts(
        &self,
        request: Request<cart::BatchGetCartsRequest>,
    ) -> Answer<cart::BatchGetCartsResponse> {
        use cart::batch_get_carts_response::{Result as Answer, result::Result as Said};
        let members = request.into_inner().members;
        self.passes("get_cart", members.len()).await;
        self.takes_batches()?;
        let said = members.iter().map(|it| match self.cart_of(&subject_of(&it.access_token)) {
            Ok(cart) => Said::Cart(cart),
            Err(refused) => Said::Refusal(refusal(&refused)),
        });
        let results = said.map(|said| Answer { result: Some(said) }).collect();
        Ok(Response::new(cart::BatchGetCartsResponse { results }))
    }

    async fn begin_checkout(
        &self,
        request: Request<BeginCheckoutRequest>,
    ) -> Answer<BeginCheckoutResponse> {
        self.passes("begin_checkout", 1).await;
        let owner = subject(&request);
        self.begin(owner, request.into_inner()).map(Response::new)
    }

    async fn batch_begin_checkouts(
        &self,
        request: Request<cart::BatchBeginCheckoutsRequest>,
    ) -> Answer<cart::BatchBeginCheckoutsResponse> {
        use cart::batch_begin_checkouts_response::{Result as Answer, result::Result as Said};
        let entries = request.into_inner().entries;
        self.passes("begin_checkout", entries.len()).await;
        self.takes_batches()?;
        let said = entries.into_iter().map(|it| {
            let owner = subject_of(&it.member.unwrap().access_token);
            let begun = self.begin(owner, it.checkout.unwrap());
            begun.map_or_else(|refused| Said::Refusal(refusal(&refused)), Said::Checkout)
        });
        let results = said.map(|said| Answer { result: Some(said) }).collect();
        Ok(Response::new(cart::BatchBeginCheckoutsResponse { results }))
    }

    async fn resolve_checkout(
        &self,
        request: Request<ResolveCheckoutRequest>,
    ) -> Answer<ResolveCheckoutResponse> {
        let request = request.into_inner();
        let outcome = request.outcome();
        self.outcomes.lock().unwrap().push((request.order_id.clone(), outcome));
        if outcome != CheckoutOutcome::UnderWay {
            self.unresolved
                .lock()
                .unwrap()
                .retain(|checkout| checkout.order_id != request.order_id);
            let checkout = self.checkouts.lock().unwrap().remove(&request.order_id);
            let mut carts = self.carts.lock().unwrap();
            let cart = carts.entry(request.cart_id).or_default();
            cart.checkout_order_ids.retain(|id| *id != request.order_id);
            if let Some(checkout) = checkout.filter(|_| outcome == CheckoutOutcome::Returned) {
                cart.version += 1;
                cart.items.extend(checkout.items);
            }
        }
        Ok(Response::new(ResolveCheckoutResponse {}))
    }

    async fn list_unresolved_checkouts(
        &self,
        _: Request<ListUnresolvedCheckoutsRequest>,
    ) -> Answer<ListUnresolvedCheckoutsResponse> {
        let checkouts = self.unresolved.lock().unwrap().clone();
        Ok(Response::new(ListUnresolvedCheckoutsResponse { checkouts }))
    }

    not_asked! {
        put_item: cart::PutItemRequest => cart::PutItemResponse,
        remove_item: cart::RemoveItemRequest => cart::RemoveItemResponse,
        clear_cart: cart::ClearCartRequest => cart::ClearCartResponse,
        merge_cart: cart::MergeCartRequest => cart::MergeCartResponse,
    }
}

#[tonic::async_trait]
impl ProductService for Neighbours {
    async fn batch_get_products(
        &self,
        request: Request<BatchGetProductsRequest>,
    ) -> Answer<BatchGetProductsResponse> {
        let wanted = request.into_inner().product_ids;
        let mut products = self.products.lock().unwrap().clone();
        products.retain(|product| wanted.contains(&product.product_id));
        Ok(Response::new(BatchGetProductsResponse { products }))
    }

    not_asked! {
        list_products: product::ListProductsRequest => product::ListProductsResponse,
        search_products: product::SearchProductsRequest => product::SearchProductsResponse,
        get_product: product::GetProductRequest => product::GetProductResponse,
        list_popular_products: product::ListPopularProductsRequest => product::ListPopularProductsResponse,
        list_bestsellers: product::ListBestsellersRequest => product::ListBestsellersResponse,
        list_categories: product::ListCategoriesRequest => product::ListCategoriesResponse,
        list_bought_together: product::ListBoughtTogetherRequest => product::ListBoughtTogetherResponse,
        count_views: product::CountViewsRequest => product::CountViewsResponse,
        list_product_changes: product::ListProductChangesRequest => product::ListProductChangesResponse,
        add_product: product::AddProductRequest => product::AddProductResponse,
        revise_product: product::ReviseProductRequest => product::ReviseProductResponse,
        change_price: product::ChangePriceRequest => product::ChangePriceResponse,
        retire_product: product::RetireProductRequest => product::RetireProductResponse,
        receive_stock: product::ReceiveStockRequest => product::ReceiveStockResponse,
        get_stock: product::GetStockRequest => product::GetStockResponse,
        import_products: Streaming<product::ImportProductsRequest> => product::ImportProductsResponse,
        start_import: Streaming<product::StartImportRequest> => product::StartImportResponse,
        get_import: product::GetImportRequest => product::GetImportResponse,
        cancel_import: product::CancelImportRequest => product::CancelImportResponse,
    }
}

#[tonic::async_trait]
impl UserService for Neighbours {
    async fn get_address(&self, request: Request<GetAddressRequest>) -> Answer<GetAddressResponse> {
        self.passes("get_address", 1).await;
        let address = Some(self.address_of(&subject(&request))?);
        Ok(Response::new(GetAddressResponse { address }))
    }

    async fn batch_get_addresses(
        &self,
        request: Request<user::BatchGetAddressesRequest>,
    ) -> Answer<user::BatchGetAddressesResponse> {
        use user::batch_get_addresses_response::{Result as Answer, result::Result as Said};
        let entries = request.into_inner().entries;
        self.passes("get_address", entries.len()).await;
        self.takes_batches()?;
        let said = entries.into_iter().map(|it| {
            let address = self.address_of(&subject_of(&it.member.unwrap().access_token));
            address.map_or_else(|refused| Said::Refusal(refusal(&refused)), Said::Address)
        });
        let results = said.map(|said| Answer { result: Some(said) }).collect();
        Ok(Response::new(user::BatchGetAddressesResponse { results }))
    }

    not_asked! {
        register: user::RegisterRequest => user::RegisterResponse,
        sign_in: user::SignInRequest => user::SignInResponse,
        refresh_session: user::RefreshSessionRequest => user::RefreshSessionResponse,
        sign_out: user::SignOutRequest => user::SignOutResponse,
        get_user: user::GetUserRequest => user::GetUserResponse,
        update_user: user::UpdateUserRequest => user::UpdateUserResponse,
        add_address: user::AddAddressRequest => user::AddAddressResponse,
        erase_user: user::EraseUserRequest => user::EraseUserResponse,
    }
}

/// A product at 2.50.
pub fn product(product_id: String) -> product::Product {
    let price = Some(Money { currency: "GBP".into(), minor_units: 250 });
    product::Product { product_id, name: "tea glass".into(), price, ..Default::default() }
}
