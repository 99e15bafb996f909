//! A cluster of three servers: who leads a stream may die, or come back with less than it had, while
//! the connections to the others hold.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::future::join;
use kernel::Shard;
use stores::{Member, Server, Stores};
use testkit::eventually;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bench::{Context, Effects, SOON, bus_at};
use crate::bus_loss::{copy, published, published_within};

const STREAM: &str = "SOUK_ORDER";
/// For leaders that are chosen, and streams and consumers that are made anew, perhaps more than once: each of these waits for half
/// a minute before it is tried.
const HEALED: Duration = Duration::from_secs(300);
/// In which servers that can agree on a leader have done so. Then the provisioner deletes the stream, and nobody can make one of three
/// copies while a server stands still.
const AGREED: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_when_its_leader_is_killed() {
    let mut context = Context::with_nats(3, 2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    context.consume(Effects::default(), &stop);
    confirm(&context, 20).await;
    context.settled(20).await;
    // Once while nothing waits, and once in the middle of everything.
    for (round, before) in [(1, 20), (2, 80)] {
        let leader = leader(context.world.nats_url()).await;
        let pid = pid(&mut context, &leader);
        let dying = async {
            if round == 2 {
                let some = async || (context.count("effects") > before).then_some(());
                eventually("some of them have their effect", SOON, some).await;
            }
            signal(pid, "KILL");
        };
        join(confirm(&context, 60), dying).await;
        context.settled(before + 60).await;
        published(&context, before + 60).await;
        let now = self::leader(&others(&context, &leader)).await;
        assert_ne!(now, leader);
        context.world.nats().start_server(Server::Nats).unwrap();
    }
    assert_eq!(context.count("messaging.inbox"), 140, "one row for each event");
    assert_eq!(context.count("messaging.dead_letters"), 0);
}

/// Two of three lose power, and what they had not synced. The third, which has it, stands still until
/// the others agree without it, or cannot.
#[tokio::test(flavor = "multi_thread")]
async fn what_most_of_a_cluster_has_forgotten_is_sent_again() {
    let mut context = Context::with_nats(3, 2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    confirm(&context, 20).await;
    published(&context, 20).await;
    let forgetful = [folder(&context, "nats"), folder(&context, "nats-2")];
    let old = [context.world.folder().join("old"), context.world.folder().join("old-2")];
    context.world.nats().stop_server(Server::Nats).unwrap();
    forgetful.iter().zip(&old).for_each(|(data, old)| copy(data, old));
    context.world.nats().start_server(Server::Nats).unwrap();
    confirm(&context, 10).await;
    published_within(HEALED, &context, 30).await;

    // Nobody had read these ten.
    let paused = pid(&mut context, "nats-3");
    signal(paused, "STOP");
    for ((name, data), old) in ["nats", "nats-2"].into_iter().zip(&forgetful).zip(&old) {
        kill(&mut context, name).await;
        std::fs::remove_dir_all(data).unwrap();
        copy(old, data);
    }
    context.world.nats().start_server(Server::Nats).unwrap();
    // Two that have forgotten the same may never agree (ADR 9).
    let agreed = timeout(AGREED, leader(&others(&context, "nats-3"))).await;
    println!("they have agreed without the third: {}", agreed.is_ok());
    confirm(&context, 60).await;
    signal(paused, "CONT");
    // Servers that remember differently may choose their leader more than once.
    published_within(HEALED, &context, 90).await;
    context.consume(Effects::default(), &stop);
    // The server that delivers may be the one that remembers differently. It takes two looks at a silent
    // consumer to see that, and its successor may be on the same server.
    eventually("every event has its effect", HEALED, async || {
        (context.count("effects") >= 90).then_some(())
    })
    .await;
    context.settled(90).await;
}

/// A stream that one server of the cluster has alone, and a relay that is connected to another.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_forgot_is_sent_again_over_a_connection_to_another() {
    let mut context = Context::with_replicas(1, 3, 2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    let url = context.world.nats_url().to_owned();
    let first = url.split(',').next().unwrap();
    // Where the stream goes is the cluster's choice; the relay goes elsewhere.
    context.bus = bus_at(first).await;
    let before = CancellationToken::new();
    let relaying = context.relay(&before);
    confirm(&context, 20).await;
    published(&context, 20).await;
    before.cancel();
    relaying.await.unwrap().unwrap();
    let holder = leader(&url).await;
    context.bus = bus_at(others(&context, &holder).split(',').next().unwrap()).await;
    context.relay(&stop);
    let (data, old) = (folder(&context, &holder), context.world.folder().join("old"));
    kill(&mut context, &holder).await;
    copy(&data, &old);
    context.world.nats().start_server(Server::Nats).unwrap();
    confirm(&context, 10).await;
    published_within(HEALED, &context, 30).await;
    let connected = context.bus.client().statistics().connects.load(SeqCst);

    // Nobody had read these ten, and more than they are take their places.
    kill(&mut context, &holder).await;
    confirm(&context, 60).await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    context.world.nats().start_server(Server::Nats).unwrap();
    published_within(HEALED, &context, 90).await;
    assert_eq!(context.bus.client().statistics().connects.load(SeqCst), connected, "it held");
    context.consume(Effects::default(), &stop);
    context.settled(90).await;
}

/// The only server of the cluster that has the stream is dead, and stays so.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_can_lead_is_filled_again_on_other_servers() {
    let mut context = Context::with_replicas(1, 3, 2).await;
    let stop = CancellationToken::new();
    let _ended = stop.clone().drop_guard();
    context.relay(&stop);
    confirm(&context, 20).await;
    published(&context, 20).await;
    let holder = leader(context.world.nats_url()).await;
    kill(&mut context, &holder).await;
    // Nobody had read these, nor those before.
    confirm(&context, 10).await;
    published_within(HEALED, &context, 30).await;
    context.consume(Effects::default(), &stop);
    context.settled(30).await;
}

async fn confirm(context: &Context, events: u8) {
    for number in 0..events {
        context.confirm(Shard(number * 4)).await;
    }
}

/// Who leads the stream, as these servers say.
async fn leader(url: &str) -> String {
    let bus = bus_at(url).await;
    let jetstream = async_nats::jetstream::new(bus.client().clone());
    eventually("the stream has a leader", HEALED, async || {
        let stream = jetstream.get_stream(STREAM).await.ok()?;
        stream.cached_info().cluster.as_ref()?.leader.clone()
    })
    .await
}

/// The addresses of all servers but one.
fn others(context: &Context, name: &str) -> String {
    let number = usize::from(Member::of_name(name).unwrap().number);
    let urls = context.world.nats_url().split(',').enumerate();
    let others = urls.filter(|(at, _)| *at != number).map(|(_, url)| url);
    others.collect::<Vec<_>>().join(",")
}

fn folder(context: &Context, name: &str) -> PathBuf {
    Stores::data_folder_of(&context.world.folder().join("nats")).unwrap().0.join(name)
}

fn pid(context: &mut Context, name: &str) -> u32 {
    let member = Member::of_name(name).unwrap();
    let pids = context.world.nats().endpoints().unwrap().pids;
    pids.into_iter().find(|(of, _)| *of == member).unwrap().1
}

async fn kill(context: &mut Context, name: &str) {
    let pid = pid(context, name);
    signal(pid, "KILL");
    let gone = async || {
        context.world.nats().dead(); // which reaps it
        stores::birth(pid).is_none().then_some(())
    };
    eventually("it is dead", SOON, gone).await;
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "{name} {pid}");
}
