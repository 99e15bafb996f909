//! A batch does what its events would have done one by one.

use std::collections::BTreeMap;

use database::{Database, ONLY_SHARD};
use futures_util::FutureExt as _;
use kernel::{OrderId, ProductId, ReturnId};
use product::domain::stock::{Reservation, Signal, fold, lines};
use product::domain::{Shelves, Stock};
use testkit::eventually;
use tokio::sync::oneshot;

use crate::shop::{LIMIT, Orders, Shop};

/// A generator of numbers that look random and are always the same (Knuth's MMIX constants).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// What is told of sixty orders over five scarce products: every signal some times, in no order,
/// and some of it contradicting itself.
fn story(products: &[ProductId], numbers: &mut Numbers) -> Vec<(OrderId, Signal)> {
    let mut told = Vec::new();
    for _ in 0..60 {
        let order = OrderId::mint();
        let mut some = |most: usize| {
            let pairs: Vec<(ProductId, i64)> = (0..1 + numbers.below(3))
                .map(|_| (products[numbers.below(products.len())], 1 + numbers.below(most) as i64))
                .collect();
            lines(pairs)
        };
        let (wanted, back) = (some(6), Signal::Returned(ReturnId::mint(), some(4)));
        let again = Signal::Returned(ReturnId::mint(), some(4));
        told.push((order, Signal::Placed(wanted)));
        match numbers.below(5) {
            0 => told.push((order, Signal::Cancelled)),
            1 => told.extend([(order, Signal::Cancelled), (order, Signal::Confirmed)]),
            2 => told.push((order, Signal::Confirmed)),
            3 => told.extend([(order, Signal::Confirmed), (order, back), (order, again)]),
            _ => {}
        }
    }
    for _ in 0..told.len() / 2 {
        told.push(told[numbers.below(told.len())].clone());
    }
    for last in (1..told.len()).rev() {
        told.swap(last, numbers.below(last + 1));
    }
    told
}

async fn tell(orders: &Orders, order: OrderId, signal: &Signal) {
    let pairs = |lines: &[product::domain::stock::Line]| -> Vec<(ProductId, i64)> {
        lines.iter().map(|line| (line.product, line.quantity)).collect()
    };
    match signal {
        Signal::Placed(lines) => orders.placed(order, &pairs(lines)).await,
        Signal::Confirmed => orders.confirmed(order).await,
        Signal::Cancelled => orders.cancelled(order).await,
        Signal::Returned(id, lines) => orders.returned(order, *id, &pairs(lines)).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_does_what_its_events_would_have_done_one_by_one() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let mut products = Vec::new();
    for n in 0..5 {
        products.push(shop.add(&format!("product {n}"), 20).await);
    }
    let told = story(&products, &mut Numbers(7));
    assert!(told.len() > 128, "{}", told.len());

    // While the service is away everything piles up, and then comes in large batches.
    let Shop { world, url, running, .. } = shop;
    running.stop().await;
    for (order, signal) in &told {
        tell(&orders, *order, signal).await;
    }
    let shop = Shop::reopen(world, url).await;
    let heard = format!("select count(*) = {} from messaging.inbox", told.len());
    eventually("everything was heard", LIMIT, async || (shop.sql(&heard) == "t").then_some(()))
        .await;

    let full = Stock { received: 20, on_hand: 20, ..Stock::default() };
    let mut shelves: Shelves = products.iter().map(|product| (*product, full)).collect();
    let mut reservations = BTreeMap::<OrderId, Reservation>::new();
    let mut verdicts = 0;
    for (order, signal) in told {
        use product::domain::stock::Event::{Held, Rejected};
        let events = fold(reservations.entry(order).or_default(), &mut shelves, signal);
        verdicts += events.iter().filter(|event| matches!(event, Held(_) | Rejected(_))).count();
    }
    for (product, stock) in shelves {
        let expected = (stock.on_hand, stock.reserved, stock.shipped);
        assert_eq!(shop.counts(product).await, expected);
    }
    for (order, reservation) in reservations {
        assert_eq!(shop.state(order), reservation.state.code());
        let returns = format!("select count(*) from returns where order_id = '{order}'");
        assert_eq!(shop.sql(&returns), reservation.returns.len().to_string());
    }
    let published = "select count(*) from messaging.outbox where type like '%Stock%'";
    assert_eq!((shop.sql(published), shop.drift()), (verdicts.to_string(), "0".into()));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_product_is_written_once_in_a_batch() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let cup = shop.add("cup", 1_000).await;
    let Shop { world, url, running, .. } = shop;
    running.stop().await;
    for _ in 0..200 {
        orders.placed(OrderId::mint(), &[(cup, 1)]).await;
    }
    let updates = "select n_tup_upd from pg_stat_user_tables where relname = 'stock'";
    let before: i64 = world.sql(&url, updates).parse().unwrap();
    let shop = Shop::reopen(world, url).await;
    shop.has(cup, (1_000, 200, 0)).await;
    // Statistics are told when a connection has been idle for a while, at the latest at its end.
    let Shop { world, url, running, .. } = shop;
    running.stop().await;
    let written = eventually("the statistics", LIMIT, async || {
        let after: i64 = world.sql(&url, updates).parse().unwrap();
        (after > before).then_some(after - before)
    });
    assert!(written.await < 50, "one update for each batch, not one for each order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_event_is_dead_lettered_and_delays_no_other_event() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let cup = shop.add("cup", 5).await;
    let (nonsense, sound) = (OrderId::mint(), OrderId::mint());
    orders.placed(nonsense, &[(cup, -3)]).await;
    orders.placed(sound, &[(cup, 2)]).await;
    shop.has(cup, (5, 2, 0)).await;
    let parked = "select aggregate_id || ' ' || error from messaging.dead_letters";
    let expected = format!("{nonsense} malformed quantity");
    eventually("parked", LIMIT, async || (shop.sql(parked) == expected).then_some(())).await;
    assert_eq!((shop.state(nonsense), shop.counts(cup).await), (String::new(), (5, 2, 0)));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_that_meet_an_order_at_once_do_not_overwrite_each_other() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let (cup, order) = (shop.add("cup", 5).await, OrderId::mint());
    // The other copy has handled a cancellation, and is about to commit.
    let options = database::Options {
        database_urls: vec![shop.url.clone().into()],
        database_connections: 1.try_into().unwrap(),
        database_acquire_ms: testkit::ACQUIRE_MS.try_into().unwrap(),
    };
    let other = Database::connect(&options, "another copy").await.unwrap();
    let tombstone = format!(
        "insert into reservations (order_id, state, version, product_ids, quantities)
         values ('{order}', 'released', 1, '{{}}', '{{}}')"
    );
    let ((wrote, written), (commit, commits)) = (oneshot::channel(), oneshot::channel::<()>());
    let copy = tokio::spawn(async move {
        let work = other.transaction(ONLY_SHARD, move |tx| {
            let work = async move {
                sqlx::raw_sql(sqlx::AssertSqlSafe(tombstone)).execute(&mut **tx).await?;
                let _there = wrote.send(());
                commits.await.map_err(|_| sqlx::Error::WorkerCrashed)
            };
            work.boxed()
        });
        work.await
    });
    written.await.unwrap();

    orders.placed(order, &[(cup, 5)]).await;
    let waits = "select count(*) > 0 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    eventually("the service waits", LIMIT, async || (shop.sql(waits) == "t").then_some(())).await;
    commit.send(()).unwrap();
    copy.await.unwrap().unwrap();
    let heard = "select count(*) from messaging.inbox";
    eventually("heard", LIMIT, async || (shop.sql(heard) == "1").then_some(())).await;
    assert_eq!((shop.state(order), shop.counts(cup).await), ("released".into(), (5, 0, 0)));
    let verdicts = "select count(*) from messaging.outbox where type like '%Stock%'";
    assert_eq!(shop.sql(verdicts), "0");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_that_nobody_ends_is_counted_and_left_alone() {
    let shop = Shop::open().await;
    let orders = Orders::open(&shop.world).await;
    let (cup, old) = (shop.add("cup", 9).await, [OrderId::mint(), OrderId::mint()]);
    orders.placed(old[0], &[(cup, 2)]).await;
    orders.placed(old[1], &[(cup, 3)]).await;
    orders.placed(OrderId::mint(), &[(cup, 4)]).await;
    shop.has(cup, (9, 9, 0)).await;
    shop.sql(&format!(
        "update reservations set created_at = now() - interval '20 minutes'
         where order_id in ('{}', '{}')",
        old[0], old[1]
    ));
    let shop = shop.crash().await; // it looks at its start
    let counted = || telemetry::render_metrics().contains("souk_reservations_overdue_total 2\n");
    eventually("both are counted", LIMIT, async || counted().then_some(())).await;
    assert_eq!(shop.counts(cup).await, (9, 9, 0));
    shop.running.stop().await;
}
