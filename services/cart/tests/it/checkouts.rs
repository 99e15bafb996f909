//! Lines leave a cart before their order is written, for one order only, and come back only when
//! nothing was sold.

use futures_util::future::join_all;
use kernel::{OrderId, ProductId, UserId};
use proto::cart::v1::{CheckoutOutcome, ListUnresolvedCheckoutsRequest};
use proto::order::v1::order_placed::Line;
use proto::order::v1::{OrderCancelled, OrderConfirmed, OrderPlaced};
use proto::user::v1::UserErased;
use rpc::status::reason;
use testkit::{Publisher, eventually};
use tonic::Code;

use crate::shop::{LIMIT, SHARDS, Shop, items};

/// Publishes that an order ended without a sale.
async fn cancel(orders: &Publisher, user: UserId, order: OrderId, back_to_cart: bool) {
    let event = OrderCancelled {
        order_id: order.to_string(),
        reason: if back_to_cart { "payment_declined" } else { "customer" }.to_owned(),
        user_id: user.to_string(),
        back_to_cart,
    };
    orders.publish(order, &event).await;
}

impl Shop {
    /// How many checkouts cart still has.
    fn checkouts(&self) -> usize {
        let count = |shard| self.sql(shard, "select count(*) from checkouts");
        SHARDS.map(|shard| count(shard).trim().parse::<usize>().expect("a number")).iter().sum()
    }

    async fn has_checkouts(&self, expected: usize) {
        eventually("checkouts end", LIMIT, async || (self.checkouts() == expected).then_some(()))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_leave_the_cart_for_one_order_whose_they_are_from_then_on() {
    let shop = Shop::open().await;
    let (cup, bowl) = (ProductId::mint(), ProductId::mint());
    for user in SHARDS.map(UserId::mint_on) {
        let (first, second) = (OrderId::mint_on(user.shard()), OrderId::mint_on(user.shard()));
        shop.put(Some(user), "", cup, 2).await.unwrap();
        let version = shop.put(Some(user), "", bowl, 1).await.unwrap().version;
        let bought = [(cup, 2), (bowl, 1)];
        assert_eq!(shop.begin(user, first, version).await.unwrap(), bought);
        assert_eq!(shop.begin(user, first, version).await.unwrap(), bought, "again: the same");
        // Nothing was published, and no cart shows them any more.
        let cart = shop.get(Some(user), "").await.unwrap();
        assert_eq!((items(&cart), cart.version), (vec![], version + 1));
        assert_eq!(cart.checkout_order_ids, [first.to_string()]);
        let cart = shop.put(Some(user), "", cup, 5).await.unwrap();
        assert_eq!(items(&cart), [(cup, 5)]);
        assert_eq!(shop.begin(user, second, cart.version).await.unwrap(), [(cup, 5)]);
        // Whoever takes the first up now does not buy what was decided anew.
        assert_eq!(shop.begin(user, first, version).await.unwrap(), [(bowl, 1)]);
        shop.remove(Some(user), "", bowl).await.unwrap();
        assert_eq!(shop.begin(user, first, version).await.unwrap(), []);
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_that_has_changed_gives_nothing() {
    let shop = Shop::open().await;
    let (user, cup) = (UserId::mint(), ProductId::mint());
    let order = OrderId::mint_on(user.shard());
    let refused = shop.begin(user, order, 0).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_deref()),
        (Code::Aborted, Some("cart_changed"))
    );
    let seen = shop.put(Some(user), "", cup, 1).await.unwrap().version;
    let now = shop.put(Some(user), "", cup, 2).await.unwrap().version;
    for wrong in [seen, now + 1, -1, i64::MAX] {
        let refused = shop.begin(user, order, wrong).await.unwrap_err();
        assert_eq!(reason(&refused).as_deref(), Some("cart_changed"), "{wrong}");
    }
    shop.begin(user, order, now).await.unwrap();
    let other = OrderId::mint_on(user.shard());
    let empty = shop.begin(user, other, now + 1).await.unwrap_err();
    assert_eq!(reason(&empty).as_deref(), Some("cart_changed"), "there is nothing to order");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_orders_at_one_moment_one_gets_the_lines() {
    let shop = Shop::open().await;
    let (user, cup) = (UserId::mint(), ProductId::mint());
    for _ in 0..10 {
        let version = shop.put(Some(user), "", cup, 1).await.unwrap().version;
        let begin = || shop.begin(user, OrderId::mint_on(user.shard()), version);
        let begun = join_all((0..20).map(|_| begin())).await;
        assert_eq!(begun.iter().filter(|begun| begun.is_ok()).count(), 1);
    }
    assert_eq!(shop.checkouts(), 10);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsold_lines_come_back_once_unless_the_user_has_decided_anew() {
    let shop = Shop::open().await;
    let orders = Publisher::new(&shop.world, "order").await;
    let [cup, bowl, spoon, pot] = std::array::from_fn(|_| ProductId::mint());
    for user in SHARDS.map(UserId::mint_on) {
        for (product, quantity) in [(cup, 2), (bowl, 3), (spoon, 4), (pot, 1)] {
            shop.put(Some(user), "", product, quantity).await.unwrap();
        }
        let order = OrderId::mint_on(user.shard());
        shop.begin(user, order, 4).await.unwrap();
        shop.put(Some(user), "", bowl, 1).await.unwrap(); // another number of them
        shop.remove(Some(user), "", spoon).await.unwrap(); // none, though none is shown
        cancel(&orders, user, order, true).await;
        shop.holds(user, &[(bowl, 1), (cup, 2), (pot, 1)]).await;
        // What is said again, by another event or by order itself, changes nothing.
        cancel(&orders, user, order, true).await;
        shop.resolve(user, order, CheckoutOutcome::Returned).await;
        shop.resolve(user, order, CheckoutOutcome::UnderWay).await;
        shop.holds(user, &[(bowl, 1), (cup, 2), (pot, 1)]).await;
    }
    assert_eq!(shop.checkouts(), 0);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_has_emptied_the_cart_since_gets_nothing_back() {
    let shop = Shop::open().await;
    let (user, cup) = (UserId::mint(), ProductId::mint());
    let version = shop.put(Some(user), "", cup, 2).await.unwrap().version;
    let order = OrderId::mint_on(user.shard());
    shop.begin(user, order, version).await.unwrap();
    shop.clear(Some(user), "").await.unwrap();
    shop.resolve(user, order, CheckoutOutcome::Returned).await;
    assert_eq!(items(&shop.get(Some(user), "").await.unwrap()), []);
    assert_eq!(shop.checkouts(), 0);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sold_or_not_wanted_any_more_stays_out() {
    let shop = Shop::open().await;
    let orders = Publisher::new(&shop.world, "order").await;
    let (user, cup) = (UserId::mint(), ProductId::mint());
    let sold = OrderId::mint_on(user.shard());
    let version = shop.put(Some(user), "", cup, 2).await.unwrap().version;
    shop.begin(user, sold, version).await.unwrap();
    // The event that asks for stock may come before or after the one that ends the order.
    let line = Line { product_id: cup.to_string(), quantity: 2 };
    let placed = OrderPlaced {
        order_id: sold.to_string(),
        user_id: user.to_string(),
        cart_id: user.to_string(),
        cart_version: version,
        lines: vec![line],
        left_cart: true,
    };
    let version = shop.put(Some(user), "", cup, 7).await.unwrap().version;
    let (order_id, user_id) = (sold.to_string(), user.to_string());
    orders.publish(sold, &OrderConfirmed { order_id, user_id }).await;
    orders.publish(sold, &placed).await;
    shop.has_checkouts(0).await;
    let unwanted = OrderId::mint_on(user.shard());
    assert_eq!(shop.begin(user, unwanted, version).await.unwrap(), [(cup, 7)]);
    cancel(&orders, user, unwanted, false).await;
    shop.has_checkouts(0).await;
    assert_eq!(items(&shop.get(Some(user), "").await.unwrap()), []);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_of_which_nothing_is_heard_is_listed_until_order_has_said_what_became_of_it() {
    let shop = Shop::open().await;
    let cup = ProductId::mint();
    let users = SHARDS.map(UserId::mint_on);
    let begun = users.map(|user| OrderId::mint_on(user.shard()));
    for (user, order) in users.into_iter().zip(begun) {
        let version = shop.put(Some(user), "", cup, 1).await.unwrap().version;
        shop.begin(user, order, version).await.unwrap();
    }
    assert_eq!(shop.unresolved().await, [""; 0], "not yet");
    for shard in SHARDS {
        shop.sql(shard, "update checkouts set resolve_at = now() - interval '1 second'");
    }
    assert_eq!(shop.unresolved().await, begun.map(|order| order.to_string()));
    shop.resolve(users[0], begun[0], CheckoutOutcome::UnderWay).await;
    assert_eq!(shop.unresolved().await, [begun[1].to_string()]);
    shop.resolve(users[1], begun[1], CheckoutOutcome::Returned).await;
    assert_eq!(shop.unresolved().await, [""; 0]);
    assert_eq!(items(&shop.get(Some(users[1]), "").await.unwrap()), [(cup, 1)]);
    let endless = ListUnresolvedCheckoutsRequest { limit: 1_001 };
    let refused = shop.as_seen_by("order").list_unresolved_checkouts(endless).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_has_no_checkout_any_more() {
    let shop = Shop::open().await;
    let users = Publisher::new(&shop.world, "user").await;
    let (user, cup) = (UserId::mint(), ProductId::mint());
    let version = shop.put(Some(user), "", cup, 1).await.unwrap().version;
    let order = OrderId::mint_on(user.shard());
    shop.begin(user, order, version).await.unwrap();
    users.publish(user, &UserErased { user_id: user.to_string() }).await;
    shop.has_checkouts(0).await;
    shop.resolve(user, order, CheckoutOutcome::Returned).await;
    assert_eq!(items(&shop.get(Some(user), "").await.unwrap()), []);
    shop.running.stop().await;
}
