//! What must not be missed, and who must come back, whatever happens meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use database::{Database, ONLY_SHARD};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use kernel::{OrderId, Shard};
use messaging::Outgoing;
use proto::order::v1::OrderConfirmed;
use stores::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, bus_at, connect_with};
use crate::bus_loss::published;

const WRITERS: u64 = 32;
const STEPS: u64 = 15;

/// A transaction that ends late has a position below those that were published long ago. One that
/// stays open elsewhere on the server hides nothing.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a scenario, told in order")]
async fn nothing_is_skipped_that_commits_late_while_relays_die() {
    let context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.consume(Effects::default(), &stop);
    let elsewhere = database::Options {
        database_urls: context
            .world
            .databases("elsewhere", 1)
            .into_iter()
            .map(Into::into)
            .collect(),
        database_connections: 1.try_into().unwrap(),
        database_acquire_ms: testkit::ACQUIRE_MS.try_into().unwrap(),
    };
    let elsewhere = Database::connect_for_operator(&elsewhere, "elsewhere").await.unwrap();
    let over = CancellationToken::new();
    let until_over = over.clone();
    let open = tokio::spawn(async move {
        let open = elsewhere.transaction(ONLY_SHARD, move |tx| {
            let open = async move {
                let writes =
                    "set local idle_in_transaction_session_timeout = 0; create table written ()";
                sqlx::raw_sql(writes).execute(&mut **tx).await?;
                until_over.cancelled().await;
                Ok::<_, sqlx::Error>(())
            };
            open.boxed()
        });
        open.await
    });

    let writing = connect_with(&context.urls, WRITERS as u32).await;
    let writers = (0..WRITERS).map(|writer| {
        let (context, database) = (&context, &writing);
        async move {
            for step in 0..STEPS {
                let id = OrderId::mint_on(Shard(7));
                let event =
                    OrderConfirmed { order_id: id.to_string(), ..OrderConfirmed::default() };
                let (outbox, event) = (context.outbox.clone(), Outgoing::new(id, &event));
                let written = database.transaction(id.shard(), move |tx| {
                    let write = async move {
                        outbox.publish(tx, &[event]).await?;
                        sleep(Duration::from_millis((writer * 97 + step * 211) % 500)).await; // the fault itself
                        let commits = step % 3 > 0;
                        commits.then_some(()).ok_or(sqlx::Error::RowNotFound) // whatever it is: it failed
                    };
                    write.boxed()
                });
                assert_eq!(written.await.is_ok(), step % 3 > 0);
            }
        }
    });
    let relays = async {
        for nth in 0..10 {
            let relay = context.relay(&stop);
            sleep(Duration::from_millis(nth * 97 % 400)).await; // the fault itself
            relay.abort();
        }
        context.relay(&stop); // for the other half of the writing
        // From here on what commits late lies deeper than any fetch looks, and only the sweep finds it.
        let far = "select setval(pg_get_serial_sequence('messaging.outbox', 'position'), 50000)";
        context.world.sql(&context.urls[0], far);
    };
    tokio::join!(join_all(writers), relays);
    let committed = (WRITERS * STEPS * 2 / 3) as usize;
    context.settled(committed).await;
    published(&context, committed).await;
    over.cancel();
    open.await.unwrap().unwrap(); // it was open all the time
}

/// Its durable consumer is deleted, then the stream; the connection hangs for ever, without an end;
/// the server is away for longer than any of our timers.
#[tokio::test(flavor = "multi_thread")]
async fn relay_and_consumer_come_back_whatever_they_lost() {
    let mut context = Context::new(1).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let (wire, url) = wire_to(context.world.nats_url()).await;
    context.bus = bus_at(&url).await;
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    context.confirm(Shard(0)).await;
    context.settled(1).await;

    let jetstream = async_nats::jetstream::new(context.bus.client().clone());
    let stream = jetstream.get_stream("SOUK_ORDER").await.unwrap();
    stream.delete_consumer("test-from-order").await.unwrap();
    context.confirm(Shard(0)).await;
    context.settled(2).await;

    jetstream.delete_stream("SOUK_ORDER").await.unwrap();
    context.confirm(Shard(0)).await;
    context.settled(3).await;

    wire.send_replace(());
    context.confirm(Shard(0)).await;
    context.settled(4).await;

    context.world.nats().stop_server(Server::Nats).unwrap();
    context.confirm(Shard(0)).await;
    sleep(Duration::from_secs(20)).await; // the fault itself
    context.world.nats().start_server(Server::Nats).unwrap();
    context.settled(5).await;
}

/// A way to the server whose connections of that moment hang for ever whenever something is sent to
/// the first of the answer; the second is the server's URL that leads through it.
async fn wire_to(url: &str) -> (watch::Sender<()>, String) {
    let (before, to) = url.rsplit_once('@').unwrap();
    let to: SocketAddr = to.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = format!("{before}@{}", listener.local_addr().unwrap());
    let hang = watch::Sender::new(());
    let hangs = hang.subscribe();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut hangs = hangs.clone();
            hangs.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut far) = TcpStream::connect(to).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    Ok(()) = hangs.changed() => std::future::pending().await,
                }
            });
        }
    });
    (hang, through)
}
