//! A browser, as far as the gateway can tell: it keeps one cookie and sends forms from a page of the shop.

use kernel::CartId;
use testkit::World as Stores;

use crate::client::{Answer, Call, get, post};
use crate::world::World;

/// Signed in, perhaps, and with the Redis that its session is in.
pub struct Browser {
    stores: Stores,
    pub world: World,
    pub cookie: String,
}

impl Browser {
    /// A gateway that has a Redis, and a browser that was never here.
    pub async fn new(options: &[&str]) -> Self {
        let stores = Stores::with_nats(0);
        let redis_url = stores.redis_url_of("gateway");
        let world = World::with(&[options, &["--redis-url", redis_url]].concat()).await;
        Self { stores, world, cookie: String::new() }
    }

    /// A browser that is signed in, with an access token that is valid for so long.
    pub async fn signed_in(seconds: u32, options: &[&str]) -> Self {
        let mut browser = Self::new(options).await;
        browser.world.shop.state().signed_in_seconds = Some(seconds);
        browser.sign_in().await;
        browser
    }

    pub async fn sign_in(&mut self) -> Answer {
        let form = "email=ada%40example.org&password=secret&next=%2Forders";
        let answer = self.send(form_to("/sign-in", form)).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/orders"));
        self.cookie = cookie(&answer, "session");
        answer
    }

    /// A page of the shop.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(get(path).header("accept", "text/html")).await
    }

    pub async fn send(&self, call: Call) -> Answer {
        call.header("cookie", &self.cookie).send(&self.world).await
    }

    /// Runs a command in Redis, as the user that may do everything, on each key of a session.
    pub async fn in_redis(&self, command: impl Fn(&str) -> redis::Cmd) {
        let client = redis::Client::open(self.stores.redis_url()).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let _: () = command(&self.key()).query_async(&mut redis).await.unwrap();
    }

    /// The key of the session: what is in the cookie is not in it.
    fn key(&self) -> String {
        use base64::Engine as _;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
        let id = self.cookie.split_once('=').unwrap().1;
        let hash = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
        format!("souk:sessions:1:{{{}}}", BASE64.encode(hash.as_ref()))
    }
}

/// A form, sent from a page of the shop.
pub fn form_to(path: &str, fields: &str) -> Call {
    let form = post(path).header("content-type", "application/x-www-form-urlencoded");
    form.header("sec-fetch-site", "same-origin").body(fields.to_owned())
}

/// `name=value` of the cookie that is set.
pub fn cookie(answer: &Answer, name: &str) -> String {
    let set = answer.headers.get_all("set-cookie").iter().map(|it| it.to_str().unwrap());
    let cookie = set.filter_map(|line| line.split(';').next());
    let named = format!("souk-{name}=");
    let mut cookie = cookie.filter(|cookie| cookie.contains(&named));
    cookie.next().unwrap_or_else(|| panic!("no {name}: {answer:?}")).to_owned()
}

/// The cookie of a guest who has a cart.
pub fn guest() -> (String, String) {
    let id = CartId::mint().to_string();
    (format!("souk-cart={id}"), id)
}
