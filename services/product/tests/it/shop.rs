//! A running product service, its callers, and an order service as far as the bus is concerned.

use std::time::Duration;

use identity::Role;
use kernel::{OrderId, ProductId, ReturnId, UserId};
use proto::money::v1::Money;
use proto::order::v1::{
    OrderCancelled, OrderConfirmed, OrderPlaced, OrderReturned, order_placed, order_returned,
};
use proto::product::v1::product_service_client::ProductServiceClient;
use proto::product::v1::{
    AddProductRequest, GetProductRequest, GetStockRequest, Product, ReceiveStockRequest, Stock,
};
use rpc::Channel;
use testkit::{Publisher, Running, World, eventually};
use tonic::{Request, Status};

pub const LIMIT: Duration = Duration::from_secs(30);

pub struct Shop {
    pub world: World,
    pub url: String,
    pub running: Running,
    pub client: ProductServiceClient<Channel>,
}

impl Shop {
    pub async fn open() -> Self {
        let world = World::new();
        let url = world.databases("product", 1).remove(0);
        Self::reopen(world, url).await
    }

    /// The service on what an earlier one has left.
    pub async fn reopen(world: World, url: String) -> Self {
        let running = start(&world, &url).await;
        let client = client(&world, &running);
        Self { world, url, running, client }
    }

    /// Kills the service in the middle of whatever it does, and starts it again.
    pub async fn crash(self) -> Self {
        let Self { world, url, running, .. } = self;
        running.kill().await;
        Self::reopen(world, url).await
    }

    /// A second copy of the service.
    pub async fn copy(&self) -> Running {
        start(&self.world, &self.url).await
    }

    /// Past the service, as another copy would do it.
    pub fn rename(&self, id: ProductId, name: &str) {
        self.sql(&format!("update products set name = '{name}' where product_id = '{id}'"));
    }

    /// The service as another process sees it.
    pub fn as_seen_by(&self, process: &str) -> ProductServiceClient<Channel> {
        let channel = self.world.channel(process, "product", &[self.running.address]);
        ProductServiceClient::new(channel)
    }

    /// A request in the name of somebody with this role.
    pub fn request<T>(&self, role: Role, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let bearer = self.world.bearer(UserId::mint(), role).parse().expect("a header");
        request.metadata_mut().insert("authorization", bearer);
        request
    }

    pub fn staff<T>(&self, message: T) -> Request<T> {
        self.request(Role::Staff, message)
    }

    pub async fn try_add(&self, request: AddProductRequest) -> Result<Product, Status> {
        let answer = self.client.clone().add_product(self.staff(request)).await?;
        Ok(answer.into_inner().product.expect("a product"))
    }

    /// Adds a product with so many pieces.
    pub async fn add(&self, name: &str, opening_stock: i64) -> ProductId {
        let added = self.try_add(offer(name, opening_stock)).await.expect("added");
        added.product_id.parse().expect("an id")
    }

    pub async fn product(&self, id: ProductId) -> Product {
        let request = GetProductRequest { product_id: id.to_string() };
        let answer = self.client.clone().get_product(request).await.expect("found");
        answer.into_inner().product.expect("a product")
    }

    /// on_hand, reserved and shipped.
    pub async fn counts(&self, id: ProductId) -> (i64, i64, i64) {
        let request = self.staff(GetStockRequest { product_id: id.to_string() });
        let answer = self.client.clone().get_stock(request).await.expect("found");
        let stock = answer.into_inner().stock.expect("stock");
        (stock.on_hand, stock.reserved, stock.shipped)
    }

    /// Waits until on_hand, reserved and shipped are these.
    pub async fn has(&self, id: ProductId, expected: (i64, i64, i64)) {
        let mut seen = (0, 0, 0);
        let has = eventually("the stock is what it should be", LIMIT, async || {
            seen = self.counts(id).await;
            (seen == expected).then_some(())
        });
        has.await;
    }

    pub async fn receive(&self, id: ProductId, n: i64, receipt: &str) -> Result<Stock, Status> {
        let (product_id, receipt) = (id.to_string(), receipt.to_owned());
        let request = self.staff(ReceiveStockRequest { product_id, quantity: n, receipt });
        let answer = self.client.clone().receive_stock(request).await?;
        Ok(answer.into_inner().stock.expect("stock"))
    }

    pub fn sql(&self, statements: &str) -> String {
        self.world.sql(&self.url, statements)
    }

    /// The state of an order's reservation; empty without one.
    pub fn state(&self, order: OrderId) -> String {
        self.sql(&format!("select state from reservations where order_id = '{order}'"))
    }

    /// Counts the products whose books do not add up: what was received is what the receipts say,
    /// what is reserved is what orders hold, what is shipped is what they took and did not return.
    pub fn drift(&self) -> String {
        self.sql(
            "with lines as (
                 select r.order_id, r.state, l.product_id, l.quantity,
                     least(l.quantity, coalesce((
                         select sum(b.quantity) from returns t
                         cross join unnest(t.product_ids, t.quantities) b(product_id, quantity)
                         where t.order_id = r.order_id and b.product_id = l.product_id), 0)) as back
                 from reservations r
                 cross join unnest(r.product_ids, r.quantities) l(product_id, quantity)
             )
             select count(*) from stock s
             where s.received <> coalesce((select sum(quantity) from receipts r
                     where r.product_id = s.product_id), 0)
                 or s.reserved <> coalesce((select sum(quantity) from lines l
                     where l.product_id = s.product_id and l.state = 'held'), 0)
                 or s.shipped <> coalesce((select sum(quantity - back) from lines l
                     where l.product_id = s.product_id and l.state = 'shipped'), 0)
                 or s.received <> s.on_hand + s.shipped",
        )
    }
}

async fn start(world: &World, url: &str) -> Running {
    let builder = world.service("product").databases(&[url.to_owned()]).nats().tokens();
    let builder = builder.arg("--refresh-interval", "0s");
    builder.start(product::run).await
}

fn client(world: &World, running: &Running) -> ProductServiceClient<Channel> {
    ProductServiceClient::new(world.channel("gateway", "product", &[running.address]))
}

/// A product whose SKU comes from its name.
pub fn offer(name: &str, opening_stock: i64) -> AddProductRequest {
    AddProductRequest {
        sku: name.to_uppercase().replace(' ', "-"),
        name: name.to_owned(),
        description: format!("A {name} of the finest sort."),
        category: "Kitchen".to_owned(),
        price: Some(gbp(255)),
        opening_stock,
    }
}

pub fn gbp(minor_units: i64) -> Money {
    Money { currency: "GBP".to_owned(), minor_units }
}

/// The order service, as far as others can see.
pub struct Orders(Publisher);

impl Orders {
    pub async fn open(world: &World) -> Self {
        Self(Publisher::new(world, "order").await)
    }

    pub async fn placed(&self, order: OrderId, lines: &[(ProductId, i64)]) {
        let line = |&(product, quantity): &(ProductId, i64)| order_placed::Line {
            product_id: product.to_string(),
            quantity,
        };
        let event = OrderPlaced {
            order_id: order.to_string(),
            user_id: UserId::mint().to_string(),
            cart_id: UserId::mint().to_string(),
            cart_version: 1,
            lines: lines.iter().map(line).collect(),
            left_cart: true,
        };
        self.0.publish(order, &event).await;
    }

    pub async fn confirmed(&self, order: OrderId) {
        let (order_id, user_id) = (order.to_string(), UserId::mint().to_string());
        self.0.publish(order, &OrderConfirmed { order_id, user_id }).await;
    }

    pub async fn cancelled(&self, order: OrderId) {
        let (order_id, reason) = (order.to_string(), "customer".to_owned());
        let event = OrderCancelled { order_id, reason, ..OrderCancelled::default() };
        self.0.publish(order, &event).await;
    }

    pub async fn returned(&self, order: OrderId, id: ReturnId, lines: &[(ProductId, i64)]) {
        let line = |&(product, quantity): &(ProductId, i64)| order_returned::Line {
            product_id: product.to_string(),
            quantity,
        };
        let event = OrderReturned {
            order_id: order.to_string(),
            return_id: id.to_string(),
            lines: lines.iter().map(line).collect(),
            refund: Some(gbp(1)),
        };
        self.0.publish(order, &event).await;
    }
}
