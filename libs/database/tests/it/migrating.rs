//! What a context's databases become when it starts.

use database::Freshness;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use kernel::Shard;
use sqlx::migrate::Migrator;
use sqlx::{Connection as _, Executor as _, PgConnection};
use testkit::{World, eventually};

use crate::{SOON, Way, connect, run};

fn schema() -> Vec<Migrator> {
    vec![sqlx::migrate!("tests/migrations")]
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_start_together_migrate_once() {
    let world = World::new();
    let urls = world.databases("database", 2);
    let copies = join_all((0..6).map(|_| connect(&urls, 4))).await;
    let migrated = copies.iter().map(|copy| copy.migrate(schema));
    for done in join_all(migrated).await {
        done.unwrap();
    }
    for url in &urls {
        let rows = world.sql(url, "select 'rows', count(*) from migrated");
        assert!(rows.contains('1'), "{rows}");
    }
}

/// A migration waits for a lock no longer than other statements: meanwhile everybody waits behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_does_not_get_its_lock_tries_again() {
    let world = World::new();
    let urls = world.databases("database", 1);
    let database = connect(&urls, 1).await;
    let mut held = PgConnection::connect(&urls[0]).await.unwrap();
    held.execute("begin; create table migrated (at timestamptz)").await.unwrap(); // as the migration wants to
    let migrating = tokio::spawn(async move { database.migrate(schema).await });
    let waiting = "select query_start from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()";
    let mut first = String::new();
    let twice = eventually("it has given up once and waits again", 4 * SOON, async || {
        let now = world.sql(&urls[0], waiting);
        if first.is_empty() {
            first.clone_from(&now);
        }
        (!now.is_empty() && now != first).then_some(())
    });
    twice.await;
    held.execute("rollback").await.unwrap();
    migrating.await.unwrap().unwrap();
    assert!(world.sql(&urls[0], "select 'rows', count(*) from migrated").contains('1'));
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
    database.migrate(schema).await.unwrap();
    for newer in [7, 8] {
        note_migration(&world, &urls[1], newer, true);
        database.migrate(schema).await.unwrap();
    }
}

#[tokio::test]
async fn a_schema_that_is_no_releases_is_refused() {
    for (version, success) in [(0, true), (7, false)] {
        let world = World::new();
        let urls = world.databases("database", 1);
        let database = connect(&urls, 1).await;
        database.migrate(schema).await.unwrap();
        note_migration(&world, &urls[0], version, success);
        let refused = database.migrate(schema).await.unwrap_err();
        let said = format!("{refused:#}");
        assert!(said.contains("database 0") && said.contains(&version.to_string()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_at_the_start_costs_its_own_users_only() {
    let world = World::new();
    let urls = world.databases("database", 2);
    let mut way = Way::to(&urls[1]).await;
    way.close();
    let database = connect(&[urls[0].clone(), way.url.clone()], 2).await;
    database.migrate(schema).await.unwrap();
    let ask = async |shard| {
        let sql = "select * from migrated";
        database.read(shard, Freshness::Primary, |db| run(db, sql).boxed()).await
    };
    let [here, away] = [Shard(0), Shard(255)];
    ask(here).await.unwrap();
    assert!(database::is_transient(&ask(away).await.unwrap_err()));
    assert_eq!(database.unreachable(), [1]);
    assert!(database.clone().check().await.is_ok(), "ready for the others");
    way.open().await;
    eventually("it is met, and migrated", SOON, async || ask(away).await.ok()).await;
    assert!(database.unreachable().is_empty());
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_other_shards_is_refused_by_name() {
    let world = World::new();
    let urls = world.databases("database", 2);
    connect(&urls, 1).await.migrate(schema).await.unwrap();
    let [one, other] = [&urls[0], &urls[1]];
    for (urls, complaint) in [
        (
            vec![other.clone(), one.clone()],
            "database 0: it has the shards 128 to 255, and is configured for 0 to 127",
        ),
        (
            vec![one.clone(), one.clone()],
            "database 1: it has the shards 0 to 127, and is configured for 128 to 255",
        ),
        (
            vec![one.clone()],
            "database 0: it has the shards 0 to 127, and is configured for 0 to 255",
        ),
    ] {
        let refused = connect(&urls, 1).await.migrate(schema).await.unwrap_err();
        assert!(format!("{refused:#}").contains(complaint), "{refused:#}");
    }
    connect(&urls, 1).await.migrate(schema).await.unwrap();
}
