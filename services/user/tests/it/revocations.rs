//! A sign-in that was ended is refused everywhere within five seconds, whatever becomes of Redis's list.

use std::time::{Duration, Instant};

use cache::redis::{Options, Redis};
use identity::{Verifier, revocations};
use kernel::{FamilyId, UserId};
use proto::user::v1::Session;
use redis::{Cmd, RedisResult};
use testkit::{World, eventually};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::shop::{PASSWORD, Shop, client, service};

/// What is promised while Redis is up.
const PROMISED: Duration = Duration::from_secs(5);
/// For what has to come right first.
const SOON: Duration = Duration::from_secs(30);
const KEY: &[u8] = b"souk:revoked-families:1";

async fn refused_soon(shop: &Shop, session: &Session, what: &str) {
    refused_within(SOON, shop, session, what).await;
}

async fn refused_within(limit: Duration, shop: &Shop, session: &Session, what: &str) {
    let refused = async || {
        let refused = shop.get(session).await.err()?;
        (refused.code() == Code::Unauthenticated).then_some(())
    };
    eventually(what, limit, refused).await;
}

/// A process that has just started refuses it from its first request on.
async fn refused_by_a_new_process(world: &World, redis_url: &str, session: &Session) {
    let redis = Options { redis_url: Some(redis_url.into()) };
    let options = identity::Options { token_key: world.token_key(), redis };
    eventually("the list is complete again", SOON, async || {
        let started = Verifier::start(&options, CancellationToken::new()).await;
        let (verifier, _reading) = started.unwrap();
        verifier.verify(&session.access_token).is_err().then_some(())
    })
    .await;
}

fn at(redis_url: &str) -> Redis {
    let options = Options { redis_url: Some(redis_url.into()) };
    Redis::new(&options, "test").unwrap().unwrap()
}

/// Redis's answer, refusals included.
async fn answer(redis: &Redis, words: &[&[u8]]) -> RedisResult<()> {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    let send = |mut to| async move {
        let answer = command.exec_async(&mut to).await;
        Ok(answer)
    };
    redis.run(SOON, send).await.unwrap()
}

async fn redis(redis_url: &str, words: &[&[u8]]) {
    answer(&at(redis_url), words).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_is_refused_by_every_copy_and_may_only_sign_out_again() {
    let mut shop = Shop::open().await;
    let copy = service(&shop.world, &shop.url).start(user::run).await;
    let at_copy = client(&shop.world, &copy);
    let session = shop.somebody("ann@shop.example").await;
    let elsewhere = shop.sign_in("ann@shop.example", PASSWORD).await.unwrap();
    shop.get(&session).await.unwrap(); // its token is remembered from now on

    shop.sign_out(&session).await.unwrap();
    let ended = Instant::now();
    refused_within(PROMISED, &shop, &session, "refused where it was ended").await;
    let at_first = std::mem::replace(&mut shop.client, at_copy);
    let left = PROMISED.saturating_sub(ended.elapsed());
    refused_within(left, &shop, &session, "refused by the other copy").await;
    println!("refused by both copies {:.1} s after it was ended", ended.elapsed().as_secs_f64());
    shop.sign_out(&session).await.unwrap();
    let refused = shop.erase(&session).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "who stole the token erases nothing");
    shop.get(&elsewhere).await.unwrap();

    drop(at_first);
    copy.stop().await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_came_twice_ends_the_access_of_whoever_has_it() {
    let shop = Shop::open().await;
    let stolen = shop.somebody("ann@shop.example").await;
    let next = shop.refresh(&stolen.refresh_token).await.unwrap();
    shop.refresh(&stolen.refresh_token).await.unwrap_err();
    refused_soon(&shop, &next, "the thief, or the owner").await;
    refused_soon(&shop, &stolen, "and the token before").await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_account_is_signed_out_and_may_be_erased_again() {
    let shop = Shop::open().await;
    let session = shop.somebody("ann@shop.example").await;
    shop.erase(&session).await.unwrap();
    refused_soon(&shop, &session, "there is nobody").await;
    shop.erase(&session).await.unwrap();
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_context_reads_the_list_as_its_own_user_of_redis() {
    let shop = Shop::open().await;
    let session = shop.somebody("ann@shop.example").await;
    shop.sign_out(&session).await.unwrap();
    for context in stores::redis_readers() {
        let redis_url = shop.world.redis_url_of(context);
        refused_by_a_new_process(&shop.world, redis_url, &session).await;
    }
    shop.running.stop().await;
}

/// The others are refused for want of the right, by a Redis that they have signed in to; with the code that writes it as well.
#[tokio::test(flavor = "multi_thread")]
async fn no_context_but_user_adds_to_the_list() {
    let world = World::new();
    for context in stores::redis_users() {
        let (redis, family) = (at(world.redis_url_of(context)), FamilyId::mint());
        let add = async || revocations::add(&redis, &[family], false).await;
        if context == "user" {
            eventually("user adds", SOON, async || add().await.ok()).await;
            continue;
        }
        let refused = answer(&redis, &[b"ZADD", KEY, b"1", family.to_string().as_bytes()]).await;
        let refused = refused.expect_err(context);
        assert_eq!(refused.code(), Some("NOPERM"), "{context}: {refused}");
        add().await.expect_err(context);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_lost_evicted_or_overwritten_is_complete_again_soon() {
    let world = World::new();
    // A database of Redis for this test alone: another shop would fill the list with what is its own.
    let [redis_url, operator] =
        [world.redis_url_of("user"), world.redis_url()].map(|url| format!("{url}/7"));
    let shop = Shop::open_with(world, Some(&redis_url)).await;
    let session = shop.somebody("ann@shop.example").await;
    shop.sign_out(&session).await.unwrap();
    refused_soon(&shop, &session, "refused").await;
    // Too long ago to be published again by itself.
    shop.sql("update revocations set revoked_at = now() - interval '1 minute'");
    let harms: [&[&[u8]]; 3] =
        [&[b"DEL", KEY], &[b"SET", KEY, b"garbage"], &[b"ZPOPMAX", KEY, b"9"]];
    for harm in harms {
        redis(&operator, harm).await;
        refused_by_a_new_process(&shop.world, &redis_url, &session).await;
    }
    // Whoever reads on is not led past what is new.
    for foreign in [&b"no-family"[..], b"\xff", UserId::mint().to_string().as_bytes()] {
        for score in [&b"1e300"[..], b"+inf"] {
            redis(&operator, &[b"ZADD", KEY, score, foreign]).await;
        }
    }
    let another = shop.sign_in("ann@shop.example", PASSWORD).await.unwrap();
    shop.sign_out(&another).await.unwrap();
    refused_soon(&shop, &another, "refused, whatever else is there").await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_everything_works_and_what_was_ended_is_refused_once_it_is_back() {
    let world = World::new();
    let detour = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scheme, rest) = world.redis_url_of("user").split_once("://").unwrap();
    let (login, address) = rest.rsplit_once('@').unwrap();
    let (address, port) = (address.to_owned(), detour.local_addr().unwrap().port());
    let through_detour = format!("{scheme}://{login}@127.0.0.1:{port}"); // nobody answers there yet

    let shop = Shop::open_with(world, Some(&through_detour)).await;
    let session = shop.somebody("ann@shop.example").await;
    shop.sign_out(&session).await.unwrap();
    shop.get(&session).await.unwrap();

    let forwarding = tokio::spawn(async move {
        while let Ok((mut near, _)) = detour.accept().await {
            let mut far = TcpStream::connect(&address).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    refused_soon(&shop, &session, "Redis is back").await;
    forwarding.abort();
    shop.running.stop().await;
}
