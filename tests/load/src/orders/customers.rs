//! Customers who only have to press the button: an account with an address and a card, a token, and a
//! cart with something in it.
//!
//! One of them signs up as people do. The others are copies of that one's rows: argon2 would take a
//! minute of the processor for every two thousand, and is no part of an order. Their tokens are signed
//! with the shop's key, and their carts are filled through the front door, which also warms it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use audit::Places;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use identity::{Role, Signer};
use kernel::{AddressId, FamilyId, PaymentMethodId, UserId, clock};
use operator::api::{Api, bearer};
use operator::layout::Layout;
use operator::secrets::Secrets;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Deserialize;
use sqlx::{Connection as _, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use crate::seed::{self, Member};
use crate::wire::{Wire, request};
use crate::zipf::Zipf;

const ONE_PIECE: Bytes = Bytes::from_static(b"{\"quantity\":1}");
/// Longer than any run.
const TOKEN_VALID: Duration = Duration::from_secs(3_600);
const AT_ONCE: usize = 16;
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(100);

/// A customer with a filled cart.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    authorization: HeaderValue,
    card: String,
}

impl Customer {
    /// The checkout, once.
    pub(super) fn checkout(&self, key: &str) -> Request<Full<Bytes>> {
        let mut request = crate::wire::checkout(&self.card, key);
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        request
    }
}

/// The ids of a customer's rows.
struct Ids {
    user: UserId,
    address: AddressId,
    card: PaymentMethodId,
}

impl Ids {
    fn mint() -> Self {
        let user = UserId::mint();
        let (address, card) =
            (AddressId::mint_on(user.shard()), PaymentMethodId::mint_on(user.shard()));
        Self { user, address, card }
    }
}

/// So many customers, each with one to so many lines in the cart. Products are bought by Zipf's law.
pub(super) async fn prepare(
    api: &Api,
    wire: &Wire,
    (layout, places): (&Layout, &Places),
    (count, lines): (usize, usize),
    products: &[String],
) -> Result<VecDeque<Customer>> {
    let model = seed::members(api, 1, products, |_| ()).await?.pop().context("nobody signed up")?;
    let ids: Vec<Ids> = (0..count).map(|_| Ids::mint()).collect();
    copy(places, &model, user_of(api, &model).await?, &ids).await.context("copying a customer")?;
    let signer = Signer::load(&Secrets::at(layout).token_signing_key())?;
    let customer = |Ids { user, card, .. }: &Ids| {
        let now = clock::now();
        let token = signer.issue(*user, Role::Customer, FamilyId::mint(), now, TOKEN_VALID)?;
        anyhow::Ok(Customer { authorization: bearer(&token)?, card: card.to_string() })
    };
    let customers = ids.iter().map(customer).collect::<Result<VecDeque<_>>>()?;
    fill(wire, &customers, lines, products).await.context("filling carts")?;
    Ok(customers)
}

async fn user_of(api: &Api, member: &Member) -> Result<Uuid> {
    #[derive(Deserialize)]
    struct Me {
        user_id: Uuid,
    }
    let token = member.authorization.to_str()?.trim_start_matches("Bearer ");
    let me: Me = api.get("/v1/me", Some(token)).await?.json()?;
    Ok(me.user_id)
}

#[expect(clippy::disallowed_methods, reason = "the macros check against one database per crate")]
async fn copy(places: &Places, model: &Member, of: Uuid, ids: &[Ids]) -> Result<()> {
    let users: Vec<Uuid> = ids.iter().map(|ids| ids.user.uuid()).collect();
    let addresses: Vec<Uuid> = ids.iter().map(|ids| ids.address.uuid()).collect();
    let cards: Vec<Uuid> = ids.iter().map(|ids| ids.card.uuid()).collect();
    let accounts = sqlx::query(
        "with added as (
             insert into users (user_id, email, name, role, password_hash)
             select c.id, 'bench-' || c.id || '@example.com', u.name, u.role, u.password_hash
             from users u, unnest($2::uuid[]) c(id) where u.user_id = $1
         )
         insert into addresses (user_id, address_id, recipient, line1, line2, city, postcode, country)
         select c.id, c.address, a.recipient, a.line1, a.line2, a.city, a.postcode, a.country
         from addresses a, unnest($2::uuid[], $3::uuid[]) c(id, address) where a.user_id = $1",
    );
    accounts
        .bind(of)
        .bind(&users)
        .bind(addresses)
        .execute(&mut open(places, "user").await?)
        .await?;
    let methods = sqlx::query(
        "insert into payment_methods (payment_method_id, user_id, card_token, label)
         select c.card, c.id, m.card_token, m.label
         from payment_methods m, unnest($2::uuid[], $3::uuid[]) c(id, card)
         where m.payment_method_id = $1",
    );
    let model: Uuid = model.payment_method.parse()?;
    methods
        .bind(model)
        .bind(users)
        .bind(cards)
        .execute(&mut open(places, "payment").await?)
        .await?;
    Ok(())
}

async fn open(places: &Places, context: &str) -> Result<PgConnection> {
    let url = places.databases.get(context).and_then(|urls| urls.first());
    Ok(PgConnection::connect(url.with_context(|| format!("no database of {context}"))?).await?)
}

async fn fill(
    wire: &Wire,
    customers: &VecDeque<Customer>,
    lines: usize,
    products: &[String],
) -> Result<()> {
    let (zipf, mut random) = (Zipf::new(products.len(), 1.0), StdRng::seed_from_u64(1));
    let filling = customers.iter().flat_map(|customer| {
        let (count, mut chosen) = (random.random_range(1..=lines), BTreeSet::new());
        while chosen.len() < count {
            chosen.insert(zipf.draw(&mut random));
        }
        chosen.into_iter().map(|it| put(wire, customer, format!("/v1/cart/items/{}", products[it])))
    });
    stream::iter(filling).buffer_unordered(AT_ONCE).try_collect().await
}

async fn put(wire: &Wire, customer: &Customer, path: String) -> Result<()> {
    let uri: Uri = path.parse()?;
    for tries in 1.. {
        let mut put = request(Method::PUT, uri.clone(), ONE_PIECE);
        put.headers_mut().insert(AUTHORIZATION, customer.authorization.clone());
        match wire.send(put).await {
            Ok(answer) if answer.status.is_success() => break,
            Ok(answer) if tries == TRIES => bail!("a cart: {}", answer.told()),
            Err(failure) if tries == TRIES => bail!("a cart: {failure}"),
            _ => sleep(AGAIN).await,
        }
    }
    Ok(())
}
