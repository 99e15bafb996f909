//! All five services in one: it keeps what it was asked, and answers as it was told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use proto::cart::v1::cart_service_server::CartService;
use proto::cart::v1::{self as cart, Cart};
use proto::money::v1::Money;
use proto::order::v1::order_service_server::OrderService;
use proto::order::v1::{self as order, Order};
use proto::payment::v1 as payment;
use proto::payment::v1::payment_service_server::PaymentService;
use proto::product::v1::product_service_server::ProductService;
use proto::product::v1::{self as product, Product};
use proto::user::v1 as user;
use proto::user::v1::user_service_server::UserService;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// One call, as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub rpc: &'static str,
    pub authorization: Option<String>,
    pub traceparent: Option<String>,
    pub message: String,
}

type Live = mpsc::UnboundedSender<Result<order::WatchOrderResponse, Status>>;

#[derive(Default)]
pub struct State {
    pub products: Vec<Product>,
    pub cart: Cart,
    pub order: Order,
    /// What an RPC refuses with.
    pub refusals: HashMap<&'static str, Status>,
    pub imported: Vec<product::ImportProductsRequest>,
    /// How the stream of the last import ended: `Some(true)` for a good end (see `spy`).
    pub import_ended_well: Option<bool>,
    /// The live streams, to send into.
    pub live: Vec<Live>,
}

pub struct Shop {
    state: Mutex<State>,
    seen: Mutex<Vec<Seen>>,
    /// Every unary call takes a permit and gives it back; none left means that nobody answers.
    pub gate: Semaphore,
    /// Every imported line takes a permit for good.
    pub import_gate: Semaphore,
}

impl Shop {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            seen: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            import_gate: Semaphore::new(Semaphore::MAX_PERMITS),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panicked with it")
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no test panicked with it").clone()
    }

    /// The last call of this RPC.
    pub fn last(&self, rpc: &str) -> Seen {
        let seen = self.seen();
        seen.into_iter().rfind(|seen| seen.rpc == rpc).unwrap_or_else(|| panic!("no {rpc}"))
    }

    pub fn refuse(&self, rpc: &'static str, status: Status) {
        self.state().refusals.insert(rpc, status);
    }

    fn note<T: std::fmt::Debug>(&self, rpc: &'static str, request: &Request<T>) {
        let text = |name| request.metadata().get(name).map(|v| v.to_str().unwrap().to_owned());
        self.seen.lock().unwrap().push(Seen {
            rpc,
            authorization: text("authorization"),
            traceparent: text("traceparent"),
            message: format!("{:?}", request.get_ref()),
        });
    }

    /// The beginning of every unary call.
    async fn enter<T: std::fmt::Debug>(
        &self,
        rpc: &'static str,
        request: Request<T>,
    ) -> Result<T, Status> {
        self.note(rpc, &request);
        drop(self.gate.acquire().await);
        match self.state().refusals.get(rpc) {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(request.into_inner()),
        }
    }

    fn product(&self, id: &str) -> Result<Product, Status> {
        let found = self.state().products.iter().find(|p| p.product_id == id).cloned();
        let missing = || rpc::status::refusal(tonic::Code::NotFound, "product_not_found", "no");
        found.ok_or_else(missing)
    }
}

pub fn money(minor_units: i64) -> Option<Money> {
    Some(Money { currency: "GBP".into(), minor_units })
}

type Answer<T> = Result<Response<T>, Status>;

fn ok<T>(message: T) -> Answer<T> {
    Ok(Response::new(message))
}

#[tonic::async_trait]
impl ProductService for Shop {
    async fn list_products(
        &self,
        request: Request<product::ListProductsRequest>,
    ) -> Answer<product::ListProductsResponse> {
        self.enter("ListProducts", request).await?;
        let products = self.state().products.clone();
        ok(product::ListProductsResponse { products, next_page_token: "next".into() })
    }

    async fn search_products(
        &self,
        request: Request<product::SearchProductsRequest>,
    ) -> Answer<product::SearchProductsResponse> {
        self.enter("SearchProducts", request).await?;
        ok(product::SearchProductsResponse { products: self.state().products.clone() })
    }

    async fn get_product(
        &self,
        request: Request<product::GetProductRequest>,
    ) -> Answer<product::GetProductResponse> {
        let request = self.enter("GetProduct", request).await?;
        ok(product::GetProductResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn batch_get_products(
        &self,
        request: Request<product::BatchGetProductsRequest>,
    ) -> Answer<product::BatchGetProductsResponse> {
        let ids = self.enter("BatchGetProducts", request).await?.product_ids;
        let products = ids.iter().filter_map(|id| self.product(id).ok()).collect();
        ok(product::BatchGetProductsResponse { products })
    }

    async fn add_product(
        &self,
        request: Request<product::AddProductRequest>,
    ) -> Answer<product::AddProductResponse> {
        self.enter("AddProduct", request).await?;
        ok(product::AddProductResponse { product: self.state().products.first().cloned() })
    }

    async fn revise_product(
        &self,
        request: Request<product::ReviseProductRequest>,
    ) -> Answer<product::ReviseProductResponse> {
        let request = self.enter("ReviseProduct", request).await?;
        ok(product::ReviseProductResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn change_price(
        &self,
        request: Request<product::ChangePriceRequest>,
    ) -> Answer<product::ChangePriceResponse> {
        let request = self.enter("ChangePrice", request).await?;
        ok(product::ChangePriceResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn retire_product(
        &self,
        request: Request<product::RetireProductRequest>,
    ) -> Answer<product::RetireProductResponse> {
        let request = self.enter("RetireProduct", request).await?;
        ok(product::RetireProductResponse { product: Some(self.product(&request.product_id)?) })
    }

    async fn receive_stock(
        &self,
        request: Request<product::ReceiveStockRequest>,
    ) -> Answer<product::ReceiveStockResponse> {
        let product_id = self.enter("ReceiveStock", request).await?.product_id;
        let stock = product::Stock { product_id, received: 9, on_hand: 8, reserved: 2, shipped: 1 };
        ok(product::ReceiveStockResponse { stock: Some(stock) })
    }

    async fn get_stock(
        &self,
        request: Request<product::GetStockRequest>,
    ) -> Answer<product::GetStockResponse> {
        let product_id = self.enter("GetStock", request).await?.product_id;
        let stock = product::Stock { product_id, received: 9, on_hand: 8, reserved: 2, shipped: 1 };
        ok(product::GetStockResponse { stock: Some(stock) })
    }

    async fn import_products(
        &self,
        request: Request<Streaming<product::ImportProductsRequest>>,
    ) -> Answer<product::ImportProductsResponse> {
        self.note("ImportProducts", &request);
        if let Some(refusal) = self.state().refusals.get("ImportProducts") {
            return Err(refusal.clone());
        }
        let mut lines = request.into_inner();
        loop {
            self.import_gate.acquire().await.expect("never closed").forget();
            match lines.message().await? {
                Some(line) => self.state().imported.push(line),
                None => break,
            }
        }
        let added = self.state().imported.len() as i64;
        ok(product::ImportProductsResponse { added, ..Default::default() })
    }
}

fn somebody() -> Option<user::User> {
    Some(user::User {
        user_id: "01890000-0000-7000-8000-000000000007".into(),
        email: "ada@example.org".into(),
        name: "Ada".into(),
        role: user::Role::Customer.into(),
        addresses: vec![],
    })
}

fn session() -> Option<user::Session> {
    Some(user::Session {
        access_token: "fresh.access.token".into(),
        refresh_token: "refresh".into(),
        expires_in_seconds: 600,
        user_id: somebody()?.user_id,
    })
}

#[tonic::async_trait]
impl UserService for Shop {
    async fn register(
        &self,
        request: Request<user::RegisterRequest>,
    ) -> Answer<user::RegisterResponse> {
        self.enter("Register", request).await?;
        ok(user::RegisterResponse { user: somebody() })
    }

    async fn sign_in(&self, request: Request<user::SignInRequest>) -> Answer<user::SignInResponse> {
        self.enter("SignIn", request).await?;
        ok(user::SignInResponse { session: session() })
    }

    async fn refresh_session(
        &self,
        request: Request<user::RefreshSessionRequest>,
    ) -> Answer<user::RefreshSessionResponse> {
        self.enter("RefreshSession", request).await?;
        ok(user::RefreshSessionResponse { session: session() })
    }

    async fn sign_out(
        &self,
        request: Request<user::SignOutRequest>,
    ) -> Answer<user::SignOutResponse> {
        self.enter("SignOut", request).await?;
        ok(user::SignOutResponse {})
    }

    async fn get_user(
        &self,
        request: Request<user::GetUserRequest>,
    ) -> Answer<user::GetUserResponse> {
        self.enter("GetUser", request).await?;
        ok(user::GetUserResponse { user: somebody() })
    }

    async fn update_user(
        &self,
        request: Request<user::UpdateUserRequest>,
    ) -> Answer<user::UpdateUserResponse> {
        self.enter("UpdateUser", request).await?;
        ok(user::UpdateUserResponse { user: somebody() })
    }

    async fn add_address(
        &self,
        request: Request<user::AddAddressRequest>,
    ) -> Answer<user::AddAddressResponse> {
        let address = self.enter("AddAddress", request).await?.address;
        ok(user::AddAddressResponse { address })
    }

    async fn get_address(
        &self,
        request: Request<user::GetAddressRequest>,
    ) -> Answer<user::GetAddressResponse> {
        self.enter("GetAddress", request).await?;
        Err(Status::unimplemented("no route of the gateway asks for it"))
    }

    async fn erase_user(
        &self,
        request: Request<user::EraseUserRequest>,
    ) -> Answer<user::EraseUserResponse> {
        self.enter("EraseUser", request).await?;
        ok(user::EraseUserResponse {})
    }
}

impl Shop {
    fn cart(&self) -> Option<Cart> {
        Some(self.state().cart.clone())
    }

    fn order(&self) -> Option<Order> {
        Some(self.state().order.clone())
    }
}

#[tonic::async_trait]
impl CartService for Shop {
    async fn get_cart(
        &self,
        request: Request<cart::GetCartRequest>,
    ) -> Answer<cart::GetCartResponse> {
        self.enter("GetCart", request).await?;
        ok(cart::GetCartResponse { cart: self.cart() })
    }

    async fn put_item(
        &self,
        request: Request<cart::PutItemRequest>,
    ) -> Answer<cart::PutItemResponse> {
        let cart::PutItemRequest { cart_id, product_id, quantity } =
            self.enter("PutItem", request).await?;
        let items = vec![cart::Item { product_id, quantity }];
        self.state().cart = Cart { cart_id, version: 1, items };
        ok(cart::PutItemResponse { cart: self.cart() })
    }

    async fn remove_item(
        &self,
        request: Request<cart::RemoveItemRequest>,
    ) -> Answer<cart::RemoveItemResponse> {
        self.enter("RemoveItem", request).await?;
        ok(cart::RemoveItemResponse { cart: self.cart() })
    }

    async fn clear_cart(
        &self,
        request: Request<cart::ClearCartRequest>,
    ) -> Answer<cart::ClearCartResponse> {
        self.enter("ClearCart", request).await?;
        ok(cart::ClearCartResponse { cart: self.cart() })
    }

    async fn merge_cart(
        &self,
        request: Request<cart::MergeCartRequest>,
    ) -> Answer<cart::MergeCartResponse> {
        self.enter("MergeCart", request).await?;
        ok(cart::MergeCartResponse { cart: self.cart() })
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
        ok(payment::ListPaymentMethodsResponse { payment_methods: vec![] })
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
}
