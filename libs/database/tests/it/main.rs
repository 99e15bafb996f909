//! Pools, units of work and migrations on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use database::{Database, Options};
use futures_util::future::join_all;
use kernel::Shard;
use sqlx::Row as _;
use sqlx::postgres::PgConnectOptions;
use testkit::{World, eventually};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(20);

async fn connect(urls: &[String], connections: u32) -> Database {
    let options = Options {
        database_urls: urls.iter().map(|url| url.clone().into()).collect(),
        database_connections: connections.try_into().unwrap(),
        database_acquire_ms: testkit::ACQUIRE_MS.try_into().unwrap(),
    };
    Database::connect(&options, "database test").await.unwrap()
}

async fn backend(database: &Database) -> i32 {
    let mut tx = database.begin(Shard(0)).await.unwrap();
    let row = sqlx::raw_sql("select pg_backend_pid()").fetch_one(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_connection_that_was_used_well_is_used_again() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 1).await;
    let first = backend(&database).await;
    for _ in 0..20 {
        database.begin(Shard(0)).await.unwrap().commit().await.unwrap();
        drop(database.begin(Shard(0)).await.unwrap()); // rolls back
        assert_eq!(backend(&database).await, first);
    }
}

#[tokio::test]
async fn a_cancelled_begin_poisons_nobody() {
    let world = World::new();
    let urls = world.databases("database", 1);
    world.sql(&urls[0], "create table t (n int)");
    let database = connect(&urls, 1).await;
    for n in 0..100 {
        // Dropped at its n-th wait: in the middle of BEGIN, as a request's future may be.
        let mut begin = Box::pin(database.begin(Shard(0)));
        for _ in 0..n % 20 {
            let polled = poll_fn(|context| Poll::Ready(begin.as_mut().poll(context).is_ready()));
            if polled.await {
                break;
            }
            tokio::time::sleep(Duration::from_micros(20)).await; // the fault itself
        }
        drop(begin);
        let mut tx = database.begin(Shard(0)).await.unwrap();
        sqlx::raw_sql("insert into t values (1)").execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    database.close().await;
    let count = world.sql(&urls[0], "select 'rows', count(*) from t");
    assert!(count.contains("100"), "what was acknowledged is there: {count}");
}

#[tokio::test]
async fn a_cancelled_read_leaves_nothing_for_the_next_one() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 1).await;
    for n in 0..100_i32 {
        // Dropped at its n-th wait: before its answer, in the middle of it, or after it.
        let mut read = Box::pin(async {
            let rows = sqlx::raw_sql("select -1 from generate_series(1, 5000)");
            rows.fetch_all(database.sole()).await.map(drop)
        });
        for _ in 0..n % 20 {
            let polled = poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_ready()));
            if polled.await {
                break;
            }
            tokio::time::sleep(Duration::from_micros(50)).await; // the fault itself
        }
        drop(read);
        let row = sqlx::raw_sql("select 7").fetch_one(database.sole()).await.unwrap();
        assert_eq!(row.get::<i32, _>(0), 7, "the answer is to this question");
    }
}

#[tokio::test]
async fn an_error_costs_no_connection() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 1).await;
    let first = backend(&database).await;
    for _ in 0..10 {
        let refused = sqlx::raw_sql("select 1 / 0").fetch_one(database.sole()).await;
        assert!(refused.is_err());
        let mut tx = database.begin(Shard(0)).await.unwrap();
        assert!(sqlx::raw_sql("select 1 / 0").execute(&mut *tx).await.is_err());
        drop(tx);
        assert_eq!(backend(&database).await, first);
    }
}

#[tokio::test]
async fn sessions_that_the_server_ended_meanwhile_cost_no_transaction() {
    let world = World::new();
    let urls = world.databases("database", 1);
    let database = connect(&urls, 6).await;
    let six = join_all((0..6).map(|_| database.begin(Shard(0)))).await;
    for tx in six {
        tx.unwrap().commit().await.unwrap();
    }
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    world.sql(&urls[0], end);
    for _ in 0..6 {
        database.begin(Shard(0)).await.unwrap().commit().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_opens_too_slowly_for_its_caller_serves_the_next() {
    let world = World::new();
    let url = by_a_slow_way(&world.databases("database", 1)[0]).await;
    let options = Options {
        database_urls: vec![url.into()],
        database_connections: 1.try_into().unwrap(),
        database_acquire_ms: 200.try_into().unwrap(),
    };
    let database = Database::connect(&options, "database test").await.unwrap();
    let begin = async || database.begin(Shard(0)).await.ok();
    eventually("a transaction", SOON, begin).await.commit().await.unwrap();
}

/// The URL of a relay that lets each new connection wait.
async fn by_a_slow_way(url: &str) -> String {
    let port = url.parse::<PgConnectOptions>().unwrap().get_port();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(600)).await; // the fault itself
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url.replace(&format!(":{port}"), &format!(":{slow}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_of_work_outlives_its_caller() {
    let world = World::new();
    let urls = world.databases("database", 1);
    world.sql(&urls[0], "create table t (n int)");
    let database = connect(&urls, 4).await;
    for _ in 0..50 {
        let (mine, own) = (database.clone(), database.clone());
        let mut work = Box::pin(async move {
            own.clone()
                .unit_of_work(async move {
                    let mut tx = own.begin(Shard(0)).await.unwrap();
                    sqlx::raw_sql("insert into t values (1)").execute(&mut *tx).await.unwrap();
                    tx.commit().await.unwrap();
                })
                .await;
        });
        let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_ready()));
        begun.await;
        drop((work, mine));
    }
    eventually("all are committed", SOON, async || {
        let row = sqlx::raw_sql("select count(*) from t").fetch_one(database.sole()).await;
        (row.unwrap().get::<i64, _>(0) == 50).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_start_together_migrate_once() {
    let world = World::new();
    let urls = world.databases("database", 2);
    let copies = join_all((0..6).map(|_| connect(&urls, 4))).await;
    let migrated = copies.iter().map(|copy| copy.migrate(sqlx::migrate!("tests/migrations")));
    for done in join_all(migrated).await {
        done.unwrap();
    }
    for url in &urls {
        let rows = world.sql(url, "select 'rows', count(*) from migrated");
        assert!(rows.contains('1'), "{rows}");
    }
}

/// Notes a migration that this release does not know, and whether it succeeded.
fn note_migration(world: &World, url: &str, version: i64, success: bool) {
    let noted = format!(
        "insert into _sqlx_migrations values ({version}, 'of another', now(), {success}, '', 0)"
    );
    world.sql(url, &noted);
}

#[tokio::test]
async fn a_release_serves_a_schema_that_is_newer() {
    let world = World::new();
    let urls = world.databases("database", 2);
    let database = connect(&urls, 1).await;
    database.migrate(sqlx::migrate!("tests/migrations")).await.unwrap();
    for newer in [7, 8] {
        note_migration(&world, &urls[1], newer, true);
        database.migrate(sqlx::migrate!("tests/migrations")).await.unwrap();
    }
}

#[tokio::test]
async fn a_schema_that_is_no_releases_is_refused() {
    for (version, success) in [(0, true), (7, false)] {
        let world = World::new();
        let urls = world.databases("database", 1);
        let database = connect(&urls, 1).await;
        database.migrate(sqlx::migrate!("tests/migrations")).await.unwrap();
        note_migration(&world, &urls[0], version, success);
        let refused = database.migrate(sqlx::migrate!("tests/migrations")).await.unwrap_err();
        let said = format!("{refused:#}");
        assert!(said.contains("database 0") && said.contains(&version.to_string()), "{said}");
    }
}

#[tokio::test]
async fn shards_are_spread_in_ranges() {
    let world = World::new();
    let database = connect(&world.databases("database", 3), 1).await;
    let homes: Vec<usize> = (0..=255).map(|shard| database.index_of(Shard(shard))).collect();
    assert!(homes.is_sorted());
    for index in 0..3 {
        let owned = homes.iter().filter(|home| **home == index).count();
        assert!((85..=86).contains(&owned), "database {index} owns {owned}");
    }
}
