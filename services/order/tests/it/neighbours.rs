//! Cart, product and user, as far as an order asks them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
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
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

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

/// The subject of a token that the test issued, read without a check.
fn subject<T>(request: &Request<T>) -> String {
    let token = request.metadata().get("authorization").unwrap().to_str().unwrap();
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
        let owner = subject(&request);
        let cart = self.carts.lock().unwrap().get(&owner).cloned().unwrap_or_default();
        Ok(Response::new(GetCartResponse { cart: Some(cart) }))
    }

    async fn begin_checkout(
        &self,
        request: Request<BeginCheckoutRequest>,
    ) -> Answer<BeginCheckoutResponse> {
        let owner = subject(&request);
        let BeginCheckoutRequest { order_id, cart_version } = request.into_inner();
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
        Ok(Response::new(checkouts[&order_id].clone()))
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
        add_product: product::AddProductRequest => product::AddProductResponse,
        revise_product: product::ReviseProductRequest => product::ReviseProductResponse,
        change_price: product::ChangePriceRequest => product::ChangePriceResponse,
        retire_product: product::RetireProductRequest => product::RetireProductResponse,
        receive_stock: product::ReceiveStockRequest => product::ReceiveStockResponse,
        get_stock: product::GetStockRequest => product::GetStockResponse,
        import_products: Streaming<product::ImportProductsRequest> => product::ImportProductsResponse,
    }
}

#[tonic::async_trait]
impl UserService for Neighbours {
    async fn get_address(&self, _: Request<GetAddressRequest>) -> Answer<GetAddressResponse> {
        if *self.without_address.lock().unwrap() {
            return Err(Status::not_found("none"));
        }
        let address = Address { city: "Marrakesh".into(), ..Address::default() };
        Ok(Response::new(GetAddressResponse { address: Some(address) }))
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
