//! The consumer on a bus in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::sync::Mutex;

use database::Tx;
use testkit::eventually;
use tokio_util::sync::DropGuard;

use super::*;
use crate::HandlerError;
use crate::memory::{Bench, MemorySource, events};

const SOON: Duration = Duration::from_secs(30);
/// A statement that a handler may run, and whatever it does to it: the connection ends.
const CONNECTION_LOST: &str = "select pg_terminate_backend(pg_backend_pid())";
/// SQLSTATE class 42.
const NO_SUCH_TABLE: &str = "select from nowhere";
const NOTHING: &str = "select 1";

/// Writes a row for each event, and then runs a statement.
#[derive(Clone)]
struct Effects(Arc<Mutex<&'static str>>);

impl Effects {
    fn and_then(statement: &'static str) -> Self {
        Self(Arc::new(Mutex::new(statement)))
    }
}

impl Handler for Effects {
    fn wants(&self, _: &str) -> bool {
        true
    }

    #[expect(clippy::disallowed_methods, reason = "a table of the test's own")]
    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        let statement = *self.0.lock().unwrap();
        Box::pin(async move {
            let ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
            let write = sqlx::query("insert into effects select unnest($1::uuid[])").bind(ids);
            write.execute(&mut **tx).await?;
            sqlx::query(statement).execute(&mut **tx).await?;
            Ok(())
        })
    }
}

impl Bench {
    fn worker(&self, source: &MemorySource, handler: Effects) -> Worker<MemorySource> {
        Worker {
            name: "test-from-order".into(),
            stream: "SOUK_ORDER".to_owned(),
            handler: Arc::new(handler),
            source: source.clone(),
            database: self.database.clone(),
            batch_interval: Duration::from_millis(20),
        }
    }

    /// Consumes until the guard is dropped.
    fn consume(&self, source: &MemorySource, handler: Effects) -> DropGuard {
        let (worker, stop) = (self.worker(source, handler), CancellationToken::new());
        let stopped = stop.clone();
        tokio::spawn(async move { worker.consume_for_ever(&stopped).await });
        stop.drop_guard()
    }
}

async fn acknowledged(source: &MemorySource, messages: usize) {
    eventually("all are acknowledged", SOON, async || {
        (source.acknowledged().len() == messages).then_some(())
    })
    .await;
}

/// How long a message rests, from its first failure to its fifth and later.
fn backs_off(naks: &[Option<Duration>]) {
    let rests = [200, 400, 800, 1600, 2000].map(|ms| Some(Duration::from_millis(ms)));
    let expected = rests.iter().chain(std::iter::repeat(&rests[4]));
    assert!(naks.iter().eq(expected.take(naks.len())), "{naks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_its_transaction_commits() {
    let bench = Bench::new().await;
    // It fails when everything but the commit is done.
    bench.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin
             raise serialization_failure;
         end $$;
         create constraint trigger refuse after insert on effects initially deferred
         for each row execute function refuse()",
    );
    let source = MemorySource::new();
    let _consuming = bench.consume(&source, Effects::and_then(NOTHING));
    source.deliver(&events(3));
    eventually("each was tried twice", SOON, async || (source.naks().len() >= 6).then_some(()))
        .await;
    assert_eq!(source.acknowledged(), [""; 0]);
    assert_eq!(bench.count("effects"), 0);
    bench.sql("drop trigger refuse on effects");
    acknowledged(&source, 3).await;
    assert_eq!(bench.count("effects"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_backs_off_and_dead_letters_nothing() {
    for outage in [CONNECTION_LOST, NO_SUCH_TABLE] {
        let bench = Bench::new().await;
        let (source, handler) = (MemorySource::new(), Effects::and_then(outage));
        let _consuming = bench.consume(&source, handler.clone());
        source.deliver(&events(1));
        eventually("tried more often than poison is", SOON, async || {
            (source.naks().len() > 7).then_some(())
        })
        .await;
        assert_eq!(source.acknowledged(), [""; 0], "{outage}");
        *handler.0.lock().unwrap() = NOTHING;
        acknowledged(&source, 1).await;
        backs_off(&source.naks());
        assert_eq!(bench.count("effects"), 1);
        let counted = ["messaging.failures", "messaging.dead_letters"].map(|it| bench.count(it));
        assert_eq!(counted, [0, 0], "{outage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifth_failure_of_an_event_is_its_dead_letter() {
    let bench = Bench::new().await;
    let source = MemorySource::new();
    let _consuming = bench.consume(&source, Effects::and_then("select 1 / 0"));
    source.deliver(&events(1));
    acknowledged(&source, 1).await;
    assert_eq!(source.naks().len(), 4);
    backs_off(&source.naks());
    let dead = "messaging.dead_letters where tries = 5 and error like '%division by zero%'";
    assert_eq!(bench.count(dead), 1);
    assert_eq!(bench.count("messaging.inbox"), 1);
    assert_eq!(bench.count("effects"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_sent_twice_has_one_effect() {
    let bench = Bench::new().await;
    let source = MemorySource::new();
    let _consuming = bench.consume(&source, Effects::and_then(NOTHING));
    let once = events(2);
    source.deliver(&[&once[..], &once].concat()); // in one batch
    acknowledged(&source, 4).await;
    source.deliver(&once); // and later
    acknowledged(&source, 6).await;
    assert_eq!(bench.count("effects"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_event_is_acknowledged_as_a_dead_letter() {
    let bench = Bench::new().await;
    let source = MemorySource::new();
    source.deliver(&events(1));
    source.state().is_no_event("no headers");
    let _consuming = bench.consume(&source, Effects::and_then(NOTHING));
    acknowledged(&source, 1).await;
    assert_eq!(bench.count("messaging.dead_letters where error = 'no headers'"), 1);
    assert_eq!(bench.count("effects"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_whose_pull_is_refused_opens_another_inbox() {
    let bench = Bench::new().await;
    let source = MemorySource::new();
    source.state().refusal = Some("409 Consumer Deleted");
    let _consuming = bench.consume(&source, Effects::and_then(NOTHING));
    source.deliver(&events(1));
    acknowledged(&source, 1).await;
    assert_eq!(source.state().opened, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_beyond_the_end_of_its_stream_is_created_again() {
    let bench = Bench::new().await;
    let source = MemorySource::new();
    let worker = bench.worker(&source, Effects::and_then(NOTHING));
    let health = worker.check_and_repair(Health::CaughtUp).await.unwrap();
    assert_eq!((health, source.state().recreated), (Health::CaughtUp, 0));
    source.state().info.ack_floor.stream_sequence = 1;
    let broken = worker.check_and_repair(Health::CaughtUp).await.unwrap_err().to_string();
    assert_eq!(broken, "the consumer was silent: it was created again");
    assert_eq!(source.state().recreated, 1);
}
