//! The statements, in a real order database.

use std::time::Duration;

use console::database::Databases;
use console::orders::{Newest, Order, Wanted};
use console::traffic::{Counter, Traffic};
use testkit::{World, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

const MIGRATIONS: [&str; 3] = [
    include_str!("../../../../services/order/migrations/0001_orders.sql"),
    include_str!("../../../../services/order/migrations/0002_abandoned_checkouts.sql"),
    include_str!("../../../../services/order/migrations/0003_returns_are_received.sql"),
];

/// One placed now, one settled now; the others are older.
const PLACED: &str = "insert into orders (shard, order_id, user_id, cart_id, cart_version, state,
        cancel_reason, payment_method_id, currency, total_minor, placed_at, deadline_at,
        stock_held_at, ended_at)
    select shard, (lpad(to_hex((extract(epoch from placed) * 1000)::bigint), 12, '0')
            || '7abcdef0123456789' || '0' || lpad(to_hex(shard), 2, '0'))::uuid,
        gen_random_uuid(), gen_random_uuid(), 1, state, reason, gen_random_uuid(), 'GBP', 1999,
        placed, placed + interval '20 s', held, ended
    from (values
        (7, 'placed', null, now(), null, null),
        (200, 'stock_held', null, now() - interval '30 s', now() - interval '29.9 s', null),
        (7, 'confirmed', null, now() - interval '90 s', now() - interval '89.9 s',
            now()),
        (0, 'cancelled', 'deadline', now() - interval '1 hour', null, now() - interval '59 min')
    ) orders (shard, state, reason, placed, held, ended);";

fn world() -> (World, Vec<String>) {
    let world = World::with_nats(0);
    let urls = world.databases("order", 2);
    for url in &urls {
        for migration in MIGRATIONS {
            world.sql(url, migration);
        }
    }
    (world, urls)
}

async fn states(newest: &Newest, urls: &[String], state: &str) -> Vec<Order> {
    let wanted = Wanted::parse(state).expect("a state");
    newest.read(urls, &wanted).await.expect("orders")
}

#[tokio::test]
async fn the_newest_orders_of_all_databases_are_told_newest_first() {
    let (world, urls) = world();
    world.sql(&urls[1], PLACED);
    let newest = Newest::default();
    let orders = states(&newest, &urls, "").await;
    let told: Vec<&str> = orders.iter().map(|order| order.state.as_str()).collect();
    assert_eq!(told, ["placed", "stock_held", "confirmed", "cancelled"]);
    assert_eq!(orders[2].stock_held_after_ms, Some(100));
    assert_eq!(orders[3].cancel_reason.as_deref(), Some("deadline"));
    assert_eq!((&*orders[0].total.currency, orders[0].total.minor_units), ("GBP", 1_999));
    assert_eq!(states(&newest, &urls, "stock_held").await.len(), 1);
}

#[tokio::test]
async fn orders_are_counted_once_by_the_databases_clock() {
    let (world, urls) = world();
    let mut counter = Counter::default();
    let empty = counter.look(&urls).await.expect("counted");
    assert_eq!(empty, Traffic::default());
    world.sql(&urls[0], PLACED);
    let (mut placed, mut settled) = (0, 0);
    // The last second is left for the next look.
    eventually("both are counted", PATIENCE, async || {
        let traffic = counter.look(&urls).await.expect("counted");
        assert_eq!((traffic.placed, traffic.stock_held, traffic.under_way()), (1, 1, 2));
        assert_eq!((traffic.placed_last_minute, traffic.settled_last_minute), (2, 1));
        placed += i32::from(traffic.placed_per_second > 0.0);
        settled += i32::from(traffic.settled_per_second > 0.0);
        (placed > 0 && settled > 0).then_some(())
    })
    .await;
    let after = counter.look(&urls).await.expect("counted");
    assert_eq!((placed, settled), (1, 1));
    assert_eq!((after.placed_per_second, after.settled_per_second), (0.0, 0.0));
}

#[tokio::test]
async fn nothing_can_be_written_and_a_connection_that_broke_is_opened_again() {
    let (world, urls) = world();
    let mut counter = Counter::default();
    counter.look(&urls).await.expect("counted");
    let ended = "select pg_terminate_backend(pid) from pg_stat_activity
                 where application_name = 'console' and datname = current_database();";
    world.sql(&urls[0], ended);
    counter.look(&urls).await.expect_err("its connection is gone");
    counter.look(&urls).await.expect("a new one");
    let mut databases = Databases::default();
    let read_only =
        databases.ask(&urls[0], |database| Box::pin(async move { setting(database).await }));
    assert_eq!(read_only.await.expect("asked"), "on");
}

#[expect(clippy::disallowed_methods, reason = "the macros check against one database per crate")]
async fn setting(database: &mut sqlx::PgConnection) -> Result<String, sqlx::Error> {
    let question = "select current_setting('default_transaction_read_only')";
    let (setting,): (String,) = sqlx::query_as(question).fetch_one(database).await?;
    Ok(setting)
}
