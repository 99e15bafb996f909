//! The RPCs: parse, one call, render.

use identity::{Caller, Verifier};
use proto::user::v1::user_service_server::UserService;
use proto::user::v1::{
    AddAddressRequest, AddAddressResponse, BatchGetAddressesRequest, BatchGetAddressesResponse,
    EraseUserRequest, EraseUserResponse, GetAddressRequest, GetAddressResponse, GetUserRequest,
    GetUserResponse, RefreshSessionRequest, RefreshSessionResponse, RegisterRequest,
    RegisterResponse, SignInRequest, SignInResponse, SignOutRequest, SignOutResponse,
    UpdateUserRequest, UpdateUserResponse,
};
use tonic::{Request, Response, Status};

use crate::app::App;
use crate::tokens::RefreshToken;
use crate::{convert, domain};

/// The service as tonic calls it.
pub(crate) struct Grpc {
    app: App,
    verifier: Verifier,
}

impl Grpc {
    pub(crate) fn new(app: App, verifier: Verifier) -> Self {
        Self { app, verifier }
    }
}

#[tonic::async_trait]
impl UserService for Grpc {
    async fn register(
        &self,
        request: Request<RegisterRequest>,
    ) -> Result<Response<RegisterResponse>, Status> {
        let registration = convert::registration(request.into_inner())?;
        let user = self.app.register(registration).await?;
        Ok(Response::new(RegisterResponse { user: Some(convert::user(user)) }))
    }

    async fn sign_in(
        &self,
        request: Request<SignInRequest>,
    ) -> Result<Response<SignInResponse>, Status> {
        let (email, password) = convert::credentials(request.into_inner());
        let session = self.app.sign_in(email, password).await?;
        Ok(Response::new(SignInResponse { session: Some(convert::session(&session)) }))
    }

    async fn refresh_session(
        &self,
        request: Request<RefreshSessionRequest>,
    ) -> Result<Response<RefreshSessionResponse>, Status> {
        let presented = RefreshToken::presented(request.into_inner().refresh_token);
        let session = self.app.refresh(presented).await?;
        Ok(Response::new(RefreshSessionResponse { session: Some(convert::session(&session)) }))
    }

    async fn sign_out(
        &self,
        request: Request<SignOutRequest>,
    ) -> Result<Response<SignOutResponse>, Status> {
        let caller = self.verifier.caller_even_if_revoked(request.metadata())?;
        self.app.sign_out(caller.family).await?;
        Ok(Response::new(SignOutResponse {}))
    }

    async fn get_user(
        &self,
        request: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let caller = self.verifier.caller(request.metadata())?;
        let user = self.app.user(caller.user).await?;
        Ok(Response::new(GetUserResponse { user: Some(convert::user(user)) }))
    }

    async fn update_user(
        &self,
        request: Request<UpdateUserRequest>,
    ) -> Result<Response<UpdateUserResponse>, Status> {
        let caller = self.verifier.caller(request.metadata())?;
        let name = domain::name(&request.get_ref().name)?;
        let user = self.app.rename(caller.user, name).await?;
        Ok(Response::new(UpdateUserResponse { user: Some(convert::user(user)) }))
    }

    async fn add_address(
        &self,
        request: Request<AddAddressRequest>,
    ) -> Result<Response<AddAddressResponse>, Status> {
        let caller = self.verifier.caller(request.metadata())?;
        let address = convert::new_address(request.into_inner().address)?;
        let address = self.app.add_address(caller.user, address).await?;
        Ok(Response::new(AddAddressResponse { address: Some(convert::address(address)) }))
    }

    async fn get_address(
        &self,
        request: Request<GetAddressRequest>,
    ) -> Result<Response<GetAddressResponse>, Status> {
        let caller = self.verifier.caller(request.metadata())?;
        let id = convert::address_id(&request.get_ref().address_id)?;
        let address = self.app.address(caller.user, id).await?;
        Ok(Response::new(GetAddressResponse { address: Some(convert::address(address)) }))
    }

    async fn batch_get_addresses(
        &self,
        request: Request<BatchGetAddressesRequest>,
    ) -> Result<Response<BatchGetAddressesResponse>, Status> {
        let entries = request.into_inner().entries.into_iter();
        let entries = entries.map(|it| (it.member, it.address_id)).collect();
        let wanted = |caller: Caller, id: String| Ok((caller.user, convert::address_id(&id)?));
        let (batch, wanted) = self.verifier.batch(entries, wanted)?;
        // They are all in one database: when it fails, the call does.
        let addresses = self.app.addresses(wanted).await?.into_iter();
        let addresses = addresses.map(|it| it.map(convert::address).map_err(Status::from));
        let results = batch.answered(addresses).map(convert::address_result).collect();
        Ok(Response::new(BatchGetAddressesResponse { results }))
    }

    async fn erase_user(
        &self,
        request: Request<EraseUserRequest>,
    ) -> Result<Response<EraseUserResponse>, Status> {
        let caller = self.verifier.caller_even_if_revoked(request.metadata())?;
        self.app.erase(caller.user, caller.family).await?;
        Ok(Response::new(EraseUserResponse {}))
    }
}
