//! A running cart service, its callers, and whoever publishes what it listens to.

use std::time::Duration;

use identity::Role;
use kernel::{CartId, OrderId, ProductId, Shard, UserId};
use proto::cart::v1::cart_service_client::CartServiceClient;
use proto::cart::v1::{
    BeginCheckoutRequest, Cart, CheckoutOutcome, ClearCartRequest, GetCartRequest, Item,
    ListUnresolvedCheckoutsRequest, MergeCartRequest, PutItemRequest, RemoveItemRequest,
    ResolveCheckoutRequest,
};
use rpc::Channel;
use testkit::{Running, World, eventually};
use tonic::{Request, Status};

/// On the first database, and on the second.
pub const SHARDS: [Shard; 2] = [Shard(7), Shard(200)];

pub const LIMIT: Duration = Duration::from_secs(20);

/// Nobody signed in.
pub const NOBODY: Option<UserId> = None;

pub struct Shop {
    pub world: World,
    /// One URL for each database.
    pub urls: Vec<String>,
    pub running: Running,
    pub client: CartServiceClient<Channel>,
}

impl Shop {
    pub async fn open() -> Self {
        let world = World::new();
        let urls = world.databases("cart", SHARDS.len());
        let cart = world.service("cart").databases(&urls).nats().tokens();
        let running = cart.start(cart::run).await;
        let channel = world.channel("gateway", "cart", &[running.address]);
        Self { world, urls, running, client: CartServiceClient::new(channel) }
    }

    /// The service as another process sees it.
    pub fn as_seen_by(&self, process: &str) -> CartServiceClient<Channel> {
        let channel = self.world.channel(process, "cart", &[self.running.address]);
        CartServiceClient::new(channel)
    }

    /// A request in the name of a user, or of nobody.
    pub fn request<T>(&self, user: Option<UserId>, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(user) = user {
            let bearer = self.world.bearer(user, Role::Customer).parse().expect("a header");
            request.metadata_mut().insert("authorization", bearer);
        }
        request
    }

    pub async fn get(&self, user: Option<UserId>, cart: &str) -> Result<Cart, Status> {
        let request = self.request(user, GetCartRequest { cart_id: cart.to_owned() });
        let answer = self.client.clone().get_cart(request).await?;
        Ok(answer.into_inner().cart.expect("a cart"))
    }

    pub async fn put(
        &self,
        user: Option<UserId>,
        cart: &str,
        product: ProductId,
        quantity: i64,
    ) -> Result<Cart, Status> {
        let (cart_id, product_id) = (cart.to_owned(), product.to_string());
        let request = self.request(user, PutItemRequest { cart_id, product_id, quantity });
        let answer = self.client.clone().put_item(request).await?;
        Ok(answer.into_inner().cart.expect("a cart"))
    }

    pub async fn remove(
        &self,
        user: Option<UserId>,
        cart: &str,
        product: ProductId,
    ) -> Result<Cart, Status> {
        let (cart_id, product_id) = (cart.to_owned(), product.to_string());
        let request = self.request(user, RemoveItemRequest { cart_id, product_id });
        let answer = self.client.clone().remove_item(request).await?;
        Ok(answer.into_inner().cart.expect("a cart"))
    }

    pub async fn clear(&self, user: Option<UserId>, cart: &str) -> Result<Cart, Status> {
        let request = self.request(user, ClearCartRequest { cart_id: cart.to_owned() });
        let answer = self.client.clone().clear_cart(request).await?;
        Ok(answer.into_inner().cart.expect("a cart"))
    }

    pub async fn merge(&self, user: Option<UserId>, guest: CartId) -> Result<Cart, Status> {
        let request = self.request(user, MergeCartRequest { guest_cart_id: guest.to_string() });
        let answer = self.client.clone().merge_cart(request).await?;
        Ok(answer.into_inner().cart.expect("a cart"))
    }

    pub async fn begin(
        &self,
        user: UserId,
        order: OrderId,
        version: i64,
    ) -> Result<Vec<(ProductId, i64)>, Status> {
        let order_id = order.to_string();
        let request = BeginCheckoutRequest { order_id, cart_version: version };
        let request = self.request(Some(user), request);
        let begun = self.as_seen_by("order").begin_checkout(request).await?.into_inner();
        Ok(begun.items.iter().map(item).collect())
    }

    pub async fn resolve(&self, user: UserId, order: OrderId, outcome: CheckoutOutcome) {
        let request = ResolveCheckoutRequest {
            cart_id: user.to_string(),
            order_id: order.to_string(),
            outcome: outcome.into(),
        };
        self.as_seen_by("order").resolve_checkout(request).await.expect("resolved");
    }

    /// The orders of checkouts that cart wants to be told about.
    pub async fn unresolved(&self) -> Vec<String> {
        let request = ListUnresolvedCheckoutsRequest { limit: 10 };
        let answer = self.as_seen_by("order").list_unresolved_checkouts(request).await;
        let checkouts = answer.expect("a list").into_inner().checkouts;
        checkouts.into_iter().map(|checkout| checkout.order_id).collect()
    }

    /// SQL on the database of a shard.
    pub fn sql(&self, shard: Shard, statements: &str) -> String {
        self.world
            .sql(&self.urls[usize::from(shard.0) * self.urls.len() / Shard::COUNT], statements)
    }

    /// Waits until a user's cart holds exactly this.
    pub async fn holds(&self, user: UserId, expected: &[(ProductId, i64)]) -> Cart {
        eventually("the cart holds what it should", LIMIT, async || {
            let cart = self.get(Some(user), "").await.ok()?;
            (items(&cart) == expected).then_some(cart)
        })
        .await
    }
}

/// What is in a cart.
pub fn items(cart: &Cart) -> Vec<(ProductId, i64)> {
    cart.items.iter().map(item).collect()
}

fn item(item: &Item) -> (ProductId, i64) {
    (item.product_id.parse().expect("an id"), item.quantity)
}
