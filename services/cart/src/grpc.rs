//! The RPCs: parse, one call, render.

use identity::Verifier;
use proto::cart::v1::cart_service_server::CartService;
use proto::cart::v1::{
    ClearCartRequest, ClearCartResponse, GetCartRequest, GetCartResponse, MergeCartRequest,
    MergeCartResponse, PutItemRequest, PutItemResponse, RemoveItemRequest, RemoveItemResponse,
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
}
