//! A running user service and its callers.

use proto::user::v1::user_service_client::UserServiceClient;
use proto::user::v1::{
    AddAddressRequest, Address, EraseUserRequest, GetAddressRequest, GetUserRequest,
    RefreshSessionRequest, RegisterRequest, Session, SignInRequest, SignOutRequest, User,
};
use rpc::Channel;
use testkit::{Builder, Running, World};
use tonic::{Request, Status};

pub const PASSWORD: &str = "correct horse battery";

pub struct Shop {
    pub world: World,
    pub url: String,
    pub running: Running,
    pub client: UserServiceClient<Channel>,
}

impl Shop {
    pub async fn open() -> Self {
        let world = World::new();
        let url = world.databases("user", 1).remove(0);
        let running = service(&world, &url).start(user::run).await;
        let client = client(&world, &running);
        Self { world, url, running, client }
    }

    /// With this Redis, or none.
    pub async fn open_with(world: World, redis_url: Option<&str>) -> Self {
        let url = world.databases("user", 1).remove(0);
        let service = world.service("user").databases(std::slice::from_ref(&url)).nats();
        let mut service = service
            .arg("--token-key", world.token_key().display())
            .arg("--token-signing-key", world.token_signing_key().display());
        if let Some(redis_url) = redis_url {
            service = service.arg("--redis-url", redis_url);
        }
        let running = service.start(user::run).await;
        let client = client(&world, &running);
        Self { world, url, running, client }
    }

    /// SQL on the database of the service.
    pub fn sql(&self, statements: &str) -> String {
        self.world.sql(&self.url, statements)
    }

    pub async fn register(&self, email: &str) -> Result<User, Status> {
        let (email, password, name) = (email.to_owned(), PASSWORD.to_owned(), "Ann".to_owned());
        let request = RegisterRequest { email, password, name };
        let answer = self.client.clone().register(request).await?;
        Ok(answer.into_inner().user.unwrap())
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Result<Session, Status> {
        let request = SignInRequest { email: email.to_owned(), password: password.to_owned() };
        let answer = self.client.clone().sign_in(request).await?;
        Ok(answer.into_inner().session.unwrap())
    }

    /// Somebody new, signed in.
    pub async fn somebody(&self, email: &str) -> Session {
        self.register(email).await.unwrap();
        self.sign_in(email, PASSWORD).await.unwrap()
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<Session, Status> {
        let request = RefreshSessionRequest { refresh_token: refresh_token.to_owned() };
        let answer = self.client.clone().refresh_session(request).await?;
        Ok(answer.into_inner().session.unwrap())
    }

    pub async fn sign_out(&self, session: &Session) -> Result<(), Status> {
        self.client.clone().sign_out(by(session, SignOutRequest {})).await.map(drop)
    }

    pub async fn get(&self, session: &Session) -> Result<User, Status> {
        let answer = self.client.clone().get_user(by(session, GetUserRequest {})).await?;
        Ok(answer.into_inner().user.unwrap())
    }

    pub async fn erase(&self, session: &Session) -> Result<(), Status> {
        self.client.clone().erase_user(by(session, EraseUserRequest {})).await.map(drop)
    }

    pub async fn add_address(&self, session: &Session, city: &str) -> Result<Address, Status> {
        let request = by(session, AddAddressRequest { address: Some(address(city)) });
        let answer = self.client.clone().add_address(request).await?;
        Ok(answer.into_inner().address.unwrap())
    }

    pub async fn address(&self, session: &Session, id: &str) -> Result<Address, Status> {
        let request = by(session, GetAddressRequest { address_id: id.to_owned() });
        let answer = self.as_order().get_address(request).await?;
        Ok(answer.into_inner().address.unwrap())
    }

    /// The service as the order service sees it.
    pub fn as_order(&self) -> UserServiceClient<Channel> {
        UserServiceClient::new(self.world.channel("order", "user", &[self.running.address]))
    }
}

/// The service on this database, with what it needs to run.
pub fn service<'a>(world: &'a World, url: &str) -> Builder<'a> {
    let key = world.token_signing_key();
    let service = world.service("user").databases(&[url.to_owned()]).nats().tokens();
    service.arg("--token-signing-key", key.display())
}

pub fn client(world: &World, running: &Running) -> UserServiceClient<Channel> {
    UserServiceClient::new(world.channel("gateway", "user", &[running.address]))
}

/// A request in the name of whoever has the session.
pub fn by<T>(session: &Session, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {}", session.access_token);
    request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    request
}

pub fn address(city: &str) -> Address {
    Address {
        address_id: String::new(),
        recipient: "Ann Smith".to_owned(),
        line1: "1 High Street".to_owned(),
        line2: String::new(),
        city: city.to_owned(),
        postcode: "AB1 2CD".to_owned(),
        country: "gb".to_owned(),
    }
}
