//! Who may do what: every route and every RPC that there is, as everybody.
//!
//! The routes come from the gateway's router and the RPCs from the table of callers, which has
//! those of the descriptors. What has no row in `routes.rs` or `rpcs.rs` fails.

mod tokens;
mod routes;
mod rpcs;

use anyhow::{Result, ensure};
use e2e::shops;
use operator::Shop;
use serde_json::Value;
use testkit::eventually;

use crate::shopper::{SETTLED, Shopper, Staff, booked, refusal, text};
use tokens::Tokens;

/// Somebody who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Nobody,
    Owner,
    /// Somebody else with an account.
    Other,
    Staff,
    /// With a token from before they were.
    Erased,
    /// With a token from before they did.
    SignedOut,
    Expired,
    /// HMAC, with the public key as the secret.
    WrongAlgorithm,
    /// `exp` is text.
    WronglyTyped,
    /// Signed with a key that is not the shop's.
    UnknownKey,
}

pub const EVERYBODY: [Who; 10] = [
    Who::Nobody,
    Who::Owner,
    Who::Other,
    Who::Staff,
    Who::Erased,
    Who::SignedOut,
    Who::Expired,
    Who::WrongAlgorithm,
    Who::WronglyTyped,
    Who::UnknownKey,
];

/// Whom a route or an RPC is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody; no token is looked at.
    Open,
    /// Everybody; a token that is shown has to be good.
    Guest,
    /// Whoever is signed in: it is about what is theirs.
    SignedIn,
    /// The one whose order it is. To others it does not exist.
    Owner,
    /// Staff.
    Staff,
    /// Browsers, by cookie. No token is read: whoever shows one gets what everybody without a cookie gets.
    Page,
    /// The payment provider, who signs what it sends: nobody here.
    Provider,
}

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    Unauthenticated,
    Forbidden,
    NotFound,
}

impl Access {
    pub fn verdict(self, who: Who) -> Verdict {
        let known = matches!(who, Who::Owner | Who::Other | Who::Staff);
        match self {
            Self::Open | Self::Page => Verdict::Allowed,
            Self::Guest if who == Who::Nobody => Verdict::Allowed,
            Self::Provider => Verdict::Unauthenticated,
            _ if !known => Verdict::Unauthenticated,
            Self::Owner if who != Who::Owner => Verdict::NotFound,
            Self::Staff if who != Who::Staff => Verdict::Forbidden,
            Self::Guest | Self::SignedIn | Self::Owner | Self::Staff => Verdict::Allowed,
        }
    }
}

/// A shop with somebody of each kind in it.
pub struct Cast<'a> {
    pub shop: &'a Shop,
    pub owner: Shopper,
    pub tokens: Tokens,
    /// The owner's, confirmed.
    pub order: String,
    pub product: String,
}

impl<'a> Cast<'a> {
    async fn gather(shop: &'a Shop) -> Result<Self> {
        let (staff, owner) = (Staff::new(shop).await?, Shopper::new(shop).await?);
        let (other, erased) = (Shopper::new(shop).await?, Shopper::new(shop).await?);
        let signed_out = Shopper::new(shop).await?;
        let product = staff.product(10).await?;
        let order = owner.settles(&owner.order(&product, 1).await?).await?;
        ensure!(order["state"] == "confirmed" && booked(shop, &order).await?.0 == 250, "{order}");
        end(&erased, "/v1/me", &product).await?;
        end(&signed_out, "/v1/sessions", &product).await?;
        let good = [&owner, &other].map(|it| &it.token);
        let ended = [&erased, &signed_out].map(|it| &it.token);
        let tokens = Tokens::new(shop, [good[0], good[1], &staff.token, ended[0], ended[1]])?;
        Ok(Self { shop, owner, tokens, order: text(&order, "order_id"), product })
    }
}

/// Ends the account or the sign-in, and waits until every service has read that.
async fn end(whose: &Shopper, path: &str, product: &str) -> Result<()> {
    let (api, token) = (&whose.api, Some(&*whose.token));
    api.call(http::Method::DELETE, path, token, None, &[]).await?;
    let stock = format!("/v1/staff/products/{product}/stock");
    for path in ["/v1/me", "/v1/cart", "/v1/orders", "/v1/payment-methods", &stock] {
        eventually("everybody knows that it was ended", SETTLED, async || {
            let refused = refusal::<Value>(whose.get(path).await).ok()?;
            (refused.0 == 401).then_some(())
        })
        .await;
    }
    Ok(())
}

pub async fn everybody_is_answered_as_the_matrix_says() -> Result<()> {
    let shop = shops::open("authorization", |_| ()).await?;
    let done = ask(&shop).await;
    shops::close_after("authorization", shop, done).await
}

async fn ask(shop: &Shop) -> Result<()> {
    let cast = Cast::gather(shop).await?;
    let mut wrong = rpcs::ask(&cast).await?; // routes come last: some of them end accounts
    wrong.extend(routes::ask(&cast).await?);
    ensure!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
    Ok(())
}
