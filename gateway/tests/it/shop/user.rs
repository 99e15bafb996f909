use proto::user::v1 as user;
use proto::user::v1::user_service_server::UserService;
use tonic::{Request, Status};

use super::{Answer, Shop, ok};

fn somebody() -> Option<user::User> {
    Some(user::User {
        user_id: "01890000-0000-7000-8000-000000000007".into(),
        email: "ada@example.org".into(),
        name: "Ada".into(),
        role: user::Role::Customer.into(),
        addresses: vec![],
    })
}

fn session(valid_seconds: Option<u32>) -> Option<user::Session> {
    Some(user::Session {
        access_token: "fresh.access.token".into(),
        refresh_token: "refresh".into(),
        expires_in_seconds: valid_seconds.unwrap_or(600),
        user_id: somebody()?.user_id,
    })
}

/// What a refresh answers: no token of it is one of before.
fn refreshed() -> Option<user::Session> {
    let (access_token, refresh_token) = ("second.access.token".into(), "second-refresh".into());
    Some(user::Session { access_token, refresh_token, ..session(None)? })
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
        let valid_seconds = self.state().signed_in_seconds;
        ok(user::SignInResponse { session: session(valid_seconds) })
    }

    async fn refresh_session(
        &self,
        request: Request<user::RefreshSessionRequest>,
    ) -> Answer<user::RefreshSessionResponse> {
        self.enter("RefreshSession", request).await?;
        ok(user::RefreshSessionResponse { session: refreshed() })
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
        let addresses = self.state().addresses.clone();
        let role = if self.state().staff { user::Role::Staff } else { user::Role::Customer };
        let role = role.into();
        let user = somebody().map(|user| user::User { addresses, role, ..user });
        ok(user::GetUserResponse { user })
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

    async fn batch_get_addresses(
        &self,
        request: Request<user::BatchGetAddressesRequest>,
    ) -> Answer<user::BatchGetAddressesResponse> {
        self.enter("BatchGetAddresses", request).await?;
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
