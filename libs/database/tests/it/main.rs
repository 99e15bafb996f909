//! Reads, writes, transactions and migrations on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

mod migrating;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use context::Current;
use database::{Database, Freshness, ONLY_SHARD, Options};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use kernel::Shard;
use sqlx::Error;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use testkit::{World, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(20);

async fn connect(urls: &[String], connections: u32) -> Database {
    let options = Options {
        database_urls: urls.iter().map(|url| url.clone().into()).collect(),
        database_connections: connections.try_into().unwrap(),
        database_acquire_ms: testkit::ACQUIRE_MS.try_into().unwrap(),
    };
    Database::connect(&options, "database test").await.unwrap()
}

/// The id of the server's process, which names a connection.
async fn reader(database: &Database) -> Result<i32, Error> {
    let ask = database.read(ONLY_SHARD, Freshness::Primary, |db| {
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(db).boxed()
    });
    ask.await
}

async fn writer(database: &Database) -> Result<i32, Error> {
    let ask = database.transaction(ONLY_SHARD, |tx| {
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut **tx).boxed()
    });
    ask.await
}

async fn run(db: &mut PgConnection, sql: &'static str) -> Result<(), Error> {
    sqlx::raw_sql(sql).execute(db).await.map(drop)
}

/// Polls so often, then drops it: as a request's future is, in the middle of anything.
async fn drop_after<F: Future>(polls: i32, future: F) {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let polled = poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready()));
        if polled.await {
            break;
        }
        tokio::time::sleep(Duration::from_micros(50)).await; // the fault itself
    }
}

#[tokio::test]
async fn a_connection_serves_one_after_the_other_whatever_came_of_it() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 1).await;
    let (reads, writes) = (reader(&database).await.unwrap(), writer(&database).await.unwrap());
    for _ in 0..10 {
        let bad =
            database.read(ONLY_SHARD, Freshness::Primary, |db| run(db, "select 1 / 0").boxed());
        bad.await.unwrap_err();
        database.write(ONLY_SHARD, |db| run(db, "select 1 / 0").boxed()).await.unwrap_err();
        database.transaction(ONLY_SHARD, |tx| run(tx, "select 1 / 0").boxed()).await.unwrap_err();
        let refused: Result<(), Error> =
            database.transaction(ONLY_SHARD, |_| async { Err(Error::RowNotFound) }.boxed()).await;
        refused.unwrap_err();
        assert_eq!(reader(&database).await.unwrap(), reads);
        assert_eq!(writer(&database).await.unwrap(), writes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_has_begun_runs_to_completion_when_its_caller_is_cancelled() {
    let world = World::new();
    let urls = world.databases("database", 1);
    world.sql(&urls[0], "create table t (n int)");
    let database = connect(&urls, 1).await;
    let (reads, writes) = (reader(&database).await.unwrap(), writer(&database).await.unwrap());
    let begun = Arc::new(AtomicI64::new(0));
    for n in 0..100 {
        let rows = database.read(ONLY_SHARD, Freshness::Primary, |db| {
            sqlx::raw_sql("select -1 from generate_series(1, 5000)").fetch_all(db).boxed()
        });
        drop_after(n % 20, rows).await;
        assert_eq!(reader(&database).await.unwrap(), reads, "the answer is to this question");
        let begins = Arc::clone(&begun);
        let write = database.transaction(ONLY_SHARD, move |tx| {
            begins.fetch_add(1, Ordering::Relaxed);
            let insert = "insert into t values (1)";
            async move { run(tx, insert).await }.boxed()
        });
        drop_after(n % 20, write).await;
        assert_eq!(writer(&database).await.unwrap(), writes);
    }
    database.close().await;
    let count = world.sql(&urls[0], "select count(*) from t");
    let begun = begun.load(Ordering::Relaxed);
    assert!(begun > 10, "{begun} have begun");
    assert_eq!(count.trim(), begun.to_string());
}

#[tokio::test]
async fn work_that_goes_on_keeps_its_place_among_the_calls() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 1).await;
    let place = Arc::new(());
    let call = Current::call("test", None, Arc::clone(&place));
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (end, ends) = oneshot::channel::<()>();
    let work = database.transaction(ONLY_SHARD, move |_| {
        let work = async move {
            begun.send(Current::capture().name()).unwrap();
            ends.await.map_err(|_| Error::RowNotFound)
        };
        work.boxed()
    });
    let mut work = Box::pin(call.scope(work));
    let name = tokio::select! {
        _ = &mut work => unreachable!("it waits"),
        name = begins.recv() => name,
    };
    drop(work);
    assert_eq!((name, Arc::strong_count(&place)), (Some("test"), 2));
    end.send(()).unwrap();
    eventually("the place is free", SOON, async || (Arc::strong_count(&place) == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn nobody_waits_for_a_connection_longer_than_the_call_has() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 1).await;
    let other = database.clone();
    let (end, ends) = oneshot::channel::<()>();
    let holder = tokio::spawn(async move {
        let hold = async move { ends.await.map_err(|_| Error::RowNotFound) };
        other.transaction(ONLY_SHARD, move |_| hold.boxed()).await
    });
    eventually("it is in use", SOON, async || {
        let call = Current::background("test").with_deadline(Instant::now());
        let refused = call.scope(writer(&database)).await;
        matches!(refused, Err(Error::PoolTimedOut)).then_some(())
    })
    .await;
    end.send(()).unwrap();
    holder.await.unwrap().unwrap();
}

/// Whoever hears of the error may want the same lock.
#[tokio::test]
async fn a_transaction_that_answers_an_error_has_let_go_of_its_locks() {
    let world = World::new();
    let database = connect(&world.databases("database", 1), 4).await;
    for _ in 0..200 {
        let locks = database.transaction(ONLY_SHARD, |tx| {
            let refuse = async move {
                let lock = "select pg_try_advisory_xact_lock(7)";
                let locked: bool = sqlx::query_scalar(lock).fetch_one(&mut **tx).await?;
                assert!(locked, "the one before has it still");
                Err::<(), _>(Error::RowNotFound) // whatever it is: it failed
            };
            refuse.boxed()
        });
        locks.await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_costs_the_connections_in_use_and_no_other() {
    let world = World::new();
    let way = Way::to(&world.databases("database", 1)[0]).await;
    let database = connect(std::slice::from_ref(&way.url), 2).await;
    // Two readers are open; one of them idles while the other gets no answer.
    let both = async || {
        eventually("two readers at once", SOON, async || {
            let readers = join_all([reader(&database), reader(&database)]).await;
            let pids: BTreeSet<i32> = readers.into_iter().map(Result::unwrap).collect();
            (pids.len() == 2).then_some(pids)
        })
        .await
    };
    let open = both().await;
    way.silent.store(true, Ordering::Relaxed);
    let late = reader(&database).await.unwrap_err(); // in its own time, which is ten seconds
    assert!(database::is_transient(&late), "the next try may be answered");
    way.silent.store(false, Ordering::Relaxed);
    let still = both().await;
    assert_eq!(open.intersection(&still).count(), 1, "{open:?} {still:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_refused_at_once_and_found_again() {
    let world = World::new();
    let urls = world.databases("database", 2);
    let mut way = Way::to(&urls[1]).await;
    let database = connect(&[urls[0].clone(), way.url.clone()], 2).await;
    assert!(database.clone().check().await.is_ok());
    way.close();
    let [here, away] = [Shard(0), Shard(255)];
    let ask = async |shard| {
        database.read(shard, Freshness::Primary, |db| run(db, "select 1").boxed()).await
    };
    eventually("it is lost", SOON, async || {
        assert!(ask(here).await.is_ok(), "the other has nothing to do with it");
        (ask(away).await.is_err() && database.unreachable() == [1]).then_some(())
    })
    .await;
    // A hundred callers who each waited for a connection would take most of an hour.
    for _ in 0..100 {
        assert!(database::is_transient(&ask(away).await.unwrap_err()));
    }
    way.open().await;
    eventually("it is found again", SOON, async || database.unreachable().is_empty().then_some(()))
        .await;
    ask(away).await.unwrap();
}

/// A relay in front of a database.
struct Way {
    url: String,
    port: u16,
    silent: Arc<AtomicBool>,
    to: u16,
    serving: Option<JoinHandle<()>>,
}

impl Way {
    async fn to(url: &str) -> Self {
        let to = url.parse::<PgConnectOptions>().unwrap().get_port();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = url.replace(&format!(":{to}"), &format!(":{port}"));
        let mut way = Self { url, port, silent: Arc::default(), to, serving: None };
        way.serve(listener);
        way
    }

    async fn open(&mut self) {
        self.serve(TcpListener::bind(("127.0.0.1", self.port)).await.unwrap());
    }

    fn serve(&mut self, listener: TcpListener) {
        let (to, silent) = (self.to, Arc::clone(&self.silent));
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(pass(client, to, Arc::clone(&silent)));
            }
        }));
    }

    /// Ends every connection, and takes no more.
    fn close(&mut self) {
        self.serving.take().unwrap().abort();
    }
}

/// Passes on what a client says; while it is to be silent it swallows that, for ever.
async fn pass(mut client: TcpStream, to: u16, silent: Arc<AtomicBool>) {
    let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
    let (mut asks, mut answers) = ([0; 8192], [0; 8192]);
    let mut swallowed = false;
    loop {
        let passed = tokio::select! {
            asked = client.read(&mut asks) => match asked {
                Ok(count) if count > 0 => {
                    swallowed |= silent.load(Ordering::Relaxed);
                    if swallowed { Ok(()) } else { server.write_all(&asks[..count]).await }
                }
                _ => return,
            },
            answered = server.read(&mut answers) => match answered {
                Ok(count) if count > 0 => client.write_all(&answers[..count]).await,
                _ => return,
            },
        };
        if passed.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn sessions_that_the_server_ended_meanwhile_cost_no_transaction() {
    let world = World::new();
    let urls = world.databases("database", 1);
    let database = connect(&urls, 6).await;
    let six = join_all((0..6).map(|_| writer(&database))).await;
    assert!(six.iter().all(Result::is_ok));
    let end = "select pg_terminate_backend(pid, 10000) from pg_stat_activity \
               where datname = current_database() and pid <> pg_backend_pid()";
    world.sql(&urls[0], end);
    for _ in 0..6 {
        writer(&database).await.unwrap();
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
    eventually("a transaction", SOON, async || writer(&database).await.ok()).await;
}

#[tokio::test]
async fn a_start_waits_for_one_connection_and_not_for_all_however_patient_callers_are() {
    let world = World::new();
    let opened = Arc::new(Semaphore::new(1));
    let url = by_a_gate(&world.databases("database", 1)[0], Arc::clone(&opened)).await;
    let options = Options {
        database_urls: vec![url.into()],
        database_connections: 12.try_into().unwrap(),
        database_acquire_ms: 600_000.try_into().unwrap(),
    };
    let starting = Database::connect(&options, "database test");
    let database = timeout(SOON, starting).await.expect("only the first is waited for").unwrap();
    opened.add_permits(100);
    writer(&database).await.unwrap();
}

/// The URL of a relay that lets a new connection wait for a permit, which it uses up.
async fn by_a_gate(url: &str, opened: Arc<Semaphore>) -> String {
    by_a_way(url, move || {
        let opened = Arc::clone(&opened);
        async move { opened.acquire().await.unwrap().forget() }.boxed()
    })
    .await
}

/// The URL of a relay that lets each new connection wait.
async fn by_a_slow_way(url: &str) -> String {
    by_a_way(url, || tokio::time::sleep(Duration::from_millis(600)).boxed()).await // the fault itself
}

async fn by_a_way(url: &str, wait: impl Fn() -> BoxFuture<'static, ()> + Send + 'static) -> String {
    let port = url.parse::<PgConnectOptions>().unwrap().get_port();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let wait = wait();
            tokio::spawn(async move {
                wait.await;
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url.replace(&format!(":{port}"), &format!(":{slow}"))
}

#[tokio::test]
async fn shards_are_spread_in_ranges() {
    let world = World::new();
    let database = connect(&world.databases("database", 3), 1).await;
    let spread = database.one_shard_per_database().map(|home| database.index_of(home));
    assert_eq!(spread.collect::<Vec<_>>(), [0, 1, 2]);
    let homes: Vec<usize> = (0..=255).map(|shard| database.index_of(Shard(shard))).collect();
    assert!(homes.is_sorted());
    for index in 0..3 {
        let owned = homes.iter().filter(|home| **home == index).count();
        assert!((85..=86).contains(&owned), "database {index} owns {owned}");
    }
}
