//! Orders of an older release take out what they bought when cart hears of them; erased users take
//! their carts along.

use kernel::{OrderId, ProductId, UserId};
use messaging::{Bus, Options};
use proto::order::v1::OrderPlaced;
use proto::order::v1::order_placed::Line;
use proto::user::v1::UserErased;
use rpc::status::reason;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use testkit::{Publisher, eventually};
use tonic::Code;

use crate::shop::{LIMIT, NOBODY, SHARDS, Shop};

/// Publishes that a user's cart was ordered, as releases before 0.2 did.
async fn place(orders: &Publisher, user: UserId, lines: &[(ProductId, i64)]) {
    let order = OrderId::mint_on(user.shard());
    let line = |&(product, quantity): &(ProductId, i64)| Line {
        product_id: product.to_string(),
        quantity,
    };
    let event = OrderPlaced {
        order_id: order.to_string(),
        user_id: user.to_string(),
        cart_id: user.to_string(),
        cart_version: 1,
        lines: lines.iter().map(line).collect(),
        left_cart: false,
    };
    orders.publish(order, &event).await;
}

async fn erase(users: &Publisher, user: UserId) {
    users.publish(user, &UserErased { user_id: user.to_string() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_takes_out_what_it_bought_and_nothing_else() {
    let shop = Shop::open().await;
    let orders = Publisher::new(&shop.world, "order").await;
    let (cup, bowl, spoon) = (ProductId::mint(), ProductId::mint(), ProductId::mint());
    let users = SHARDS.map(UserId::mint_on);
    for user in users {
        for (product, quantity) in [(cup, 5), (bowl, 2), (spoon, 1)] {
            shop.put(Some(user), "", product, quantity).await.unwrap();
        }
        // A guest's cart of the same id is none of the order's business.
        shop.put(NOBODY, &user.to_string(), cup, 5).await.unwrap();
    }
    let bought = [(cup, 2), (bowl, 2)];
    for user in users {
        place(&orders, user, &bought).await;
    }
    for user in users {
        let cart = shop.holds(user, &[(cup, 3), (spoon, 1)]).await;
        assert_eq!(cart.version, 4);
        let guests = shop.get(NOBODY, &user.to_string()).await.unwrap();
        assert_eq!(crate::shop::items(&guests), [(cup, 5)]);
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_orders_of_many_carts_add_up() {
    let shop = Shop::open().await;
    let orders = Publisher::new(&shop.world, "order").await;
    let cup = ProductId::mint();
    let users: Vec<UserId> = (0..20).map(|_| UserId::mint()).collect();
    for user in &users {
        shop.put(Some(*user), "", cup, 100).await.unwrap();
    }
    for (quantity, user) in (0..10).flat_map(|quantity| users.iter().map(move |u| (quantity, *u))) {
        place(&orders, user, &[(cup, quantity)]).await;
    }
    for user in users {
        let cart = shop.holds(user, &[(cup, 55)]).await; // 100 less 0 + 1 + … + 9
        assert_eq!(cart.version, 10, "an order of nothing is no change");
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_delivered_again_takes_out_nothing_more() {
    let shop = Shop::open().await;
    let orders = Publisher::new(&shop.world, "order").await;
    let (user, cup, bowl) = (UserId::mint(), ProductId::mint(), ProductId::mint());
    shop.put(Some(user), "", cup, 5).await.unwrap();
    shop.put(Some(user), "", bowl, 5).await.unwrap();
    place(&orders, user, &[(cup, 1)]).await;
    shop.holds(user, &[(cup, 4), (bowl, 5)]).await;

    // Without its place in the stream the consumer hears everything again from the beginning.
    let bus = Bus::connect(&Options::at(shop.world.nats_url()), "test").await.unwrap();
    let jetstream = async_nats::jetstream::new(bus.client().clone());
    let stream = jetstream.get_stream("SOUK_ORDER").await.unwrap();
    stream.delete_consumer("cart-from-order").await.unwrap();
    eventually("the consumer is made anew", LIMIT, async || {
        stream.consumer_info("cart-from-order").await.ok().filter(|info| info.num_pending == 0)
    })
    .await;
    place(&orders, user, &[(bowl, 2)]).await;
    let cart = shop.holds(user, &[(cup, 4), (bowl, 3)]).await;
    assert_eq!(cart.version, 4);
    shop.running.stop().await;
}

/// A copy of cart writes a line and is about to commit when another one hears that the account is erased.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_put_in_while_its_user_is_erased_does_not_stay() {
    let shop = Shop::open().await;
    let users = Publisher::new(&shop.world, "user").await;
    let user = UserId::mint_on(SHARDS[0]);
    shop.put(Some(user), "", ProductId::mint(), 1).await.unwrap();
    let of_user = format!("shard = {} and cart_id = '{user}'", user.shard().0);
    let mut other = PgConnection::connect(&shop.urls[0]).await.unwrap();
    let put = format!(
        "begin; update carts set version = version + 1 where {of_user};
         insert into cart_lines (shard, owner, cart_id, product_id, quantity, position)
         values ({}, 'user', '{user}', '{}', 1, 2)",
        user.shard().0,
        ProductId::mint()
    );
    sqlx::raw_sql(AssertSqlSafe(put)).execute(&mut other).await.unwrap();

    erase(&users, user).await;
    let waits = "select count(*) > 0 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    let waiting = async || (shop.sql(user.shard(), waits) == "t").then_some(());
    eventually("the erasure waits", LIMIT, waiting).await;
    sqlx::raw_sql("commit").execute(&mut other).await.unwrap();
    let erased = format!("select state from carts where {of_user}");
    let closed = async || (shop.sql(user.shard(), &erased) == "erased").then_some(());
    eventually("the cart is closed", LIMIT, closed).await;
    let lines = format!("select count(*) from cart_lines where {of_user}");
    assert_eq!(shop.sql(user.shard(), &lines), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_user_has_no_cart_any_more() {
    let shop = Shop::open().await;
    let orders = Publisher::new(&shop.world, "order").await;
    let users = Publisher::new(&shop.world, "user").await;
    let (with, without, cup) = (UserId::mint(), UserId::mint(), ProductId::mint());
    shop.put(Some(with), "", cup, 5).await.unwrap();
    erase(&users, with).await;
    erase(&users, without).await;
    for user in [with, without] {
        let refused = eventually("the cart is closed", LIMIT, async || {
            shop.put(Some(user), "", cup, 1).await.err()
        })
        .await;
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused).as_deref(), Some("account_erased"));
    }
    // What comes late finds nothing.
    place(&orders, with, &[(cup, 1)]).await;
    erase(&users, with).await;
    shop.holds(with, &[]).await;
    for shard in SHARDS {
        assert_eq!(shop.sql(shard, "select count(*) from cart_lines"), "0");
    }
    shop.running.stop().await;
}
