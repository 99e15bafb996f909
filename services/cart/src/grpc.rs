//! The RPCs: parse, one call, render.

use identity::Verifier;
use proto::cart::v1::cart_service_server::CartService;
use proto::cart::v1::{
    BeginCheckoutRequest, BeginCheckoutResponse, ClearCartRequest, ClearCartResponse,
    GetCartRequest, GetCartResponse, ListUnresolvedCheckoutsRequest,
    ListUnresolvedCheckoutsResponse, MergeCartRequest, MergeCartResponse, PutItemRequest,
    PutItemResponse, RemoveItemRequest, RemoveItemResponse, ResolveCheckoutRequest,
    ResolveCheckoutResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::domain::{Command, Key};

/// The service as tonic calls it.
pub(crate) struct Grpc {
    app: App,
    verifier: Verifier,
}

impl Grpc {
    pub(crate) fn new(app: App, verifier: Verifier) -> Self {
        Self { app, verifier }
    }

    /// The cart that a request means and may use.
    fn key(&self, metadata: &MetadataMap, cart_id: &str) -> Result<Key, Status> {
        let caller = self.verifier.optional(metadata)?;
        Ok(Key::meant(caller.map(|caller| caller.user), convert::named(cart_id)?)?)
    }
}

#[tonic::async_trait]
impl CartService for Grpc {
    async fn get_cart(
        &self,
        request: Request<GetCartRequest>,
    ) -> Result<Response<GetCartResponse>, Status> {
        let key = self.key(request.metadata(), &request.get_ref().cart_id)?;
        let cart = self.app.get(key).await?;
        Ok(Response::new(GetCartResponse { cart: Some(convert::cart(key, &cart)) }))
    }

    async fn put_item(
        &self,
        request: Request<PutItemRequest>,
    ) -> Result<Response<PutItemResponse>, Status> {
        let key = self.key(request.metadata(), &request.get_ref().cart_id)?;
        let command = convert::put(request.get_ref())?;
        let cart = self.app.change(key, command).await?;
        Ok(Response::new(PutItemResponse { cart: Some(convert::cart(key, &cart)) }))
    }

    async fn remove_item(
        &self,
        request: Request<RemoveItemRequest>,
    ) -> Result<Response<RemoveItemResponse>, Status> {
        let key = self.key(request.metadata(), &request.get_ref().cart_id)?;
        let command = convert::remove(request.get_ref())?;
        let cart = self.app.change(key, command).await?;
        Ok(Response::new(RemoveItemResponse { cart: Some(convert::cart(key, &cart)) }))
    }

    async fn clear_cart(
        &self,
        request: Request<ClearCartRequest>,
    ) -> Result<Response<ClearCartResponse>, Status> {
        let key = self.key(request.metadata(), &request.get_ref().cart_id)?;
        let cart = self.app.change(key, Command::Clear).await?;
        Ok(Response::new(ClearCartResponse { cart: Some(convert::cart(key, &cart)) }))
    }

    async fn merge_cart(
        &self,
        request: Request<MergeCartRequest>,
    ) -> Result<Response<MergeCartResponse>, Status> {
        let caller = self.verifier.caller(request.metadata())?;
        let guest = convert::id("guest_cart_id", &request.get_ref().guest_cart_id)?;
        let cart = self.app.merge(guest, caller.user).await?;
        let key = Key::user(caller.user);
        Ok(Response::new(MergeCartResponse { cart: Some(convert::cart(key, &cart)) }))
    }

    async fn begin_checkout(
        &self,
        request: Request<BeginCheckoutRequest>,
    ) -> Result<Response<BeginCheckoutResponse>, Status> {
        let caller = self.verifier.caller(request.metadata())?;
        let order = convert::id("order_id", &request.get_ref().order_id)?;
        let version = request.get_ref().cart_version;
        let checkout = self.app.begin_checkout(caller.user, order, version).await?;
        Ok(Response::new(convert::begun(&checkout)))
    }

    async fn resolve_checkout(
        &self,
        request: Request<ResolveCheckoutRequest>,
    ) -> Result<Response<ResolveCheckoutResponse>, Status> {
        let (key, order, outcome) = convert::resolved(request.get_ref())?;
        self.app.resolve_checkout(key, order, outcome).await?;
        Ok(Response::new(ResolveCheckoutResponse {}))
    }

    async fn list_unresolved_checkouts(
        &self,
        request: Request<ListUnresolvedCheckoutsRequest>,
    ) -> Result<Response<ListUnresolvedCheckoutsResponse>, Status> {
        let limit = convert::limit(request.get_ref().limit)?;
        let checkouts = self.app.unresolved_checkouts(limit).await?;
        Ok(Response::new(convert::unresolved(&checkouts)))
    }
}
