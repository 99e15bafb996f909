//! The order service with its neighbours, and customers who have carts.

use std::time::Duration;

use identity::Role;
use kernel::{OrderId, PaymentMethodId, ProductId, Shard, UserId};
use order::Config;
use proto::cart::v1::Item;
use proto::money::v1::Money;
use proto::order::v1::order_service_client::OrderServiceClient;
use proto::order::v1::{GetOrderRequest, Order, OrderPlaced, PlaceOrderRequest, State};
use rpc::Channel;
use testkit::{Published, Publisher, Running, World, eventually};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status};

use crate::neighbours::{Neighbours, product};

pub const SOON: Duration = Duration::from_secs(30);

pub struct Shop {
    pub neighbours: Neighbours,
    pub service: Running,
    pub client: OrderServiceClient<Channel>,
    pub product: Publisher,
    pub payment: Publisher,
    pub databases: Vec<String>,
    _neighbours_end: DropGuard,
    pub world: World,
}

impl Shop {
    pub async fn open() -> Self {
        Self::with_deadline("20s").await
    }

    pub async fn with_deadline(deadline: &str) -> Self {
        let world = World::new();
        let stop = CancellationToken::new();
        let neighbours = Neighbours::default();
        let [cart, product, user] = neighbours.serve(&world, &stop);
        let databases = world.databases("order", 2);
        let service = world.service("order").databases(&databases).nats().tokens();
        let service = service
            .arg("--cart-urls", cart)
            .arg("--product-urls", product)
            .arg("--user-urls", user)
            .arg("--checkout-deadline", deadline)
            .start::<Config, _>(order::run)
            .await;
        let channel = world.channel("gateway", "order", &[service.address]);
        Self {
            neighbours,
            client: OrderServiceClient::new(channel),
            product: Publisher::new(&world, "product").await,
            payment: Publisher::new(&world, "payment").await,
            service,
            databases,
            _neighbours_end: stop.drop_guard(),
            world,
        }
    }

    /// A customer on this shard with one product, so many times, in the cart.
    pub fn customer(&self, shard: u8, quantity: i64) -> Customer {
        let user = UserId::mint_on(Shard(shard));
        let product_id = ProductId::mint();
        self.neighbours.products.lock().unwrap().push(product(product_id.to_string()));
        let customer = Customer {
            user,
            product: product_id,
            bearer: self.world.bearer(user, Role::Customer),
            payment_method: PaymentMethodId::mint(),
        };
        self.fill(&customer, 1, quantity);
        customer
    }

    /// The customer's cart at this version.
    pub fn fill(&self, customer: &Customer, version: i64, quantity: i64) {
        let item = Item { product_id: customer.product.to_string(), quantity };
        let items = if quantity > 0 { vec![item] } else { Vec::new() };
        let mut carts = self.neighbours.carts.lock().unwrap();
        let cart = carts.entry(customer.user.to_string()).or_default();
        (cart.version, cart.items) = (version, items);
    }

    /// Puts so many of the customer's product in the cart, as it is now.
    pub fn put(&self, customer: &Customer, quantity: i64) {
        let version = self.neighbours.cart(customer).version + 1;
        self.fill(customer, version, quantity);
    }

    /// From now on the customer buys something else.
    pub fn change_product(&self, customer: &mut Customer) {
        customer.product = ProductId::mint();
        let product = product(customer.product.to_string());
        self.neighbours.products.lock().unwrap().push(product);
    }

    pub async fn place(&self, customer: &Customer, key: &str) -> Result<Order, Status> {
        self.place_for(customer, key, None).await
    }

    pub async fn place_for(
        &self,
        customer: &Customer,
        key: &str,
        expected_total: Option<Money>,
    ) -> Result<Order, Status> {
        let request = PlaceOrderRequest {
            idempotency_key: key.into(),
            payment_method_id: customer.payment_method.to_string(),
            address_id: String::new(),
            expected_total,
        };
        let reply = self.client.clone().place_order(customer.request(request)).await?;
        Ok(reply.into_inner().order.unwrap())
    }

    pub async fn order(&self, customer: &Customer, id: &str) -> Result<Order, Status> {
        let request = customer.request(GetOrderRequest { order_id: id.into() });
        Ok(self.client.clone().get_order(request).await?.into_inner().order.unwrap())
    }

    pub async fn reaches(&self, customer: &Customer, id: &str, state: State) -> Order {
        eventually(&format!("{state:?}"), SOON, async || {
            let order = self.order(customer, id).await.unwrap();
            (order.state() == state).then_some(order)
        })
        .await
    }

    pub async fn published(&self) -> Published {
        Published::by(&self.world, "order").await
    }

    /// How many rows, over both shards.
    pub fn rows(&self, from: &str) -> usize {
        let count = |url: &String| {
            let printed = self.world.sql(url, &format!("select 'n=' || count(*) from {from}"));
            let number = printed.split("n=").nth(1).unwrap().split_whitespace().next().unwrap();
            number.parse::<usize>().unwrap()
        };
        self.databases.iter().map(count).sum()
    }
}

pub struct Customer {
    pub user: UserId,
    pub product: ProductId,
    pub payment_method: PaymentMethodId,
    pub bearer: String,
}

impl Customer {
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.bearer.parse().unwrap());
        request
    }
}

pub fn id(order: &Order) -> OrderId {
    order.order_id.parse().unwrap()
}

/// The refusal's stable reason.
pub fn reason<T: std::fmt::Debug>(refused: Result<T, Status>) -> String {
    let refused = refused.unwrap_err();
    rpc::status::reason(&refused).unwrap_or_else(|| panic!("no reason: {refused:?}"))
}

pub fn same(placed: &OrderPlaced, order: &Order) -> bool {
    placed.order_id == order.order_id
}
