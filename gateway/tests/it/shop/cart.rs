use proto::cart::v1::cart_service_server::CartService;
use proto::cart::v1::{self as cart, Cart};
use tonic::Request;

use super::{Answer, Shop, ok};

impl Shop {
    fn cart(&self) -> Option<Cart> {
        Some(self.state().cart.clone())
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
        self.state().cart = Cart { cart_id, version: 1, items, ..Cart::default() };
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

    // What order alone calls.

    async fn begin_checkout(
        &self,
        request: Request<cart::BeginCheckoutRequest>,
    ) -> Answer<cart::BeginCheckoutResponse> {
        self.enter("BeginCheckout", request).await?;
        ok(cart::BeginCheckoutResponse::default())
    }

    async fn batch_get_carts(
        &self,
        request: Request<cart::BatchGetCartsRequest>,
    ) -> Answer<cart::BatchGetCartsResponse> {
        self.enter("BatchGetCarts", request).await?;
        ok(cart::BatchGetCartsResponse::default())
    }

    async fn batch_begin_checkouts(
        &self,
        request: Request<cart::BatchBeginCheckoutsRequest>,
    ) -> Answer<cart::BatchBeginCheckoutsResponse> {
        self.enter("BatchBeginCheckouts", request).await?;
        ok(cart::BatchBeginCheckoutsResponse::default())
    }

    async fn resolve_checkout(
        &self,
        request: Request<cart::ResolveCheckoutRequest>,
    ) -> Answer<cart::ResolveCheckoutResponse> {
        self.enter("ResolveCheckout", request).await?;
        ok(cart::ResolveCheckoutResponse::default())
    }

    async fn list_unresolved_checkouts(
        &self,
        request: Request<cart::ListUnresolvedCheckoutsRequest>,
    ) -> Answer<cart::ListUnresolvedCheckoutsResponse> {
        self.enter("ListUnresolvedCheckouts", request).await?;
        ok(cart::ListUnresolvedCheckoutsResponse::default())
    }
}
