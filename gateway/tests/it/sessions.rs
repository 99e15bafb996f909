//! Browsers' sessions: in Redis, so that any copy may answer.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::cmd;
use rpc::status::refusal;
use tonic::{Code, Status};

use crate::browser::{Browser, cookie, form_to};
use crate::client::get;
use crate::world::{World, eventually};

/// For a wait whose end is another's.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_cookie_opens_pages_and_nothing_else() {
    let mut browser = Browser::new(&[]).await;
    let answer = browser.sign_in().await;
    let set = answer.header("set-cookie").to_owned();
    assert!(set.starts_with("souk-session="), "{set}");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    assert_eq!(answer.header("cache-control"), "no-store");

    let page = browser.get("/account").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("ada@example.org"), "{}", page.text());
    let seen = browser.world.shop.last("GetUser");
    assert_eq!(seen.authorization.as_deref(), Some("Bearer fresh.access.token"));
    // The API knows no cookies, and pages no bearers.
    assert_eq!(browser.get("/v1/me").await.status, 401);
    let bearer = get("/account").token().send(&browser.world).await;
    assert_eq!(bearer.header("location"), "/sign-in?next=%2Faccount");
}

#[tokio::test]
async fn with_an_https_origin_cookies_are_for_secure_connections_and_this_host_alone() {
    let mut browser = Browser::new(&["--origin", "https://shop.example"]).await;
    let set = browser.sign_in().await.header("set-cookie").to_owned();
    assert!(set.starts_with("__Host-souk-session="), "{set}");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
    assert_eq!(browser.get("/account").await.status, 200);
    // Another host of the same site can set the name without the prefix.
    browser.cookie = browser.cookie.replace("__Host-", "");
    assert_eq!(browser.get("/account").await.status, 303);
}

#[tokio::test]
async fn who_signs_in_gets_a_new_session_and_the_old_one_ends() {
    let mut browser = Browser::signed_in(600, &[]).await;
    let old = browser.cookie.clone();
    browser.sign_in().await;
    assert_ne!(browser.cookie, old);
    assert_eq!(browser.get("/account").await.status, 200);
    browser.cookie = old;
    assert_eq!(browser.get("/account").await.status, 303);
}

#[tokio::test]
async fn a_signed_out_session_is_unknown() {
    let browser = Browser::signed_in(600, &[]).await;
    let answer = browser.send(form_to("/sign-out", "")).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    assert!(answer.header("set-cookie").contains("souk-session=; "), "{answer:?}");
    assert!(answer.header("set-cookie").ends_with("Max-Age=0"), "{answer:?}");
    assert_eq!(browser.world.shop.count("SignOut"), 1);
    assert_eq!(browser.get("/account").await.status, 303);
    let again = browser.send(form_to("/sign-out", "")).await;
    assert_eq!(again.status, 303, "the answer may have been lost");
}

#[tokio::test]
async fn a_session_ends_though_user_cannot_be_reached_and_not_while_redis_cannot() {
    let mut browser = Browser::signed_in(600, &[]).await;
    for refusal in [Status::unavailable("away"), Status::unauthenticated("revoked elsewhere")] {
        browser.world.shop.refuse("SignOut", refusal);
        let answer = browser.send(form_to("/sign-out", "")).await;
        assert!(answer.header("set-cookie").ends_with("Max-Age=0"), "{answer:?}");
        assert_eq!(browser.get("/account").await.status, 303);
        browser.sign_in().await;
    }
    let free = service::reserve().unwrap();
    let away = World::with(&["--redis-url", &format!("redis://{free}")]).await;
    let answer = form_to("/sign-out", "").header("cookie", &browser.cookie).send(&away).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (503, ""), "try again");
}

/// The user service ends a family whose refresh token comes twice.
#[tokio::test]
async fn of_many_pages_at_once_one_refreshes() {
    let browser = Browser::signed_in(1, &[]).await;
    browser.world.shop.close();
    let open = async {
        let asked = || browser.world.shop.count("RefreshSession") > 0;
        eventually("somebody refreshes", asked).await;
        browser.world.shop.open();
    };
    let pages = join_all((0..20).map(|_| browser.get("/account")));
    let (pages, ()) = tokio::join!(pages, open);
    assert!(pages.iter().all(|page| page.status == 200), "{pages:?}");
    assert_eq!(browser.world.shop.count("RefreshSession"), 1);
    let seen = browser.world.shop.last("RefreshSession");
    assert!(seen.message.contains("\"refresh\""), "{seen:?}");
    let seen = browser.world.shop.seen();
    let mut users = seen.iter().filter(|seen| seen.rpc == "GetUser");
    assert!(users.all(|it| it.authorization.as_deref() == Some("Bearer second.access.token")));
}

#[tokio::test]
async fn while_one_refreshes_the_others_use_a_token_that_is_still_valid() {
    let browser = Browser::signed_in(40, &[]).await;
    browser.world.shop.close();
    let first = browser.get("/account");
    let second = async {
        let refreshing = || browser.world.shop.count("RefreshSession") > 0;
        eventually("one refreshes", refreshing).await;
        let page = browser.get("/account");
        let used = async {
            let asked = || browser.world.shop.count("GetUser") > 0;
            eventually("the other goes on", asked).await;
            let seen = browser.world.shop.last("GetUser");
            assert_eq!(seen.authorization.as_deref(), Some("Bearer fresh.access.token"));
            browser.world.shop.open();
        };
        tokio::join!(page, used).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (200, 200));
    assert_eq!(browser.world.shop.count("RefreshSession"), 1);
}

#[tokio::test]
async fn while_user_is_away_a_token_is_used_as_long_as_it_is_valid() {
    let browser = Browser::signed_in(40, &[]).await;
    browser.world.shop.refuse("RefreshSession", Status::unavailable("away"));
    for _ in 0..2 {
        assert_eq!(browser.get("/account").await.status, 200);
    }
    let seen = browser.world.shop.last("GetUser");
    assert_eq!(seen.authorization.as_deref(), Some("Bearer fresh.access.token"));
    browser.world.shop.state().refusals.clear();
    assert_eq!(browser.get("/account").await.status, 200);
    let seen = browser.world.shop.last("GetUser");
    assert_eq!(seen.authorization.as_deref(), Some("Bearer second.access.token"));
    let expired = Browser::signed_in(1, &[]).await;
    expired.world.shop.refuse("RefreshSession", Status::unavailable("away"));
    assert_eq!(expired.get("/account").await.status, 503);
}

/// New tokens that were not stored would end the family at the next refresh.
#[tokio::test]
async fn new_tokens_are_stored_though_redis_refuses_for_a_while() {
    let browser = Browser::signed_in(1, &[]).await;
    browser.world.shop.close();
    let stored = async {
        let refreshing = || browser.world.shop.count("RefreshSession") > 0;
        eventually("it is refreshed", refreshing).await;
        // A script that writes this session fails now, and the one that ends it is not called.
        browser.in_redis(|key| cmd("RENAME").arg(key).arg(format!("{key}:away")).to_owned()).await;
        browser.in_redis(|key| cmd("SET").arg(key).arg("x").to_owned()).await;
        browser.world.shop.open();
        tokio::time::sleep(Duration::from_millis(300)).await; // the fault itself: nothing can be stored
        browser.in_redis(|key| cmd("RENAME").arg(format!("{key}:away")).arg(key).to_owned()).await;
    };
    let (page, ()) = tokio::join!(browser.get("/account"), stored);
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(browser.get("/account").await.status, 200);
    assert_eq!(browser.world.shop.count("RefreshSession"), 1);
}

#[tokio::test]
async fn new_tokens_are_kept_though_their_page_was_given_up() {
    let browser = Browser::signed_in(1, &[]).await;
    browser.world.shop.close();
    let asked = async {
        let asked = || browser.world.shop.count("RefreshSession") > 0;
        eventually("it is refreshed", asked).await;
    };
    tokio::select! {
        page = browser.get("/account") => panic!("{page:?}"),
        () = asked => {} // the browser goes away
    }
    browser.world.shop.open();
    assert_eq!(browser.get("/account").await.status, 200);
    assert_eq!(browser.world.shop.count("RefreshSession"), 1);
}

#[tokio::test]
async fn a_sign_in_that_has_ended_ends_the_session() {
    let browser = Browser::signed_in(1, &[]).await;
    let ended = refusal(Code::Unauthenticated, "session_ended", "sign in again");
    browser.world.shop.refuse("RefreshSession", ended);
    let page = browser.get("/orders?page_token=x").await;
    assert_eq!(page.header("location"), "/sign-in?next=%2Forders%3Fpage_token%3Dx");
    browser.get("/orders").await;
    assert_eq!(browser.world.shop.count("RefreshSession"), 1, "there is no session to refresh");
}

#[tokio::test]
async fn a_sign_in_that_was_revoked_leads_to_the_form() {
    let browser = Browser::signed_in(600, &[]).await;
    let revoked = refusal(Code::Unauthenticated, "session_ended", "sign in again");
    browser.world.shop.refuse("ListOrders", revoked);
    let page = browser.get("/orders").await;
    assert_eq!(page.header("location"), "/sign-in?next=%2Forders");
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_in_any_case_at_its_end() {
    const IDLE: Duration = Duration::from_millis(1500);
    let used = Browser::signed_in(600, &["--session-idle", "1500ms"]).await;
    let began = Instant::now();
    while began.elapsed() < 2 * IDLE {
        assert_eq!(used.get("/account").await.status, 200, "each use puts its end off");
        tokio::time::sleep(IDLE / 6).await; // the fault itself: a slow reader
    }
    testkit::eventually("it ends", SOON, async || {
        tokio::time::sleep(IDLE + IDLE / 6).await; // the fault itself: nobody is there
        (used.get("/account").await.status == 303).then_some(())
    })
    .await;
    let old = Browser::signed_in(600, &["--session-life", "700ms"]).await;
    testkit::eventually("it ends though it is used", SOON, async || {
        (old.get("/account").await.status == 303).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_unknown_session_cookie_is_anonymous() {
    let browser = Browser::signed_in(600, &[]).await;
    let good = browser.cookie.clone();
    for bad in [
        "souk-session=",
        "souk-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        &format!("souk-session={}", "A".repeat(8000)),
        "souk-session=%00;;;=",
        &good.replace("souk-session", "session"),
    ] {
        let page = get("/account").header("cookie", bad).send(&browser.world).await;
        assert_eq!(page.header("location"), "/sign-in?next=%2Faccount", "{bad}");
    }
    for other in [
        |key: &str| cmd("SET").arg(key).arg("x").to_owned(),
        |key: &str| cmd("HSET").arg(key).arg("access").arg("x").to_owned(),
        |key: &str| {
            cmd("HSET").arg(key).arg("refresh").arg("x").arg("expires").arg("soon").to_owned()
        },
    ] {
        browser.in_redis(|key| cmd("DEL").arg(key).to_owned()).await;
        browser.in_redis(other).await;
        assert_eq!(browser.get("/account").await.status, 303);
    }
}

#[tokio::test]
async fn without_redis_browsing_and_guests_go_on_and_accounts_say_so() {
    let free = service::reserve().unwrap();
    let world = World::with(&["--redis-url", &format!("redis://{free}")]).await;
    let ask = async |path: &str| {
        let session = "souk-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        get(path).header("cookie", session).send(&world).await
    };
    for public in ["/", "/products", "/search?q=cup", "/sign-in"] {
        assert_eq!(ask(public).await.status, 200, "{public}");
    }
    assert_eq!(get("/cart").send(&world).await.status, 200, "a guest's");
    for own in ["/account", "/orders", "/checkout", "/cart"] {
        let page = ask(own).await;
        assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, "1"), "{own}");
        assert!(page.text().contains("accounts cannot be reached"), "{}", page.text());
    }
    let form = "email=ada%40example.org&password=secret";
    for path in ["/sign-in", "/register"] {
        let page = form_to(path, &format!("{form}&name=Ada")).send(&world).await;
        assert_eq!(page.status, 503, "{path}");
    }
    assert_eq!(world.shop.count("SignIn") + world.shop.count("Register"), 0, "in vain");
}

#[tokio::test]
async fn a_guests_cart_comes_along() {
    let mut browser = Browser::new(&[]).await;
    let product = crate::world::product(1);
    let id = product.product_id.clone();
    browser.world.shop.state().products = vec![product];
    let put = browser.send(form_to("/cart", &format!("product_id={id}&quantity=2"))).await;
    assert_eq!(put.header("location"), "/cart");
    let guest = cookie(&put, "cart");
    let cart = guest.split_once('=').unwrap().1.to_owned();
    assert!(browser.world.shop.last("PutItem").message.contains(&cart));
    browser.cookie = guest;
    let signed_in = browser.sign_in().await;
    assert!(browser.world.shop.last("MergeCart").message.contains(&cart));
    let set = signed_in.headers.get_all("set-cookie").iter();
    assert!(set.into_iter().any(|it| it.to_str().unwrap().starts_with("souk-cart=; ")));
}
