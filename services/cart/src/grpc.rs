//! The RPCs: parse, one call, render.

use std::collections::HashSet;

use identity::{Caller, Verifier};
use proto::cart::v1::cart_service_server::CartService;
use proto::cart::v1::{
    BatchBeginCheckoutsRequest, BatchBeginCheckoutsResponse, BatchGetCartsRequest,
    BatchGetCartsResponse, BeginCheckoutRequest, BeginCheckoutResponse, ClearCartRequest,
    ClearCartResponse, GetCartRequest, GetCartResponse, ListUnresolvedCheckoutsRequest,
    ListUnresolvedCheckoutsResponse, MergeCartRequest, MergeCartResponse, PutItemRequest,
    PutItemResponse, RemoveItemRequest, RemoveItemResponse, ResolveCheckoutRequest,
    ResolveCheckoutResponse,
};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::convert;
use crate::domain::{Checkout, Command, Key, Rejection};
use crate::store::checkouts::Wanted;

/// The service as tonic calls it.
pub(crate) struct Grpc {
    app: App,
    verifier: Verifier,
}

impl Grpc {
    pub(crate) fn new(app: App, verifier: Verifier) -> Self {
        Self { app, verifier }
    }

    /// Who wants the lines of a cart after somebody else comes after him, and finds another version.
    async fn begin_checkouts(
        &self,
        wanted: Vec<Wanted>,
    ) -> Vec<Result<BeginCheckoutResponse, Status>> {
        let mut answers: Vec<_> = wanted.iter().map(|_| None).collect();
        let mut rest: Vec<_> = wanted.into_iter().enumerate().collect();
        while !rest.is_empty() {
            let mut named = HashSet::new();
            let (once, again): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|(_, (key, ..))| named.insert(*key));
            let (places, wanted): (Vec<usize>, Vec<Wanted>) = once.into_iter().unzip();
            for (at, begun) in places.into_iter().zip(self.begin_once(wanted).await) {
                answers[at] = Some(begun);
            }
            rest = again;
        }
        let lost = || Err(rpc::status::internal("an entry that has no answer"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(lost)).collect()
    }

    /// No cart is named twice.
    async fn begin_once(&self, wanted: Vec<Wanted>) -> Vec<Result<BeginCheckoutResponse, Status>> {
        let database = self.app.database();
        let begun = database.each(
            wanted,
            |(key, ..)| key.shard(),
            |home, wanted| {
                let app = self.app.clone();
                async move { Ok::<_, Status>(app.begin_checkouts(home, wanted).await?) }
            },
        );
        let answer = |begun: Result<Option<Checkout>, Status>| {
            Ok(convert::begun(&begun?.ok_or(Rejection::CartChanged)?))
        };
        begun.await.into_iter().map(answer).collect()
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

    async fn batch_get_carts(
        &self,
        request: Request<BatchGetCartsRequest>,
    ) -> Result<Response<BatchGetCartsResponse>, Status> {
        let members = request.into_inner().members.into_iter().map(|it| (Some(it), ()));
        let key = |caller: Caller, ()| Ok(Key::user(caller.user));
        let (batch, keys) = self.verifier.batch(members.collect(), key)?;
        let carts = self.app.database().each(
            keys.clone(),
            |key| key.shard(),
            |home, keys| {
                let app = self.app.clone();
                async move { Ok::<_, Status>(app.get_all(home, keys).await?) }
            },
        );
        let carts = keys.into_iter().zip(carts.await);
        let carts = carts.map(|(key, cart)| cart.map(|cart| convert::cart(key, &cart)));
        let results = batch.answered(carts).map(convert::cart_result).collect();
        Ok(Response::new(BatchGetCartsResponse { results }))
    }

    async fn batch_begin_checkouts(
        &self,
        request: Request<BatchBeginCheckoutsRequest>,
    ) -> Result<Response<BatchBeginCheckoutsResponse>, Status> {
        let entries = request.into_inner().entries.into_iter();
        let entries = entries.map(|it| (it.member, it.checkout.unwrap_or_default()));
        let wanted = |caller: Caller, asked: BeginCheckoutRequest| {
            let order = convert::id("order_id", &asked.order_id)?;
            Ok((Key::user(caller.user), order, asked.cart_version))
        };
        let (batch, wanted) = self.verifier.batch(entries.collect(), wanted)?;
        let checkouts = self.begin_checkouts(wanted).await;
        let results = batch.answered(checkouts).map(convert::begun_result).collect();
        Ok(Response::new(BatchBeginCheckoutsResponse { results }))
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
