//! Signing in, staying signed in, and signing out.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use proto::user::v1::Session;
use rpc::status::reason;
use testkit::eventually;
use tonic::{Code, Status};

use crate::shop::{PASSWORD, Shop};

/// What is not to be told apart.
const WRONG: [(&str, &str); 5] = [
    ("ann@shop.example", "wrong horse battery"),
    ("nobody@shop.example", PASSWORD),
    ("no address", PASSWORD),
    ("ann@shop.example", "short"),
    ("ann@shop.example", ""),
];
const SOON: Duration = Duration::from_secs(20);

fn assert_ended(refused: Result<Session, Status>) {
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(reason(&refused).as_deref(), Some("session_ended"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_email_look_and_cost_the_same() {
    let shop = Shop::open().await;
    shop.register("ann@shop.example").await.unwrap();
    let mut fastest = [Duration::MAX; WRONG.len()];
    // Each as fast as it can be, however busy the machine is in between.
    eventually("all cost the same", SOON, async || {
        for ((email, password), fastest) in WRONG.into_iter().zip(&mut fastest) {
            let began = Instant::now();
            let refused = shop.sign_in(email, password).await.unwrap_err();
            *fastest = began.elapsed().min(*fastest);
            assert_eq!(refused.code(), Code::Unauthenticated);
            assert_eq!(reason(&refused).as_deref(), Some("bad_credentials"));
        }
        // Without a hash the answer comes in a tenth of the time, and stays so.
        let (least, most) = (fastest.iter().min().unwrap(), fastest.iter().max().unwrap());
        (*least > *most / 5).then_some(())
    })
    .await;
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_works_once_and_twice_ends_its_family() {
    let shop = Shop::open().await;
    let first = shop.somebody("ann@shop.example").await;
    let elsewhere = shop.sign_in("ann@shop.example", PASSWORD).await.unwrap();
    let second = shop.refresh(&first.refresh_token).await.unwrap();
    let third = shop.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(third.user_id, first.user_id);
    assert!(shop.get(&third).await.is_ok());

    assert_ended(shop.refresh(&first.refresh_token).await);
    assert_ended(shop.refresh(&third.refresh_token).await);
    assert!(shop.refresh(&elsewhere.refresh_token).await.is_ok(), "another device");
    for nonsense in ["", "x", &third.access_token, &"y".repeat(10_000)] {
        assert_ended(shop.refresh(nonsense).await);
    }
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_refreshes_at_once_one_is_a_second_use() {
    let shop = Shop::open().await;
    let session = shop.somebody("ann@shop.example").await;
    let tries = (0..2).map(|_| shop.refresh(&session.refresh_token));
    let mut answers = join_all(tries).await;
    answers.sort_by_key(Result::is_err);
    let [Ok(next), refused] = &*answers else { panic!("one must get through: {answers:?}") };
    assert!(refused.is_err());
    assert_ended(shop.refresh(&next.refresh_token).await);
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_the_session_of_this_device_only() {
    let shop = Shop::open().await;
    let session = shop.somebody("ann@shop.example").await;
    let elsewhere = shop.sign_in("ann@shop.example", PASSWORD).await.unwrap();
    shop.sign_out(&session).await.unwrap();
    shop.sign_out(&session).await.unwrap();
    assert_ended(shop.refresh(&session.refresh_token).await);
    assert!(shop.refresh(&elsewhere.refresh_token).await.is_ok());
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_expires_and_is_forgotten_at_the_next_sign_in() {
    let shop = Shop::open().await;
    let session = shop.somebody("ann@shop.example").await;
    shop.sql(
        "update refresh_tokens set expires_at = now() - interval '1 s';
         update families set expires_at = now() - interval '1 s'",
    );
    assert_ended(shop.refresh(&session.refresh_token).await);
    shop.sign_in("ann@shop.example", PASSWORD).await.unwrap();
    let left =
        shop.sql("select (select count(*) from families), (select count(*) from refresh_tokens)");
    assert_eq!(left, "1|1");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_never_left_does_not_grow_for_ever() {
    let shop = Shop::open().await;
    let mut session = shop.somebody("ann@shop.example").await;
    for _ in 0..3 {
        shop.sql("update refresh_tokens set expires_at = now() - interval '1 s' where used_at is not null");
        session = shop.refresh(&session.refresh_token).await.unwrap();
    }
    assert_eq!(shop.sql("select count(*) from refresh_tokens"), "2", "the last used, and the next");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_sign_ins_at_once_are_turned_away_and_the_rest_succeed() {
    let shop = Shop::open().await;
    shop.register("ann@shop.example").await.unwrap();
    let began = Instant::now();
    let tries = (0..200).map(|_| shop.sign_in("ann@shop.example", PASSWORD));
    let answers = join_all(tries).await;
    let succeeded = answers.iter().filter(|answer| answer.is_ok()).count();
    let overloaded = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .filter(|refused| reason(refused).as_deref() == Some("overloaded"))
        .inspect(|refused| assert_eq!(refused.code(), Code::ResourceExhausted))
        .count();
    assert_eq!(succeeded + overloaded, 200, "and no other refusal");
    assert!(succeeded >= 2 && overloaded > 0, "{succeeded} of 200");
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits long to be turned away");
    shop.running.stop().await;
}
