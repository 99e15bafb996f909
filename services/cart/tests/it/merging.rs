//! A guest's cart becomes part of a user's, across databases, whatever dies in between.

use kernel::{CartId, ProductId, UserId};
use tonic::Code;

use crate::shop::{NOBODY, SHARDS, Shop, items};

/// A guest with two products, and a user with one of them, on different databases.
struct Pair {
    shop: Shop,
    guest: CartId,
    user: UserId,
    cup: ProductId,
    bowl: ProductId,
}

impl Pair {
    async fn new() -> Self {
        let shop = Shop::open().await;
        let (guest, user) = (CartId::mint_on(SHARDS[0]), UserId::mint_on(SHARDS[1]));
        let (cup, bowl) = (ProductId::mint(), ProductId::mint());
        let pair = Self { shop, guest, user, cup, bowl };
        pair.shop.put(Some(user), "", cup, 2).await.unwrap();
        pair.guest_puts(cup, 3).await;
        pair.guest_puts(bowl, 1).await;
        pair
    }

    async fn guest_puts(&self, product: ProductId, quantity: i64) {
        self.shop.put(NOBODY, &self.guest.to_string(), product, quantity).await.unwrap();
    }

    async fn guest_has(&self) -> Vec<(ProductId, i64)> {
        items(&self.shop.get(NOBODY, &self.guest.to_string()).await.unwrap())
    }

    async fn user_has(&self) -> Vec<(ProductId, i64)> {
        items(&self.shop.get(Some(self.user), "").await.unwrap())
    }

    /// As the first step leaves it.
    fn first_step(&self, how_long_ago: &str) {
        let statement = format!(
            "update carts set state = 'merging', merging_into = '{}', version = version + 1,
                 changed_at = now() - interval '{how_long_ago}' where cart_id = '{}'",
            self.user, self.guest
        );
        self.shop.sql(SHARDS[0], &statement);
    }

    fn merged(&self) -> [(ProductId, i64); 2] {
        [(self.cup, 5), (self.bowl, 1)]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_adds_once_and_leaves_the_guests_cart_empty() {
    let pair = Pair::new().await;
    let merged = pair.shop.merge(Some(pair.user), pair.guest).await.unwrap();
    assert_eq!((merged.version, items(&merged)), (2, pair.merged().to_vec()));
    assert_eq!(pair.guest_has().await, []);
    assert_eq!(pair.shop.merge(Some(pair.user), pair.guest).await.unwrap(), merged);
    let unknown = pair.shop.merge(Some(pair.user), CartId::mint()).await.unwrap();
    assert_eq!(unknown, merged);

    // The guest goes on with the same id: that is another merge.
    pair.guest_puts(pair.bowl, 9_999).await;
    let merged = pair.shop.merge(Some(pair.user), pair.guest).await.unwrap();
    assert_eq!(items(&merged), [(pair.cup, 5), (pair.bowl, 10_000)]);
    pair.shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merges_at_the_same_time_add_once() {
    let pair = Pair::new().await;
    let merges = (0..8).map(|_| pair.shop.merge(Some(pair.user), pair.guest));
    for merged in futures_util::future::join_all(merges).await {
        merged.unwrap();
    }
    assert_eq!(pair.user_has().await, pair.merged());
    assert_eq!(pair.guest_has().await, []);
    pair.shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_died_after_the_first_step_is_finished_by_its_repetition() {
    let pair = Pair::new().await;
    pair.first_step("0 s");
    assert_eq!(pair.guest_has().await, [], "the lines are the user's");
    let merged = pair.shop.merge(Some(pair.user), pair.guest).await.unwrap();
    assert_eq!(items(&merged), pair.merged());
    pair.shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_died_after_the_second_step_does_not_add_again() {
    let pair = Pair::new().await;
    pair.first_step("0 s");
    let version = pair.shop.sql(SHARDS[0], "select version from carts where owner = 'guest'");
    let done = format!(
        "insert into merges (shard, cart_id, guest_cart_id, guest_version)
         values ({}, '{}', '{}', {version})",
        SHARDS[1].0, pair.user, pair.guest
    );
    pair.shop.sql(SHARDS[1], &done);
    let merged = pair.shop.merge(Some(pair.user), pair.guest).await.unwrap();
    assert_eq!(items(&merged), [(pair.cup, 2)]);
    assert_eq!(pair.shop.sql(SHARDS[0], "select count(*) from cart_lines"), "0");
    assert_eq!(pair.shop.sql(SHARDS[0], "select distinct state from carts"), "open");
    pair.shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_who_goes_on_finishes_the_merge_first() {
    let pair = Pair::new().await;
    pair.first_step("0 s");
    pair.guest_puts(pair.bowl, 4).await;
    assert_eq!(pair.user_has().await, pair.merged());
    assert_eq!(pair.guest_has().await, [(pair.bowl, 4)]);
    pair.shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_nobody_repeats_is_finished_in_the_background() {
    let pair = Pair::new().await;
    pair.first_step("1 min");
    pair.shop.holds(pair.user, &pair.merged()).await;
    pair.shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_cannot_take_a_cart_that_is_on_its_way() {
    let pair = Pair::new().await;
    pair.first_step("0 s");
    let thief = UserId::mint();
    let got = pair.shop.merge(Some(thief), pair.guest).await.unwrap();
    assert_eq!(items(&got), []);
    assert_eq!(pair.user_has().await, pair.merged());
    let nobody = pair.shop.merge(NOBODY, pair.guest).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    pair.shop.running.stop().await;
}
