//! Many callers in one call: each has a token of its own, and an answer.

use std::time::Duration;

use identity::Role;
use identity::batch::status;
use kernel::{OrderId, ProductId, Shard, UserId};
use proto::batch::v1::Member;
use proto::cart::v1::batch_begin_checkouts_request::Entry;
use proto::cart::v1::batch_begin_checkouts_response::result::Result as Begun;
use proto::cart::v1::batch_get_carts_response::result::Result as Got;
use proto::cart::v1::{
    BatchBeginCheckoutsRequest, BatchGetCartsRequest, BeginCheckoutRequest, Cart,
};
use rpc::status::reason;
use tonic::{Code, Status};

use crate::shop::{SHARDS, Shop, items};

impl Shop {
    fn member(&self, user: UserId) -> Member {
        member(&self.world.bearer(user, Role::Customer))
    }

    async fn get_all(&self, members: Vec<Member>) -> Result<Vec<Result<Cart, Status>>, Status> {
        let request = BatchGetCartsRequest { members };
        let answer = self.as_seen_by("order").batch_get_carts(request).await?.into_inner();
        let results = answer.results.into_iter().map(|it| match it.result.expect("a result") {
            Got::Cart(cart) => Ok(cart),
            Got::Refusal(refusal) => Err(status(refusal)),
        });
        Ok(results.collect())
    }

    /// The lines that each order has got.
    async fn begin_all(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<Result<Vec<(String, i64)>, Status>>, Status> {
        let request = BatchBeginCheckoutsRequest { entries };
        let answer = self.as_seen_by("order").batch_begin_checkouts(request).await?.into_inner();
        let results = answer.results.into_iter().map(|it| match it.result.expect("a result") {
            Begun::Checkout(it) => {
                Ok(it.items.into_iter().map(|it| (it.product_id, it.quantity)).collect())
            }
            Begun::Refusal(refusal) => Err(status(refusal)),
        });
        Ok(results.collect())
    }

    fn entry(&self, user: UserId, order: &str, cart_version: i64) -> Entry {
        let checkout = BeginCheckoutRequest { order_id: order.to_owned(), cart_version };
        Entry { member: Some(self.member(user)), checkout: Some(checkout) }
    }

    /// Users of both databases, with one product so many times in the cart: 1, 2, 3 …
    async fn users(&self, count: usize) -> Vec<(UserId, ProductId)> {
        let mut users = Vec::new();
        for (quantity, shard) in (1..).zip(SHARDS.iter().cycle()).take(count) {
            let (user, product) = (UserId::mint_on(*shard), ProductId::mint());
            self.put(Some(user), "", product, quantity).await.unwrap();
            users.push((user, product));
        }
        users
    }
}

fn member(bearer: &str) -> Member {
    let access_token = bearer.strip_prefix("Bearer ").expect("a bearer token").to_owned();
    Member { access_token, timeout_ms: 10_000, traceparent: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_member_sees_the_cart_of_its_own_token_or_a_refusal_of_its_own() {
    let shop = Shop::open().await;
    let users = shop.users(5).await;
    let mut members: Vec<_> = users.iter().map(|(user, _)| shop.member(*user)).collect();
    members.push(shop.member(UserId::mint()));
    members[1] = Member { access_token: "nonsense".into(), ..members[1].clone() };
    let expired = shop.world.bearer_for(users[2].0, Role::Customer, Duration::ZERO);
    let mut late = shop.member(users[3].0);
    late.timeout_ms = 0;
    members.extend([late, Member::default(), member(&expired)]);
    let carts = shop.get_all(members).await.unwrap();
    for at in [0, 2, 3, 4] {
        let cart = carts[at].as_ref().unwrap();
        assert_eq!(cart.cart_id, users[at].0.to_string());
        assert_eq!(items(cart), [(users[at].1, at as i64 + 1)]);
    }
    let nobodys = carts[5].as_ref().unwrap();
    assert_eq!((nobodys.version, nobodys.items.len()), (0, 0));
    let codes = [1, 6, 7].map(|at| carts[at].as_ref().unwrap_err().code());
    assert_eq!(codes, [Code::Unauthenticated, Code::DeadlineExceeded, Code::Unauthenticated]);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_above_the_bound_is_refused_with_it_and_an_empty_one_is_empty() {
    let shop = Shop::open().await;
    let user = UserId::mint();
    let many = |count| vec![shop.member(user); count];
    let refused = shop.get_all(many(65)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("at most 64"), "{refused:?}");
    let entries = vec![shop.entry(user, "", 1); 65];
    assert_eq!(shop.begin_all(entries).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(shop.get_all(many(64)).await.unwrap().len(), 64);
    assert!(shop.get_all(Vec::new()).await.unwrap().is_empty());
    let gateway = shop.client.clone().batch_get_carts(BatchGetCartsRequest::default()).await;
    assert_eq!(gateway.unwrap_err().code(), Code::PermissionDenied, "for orders alone");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_order_of_a_batch_gets_the_lines_of_its_own_caller_once() {
    let shop = Shop::open().await;
    let users = shop.users(6).await;
    let order = |at: usize| OrderId::mint_on(users[at].0.shard()).to_string();
    let orders: Vec<String> = (0..6).map(order).collect();
    let begin = |at: usize| shop.entry(users[at].0, &orders[at], 1);
    let mut strangers = begin(4);
    strangers.member = Some(member("Bearer stolen"));
    let entries = vec![
        begin(0),
        shop.entry(users[1].0, "no id", 1),
        shop.entry(users[2].0, &orders[2], 7), // another version
        begin(3),
        shop.entry(users[0].0, &order(0), 1), // the cart of the first, for another order
        begin(0),                             // the first again
        strangers,
        Entry { member: Some(shop.member(users[5].0)), checkout: None },
        shop.entry(users[5].0, &orders[0], 1), // the order of the first, which his cart has not
    ];
    let begun = shop.begin_all(entries).await.unwrap();
    let got = |at: usize| vec![(users[at].1.to_string(), at as i64 + 1)];
    assert_eq!(begun[0].as_ref().unwrap(), &got(0));
    assert_eq!(begun[1].as_ref().unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(reason(begun[2].as_ref().unwrap_err()).as_deref(), Some("cart_changed"));
    assert_eq!(begun[3].as_ref().unwrap(), &got(3));
    assert_eq!(reason(begun[4].as_ref().unwrap_err()).as_deref(), Some("cart_changed"));
    assert_eq!(begun[5].as_ref().unwrap(), &got(0));
    assert_eq!(begun[6].as_ref().unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(begun[7].as_ref().unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(begun[8].as_ref().unwrap(), &got(5), "of his own cart, and of no other");
    for (at, (user, product)) in users.iter().enumerate() {
        let left = items(&shop.get(Some(*user), "").await.unwrap());
        let expected =
            if [0, 3, 5].contains(&at) { vec![] } else { vec![(*product, at as i64 + 1)] };
        assert_eq!(left, expected, "user {at}");
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_fails_costs_the_members_of_the_other_nothing() {
    let shop = Shop::open().await;
    let users = shop.users(4).await;
    let away: Vec<bool> = users.iter().map(|(user, _)| user.shard() == SHARDS[1]).collect();
    shop.sql(SHARDS[1], "alter table carts rename to carts_elsewhere");
    let members = users.iter().map(|(user, _)| shop.member(*user)).collect();
    let carts = shop.get_all(members).await.unwrap();
    assert_eq!(carts.iter().map(Result::is_err).collect::<Vec<_>>(), away);
    let order = |shard: Shard| OrderId::mint_on(shard).to_string();
    let entries =
        users.iter().map(|(user, _)| shop.entry(*user, &order(user.shard()), 1)).collect();
    let begun = shop.begin_all(entries).await.unwrap();
    assert_eq!(begun.iter().map(Result::is_err).collect::<Vec<_>>(), away);
    shop.running.stop().await;
}
