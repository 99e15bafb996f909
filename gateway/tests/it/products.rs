//! Looking at products.

use std::time::{Duration, Instant};

use http::Method;
use kernel::ProductId;
use proto::product::v1::ListProductChangesResponse;
use serde_json::json;
use telemetry::catalogue::CACHE_AUDITS;
use testkit::eventually;

use crate::client::{call, get};
use crate::world::World;

const LIMIT: Duration = Duration::from_secs(30);
const KEPT: &str = "public, max-age=1, stale-while-revalidate=1";

#[tokio::test]
async fn a_product_is_rendered_and_may_be_kept_for_a_second() {
    let (world, ids) = World::with_products(1).await;
    let answer = get(&format!("/v1/products/{}", ids[0])).send(&world).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("etag"), "W/\"3-12\"");
    assert_eq!(answer.header("cache-control"), KEPT);
    let expected = json!({"product_id": ids[0], "sku": "CUP-1", "name": "Cup 1",
        "description": "Holds tea.", "category": "kitchen",
        "price": {"currency": "GBP", "minor_units": 255},
        "version": 3, "retired": false, "available": 12});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let (world, ids) = World::with_products(1).await;
    for path in [&format!("/v1/products/{}", ids[0]), "/v1/products", "/v1/search?q=cup"] {
        let tag = get(path).send(&world).await.header("etag").to_owned();
        let again = get(path).header("if-none-match", &tag).send(&world).await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag);
        assert_eq!(again.header("cache-control"), KEPT);

        world.shop.state().products[0].available -= 1;
        let changed = eventually("the change is shown", LIMIT, async || {
            let answer = get(path).header("if-none-match", &tag).send(&world).await;
            (answer.status == 200).then_some(answer)
        });
        assert_ne!(changed.await.header("etag"), tag, "{path}");
    }
}

#[tokio::test]
async fn a_product_is_asked_for_once_by_all_who_want_it_now_and_anew_after_a_change() {
    let (world, ids) = World::with_products(2).await;
    let (cup, other) = (format!("/v1/products/{}", ids[0]), format!("/v1/products/{}", ids[1]));
    let asked = || world.shop.seen().iter().filter(|call| call.rpc == "GetProduct").count();
    // A busy machine may take longer than a page is kept: then it is tried again, with a product that nobody has seen.
    let mut number = 10;
    let shared = eventually("thirty-three requests are one call", LIMIT, async || {
        number += 1;
        let unseen = crate::world::product(number);
        let path = format!("/v1/products/{}", unseen.product_id);
        world.shop.state().products.push(unseen);
        let before = asked();
        let many = (0..32).map(|_| get(&path).send(&world));
        let answers = futures_util::future::join_all(many).await;
        let again = get(&path).send(&world).await;
        assert!(answers.iter().all(|it| it.status == 200 && it.body == again.body));
        (asked() - before == 1).then_some(())
    });
    shared.await;
    let price = json!({"currency": "GBP", "minor_units": 300});
    for (method, path) in [(Method::PUT, "/price"), (Method::DELETE, "")] {
        let path = format!("/v1/staff/products/{}{path}", ids[0]);
        let anew = eventually("only what was changed is asked for", LIMIT, async || {
            get(&cup).send(&world).await;
            get(&other).send(&world).await;
            let before = asked();
            call(method.clone(), &path).token().json(&price).send(&world).await;
            get(&other).send(&world).await;
            let others = asked() - before;
            get(&cup).send(&world).await;
            assert!(asked() > before, "what staff changed is asked for anew");
            (others == 0).then_some(())
        });
        anew.await;
    }
}

#[tokio::test]
async fn a_list_is_asked_for_once_by_all_who_want_it_now_and_anew_after_any_change() {
    let (world, ids) = World::with_products(2).await;
    let asked = |rpc: &str| world.shop.seen().iter().filter(|call| call.rpc == rpc).count();
    let price = json!({"currency": "GBP", "minor_units": 300});
    let new = json!({"sku": "CUP-9", "name": "Cup", "description": "", "category": "", "price": price,
        "opening_stock": 1});
    let changes = [
        (Method::PUT, format!("/v1/staff/products/{}/price", ids[1]), &price),
        (Method::POST, "/v1/staff/products".to_owned(), &new),
    ];
    let lists = [("ListProducts", "/v1/products?page_size="), ("SearchProducts", "/v1/search?q=")];
    for ((rpc, list), (method, change, body)) in lists.into_iter().zip(changes) {
        let mut number = 10;
        let shared = eventually("thirty-two requests are one call", LIMIT, async || {
            number += 1;
            let list = format!("{list}{number}");
            let before = asked(rpc);
            let many = (0..32).map(|_| get(&list).send(&world));
            let answers = futures_util::future::join_all(many).await;
            assert!(answers.iter().all(|it| it.status == 200 && it.body == answers[0].body));
            let shared = asked(rpc) - before == 1;
            let done = call(method.clone(), &change).token().json(body).send(&world).await;
            assert!(done.status.is_success(), "{}", done.status);
            let before = asked(rpc);
            get(&list).send(&world).await;
            assert_eq!(asked(rpc), before + 1, "{list}: after a change");
            shared.then_some(())
        });
        shared.await;
    }
}

/// Much longer than a page is kept that nobody confirms.
const CONFIRMED: Duration = Duration::from_millis(1_500);

#[tokio::test]
async fn pages_are_kept_while_product_says_that_they_have_not_changed() {
    let (world, ids) = World::with_products(2).await;
    let product = format!("/v1/products/{}", ids[0]);
    let pages = [("GetProduct", &*product), ("ListProducts", "/v1/products")];
    let asked = |rpc: &str| world.shop.seen().iter().filter(|call| call.rpc == rpc).count();
    let says = |level, changes| {
        let mut state = world.shop.state();
        (state.level, state.changes) = (level, changes);
    };
    for (rpc, page) in pages {
        // The second time it is lower than before, as that of another database.
        says(5, Some(ListProductChangesResponse { level: 5, ..Default::default() }));
        let kept = eventually("it is kept for long", LIMIT, async || {
            get(page).send(&world).await;
            let (before, began) = (asked(rpc), Instant::now());
            let long = eventually("long after, or asked again", LIMIT, async || {
                get(page).send(&world).await;
                let asked_again = asked(rpc) > before;
                (asked_again || began.elapsed() > CONFIRMED).then_some(!asked_again)
            });
            long.await.then_some(())
        });
        kept.await;
        // A list may show another product, of which it does not know yet.
        let (named, catalogue) =
            if rpc == "GetProduct" { (&ids[..1], false) } else { (&[][..], true) };
        let change = ListProductChangesResponse {
            level: 7,
            product_ids: named.to_vec(),
            catalogue,
            ..Default::default()
        };
        let behind = ListProductChangesResponse { level: 8, ..Default::default() };
        let reasons = [
            ("it has changed", 6, Some(change)),
            ("who answered knows less than who was asked for changes", 6, Some(behind)),
            ("product does not answer", 8, None),
        ];
        for (reason, level, changes) in reasons {
            let before = asked(rpc);
            says(level, changes);
            let anew = eventually(reason, LIMIT, async || {
                get(page).send(&world).await;
                (asked(rpc) >= before + 2).then_some(())
            });
            anew.await;
        }
    }
}

#[tokio::test]
async fn while_product_is_away_what_was_shown_is_shown() {
    let (world, ids) = World::with_products(2).await;
    let product = format!("/v1/products/{}", ids[0]);
    let pages = [("GetProduct", &*product), ("ListProducts", "/v1/products")];
    for (rpc, page) in pages {
        let before = get(page).send(&world).await;
        let away = tonic::Status::unavailable("no");
        world.shop.refuse(rpc, away);
        let asked = || world.shop.seen().iter().filter(|call| call.rpc == rpc).count();
        let in_vain = asked();
        let shown = eventually("product was asked in vain", LIMIT, async || {
            let shown = get(page).send(&world).await;
            assert_eq!((shown.status, &shown.body), (before.status, &before.body));
            (asked() > in_vain).then_some(())
        });
        shown.await;
        let gone = rpc::status::refusal(tonic::Code::NotFound, "product_not_found", "no");
        world.shop.refuse(rpc, gone);
        let answer = eventually("a definite answer is one", LIMIT, async || {
            let answer = get(page).send(&world).await;
            (answer.status == 404).then_some(answer)
        });
        assert_eq!(answer.await.problem().0, 404);
    }
    world.shop.refuse("GetProduct", tonic::Status::unavailable("no"));
    let unseen = get(&format!("/v1/products/{}", ids[1])).send(&world).await;
    assert_eq!(unseen.problem().0, 503);
}

#[tokio::test]
async fn views_are_reported_and_what_is_popular_is_shown_with_its_count() {
    let (mut world, ids) = World::with_products(3).await;
    for id in [&ids[0], &ids[0], &ids[0], &ids[1]] {
        get(&format!("/v1/products/{id}")).send(&world).await;
    }
    get(&format!("/v1/products/{}", ProductId::mint())).send(&world).await; // is none
    let expected = [(ids[0].clone(), 3), (ids[1].clone(), 1)].into();
    let reported = eventually("all views are reported", LIMIT, async || {
        (world.shop.state().views == expected).then_some(())
    });
    reported.await;

    world.shop.refuse("CountViews", tonic::Status::unavailable("no"));
    get(&format!("/v1/products/{}", ids[1])).send(&world).await;
    let in_vain = eventually("a report in vain", LIMIT, async || {
        world.shop.seen().into_iter().find(|call| call.rpc == "CountViews")
    });
    let traceparent = in_vain.await.traceparent.unwrap();
    assert!(traceparent.ends_with("-00"), "nobody asked for it: {traceparent}");
    world.shop.state().refusals.remove("CountViews");

    let popular = get("/v1/popular?page_size=3").send(&world).await;
    let shown = popular.json()["products"].clone();
    assert_eq!((&shown[0]["views"], &shown[2]["views"]), (&json!(9), &json!(7)));
    assert_eq!(shown[0]["product_id"], json!(ids[2]));
    assert_eq!(
        popular.header("cache-control"),
        get("/v1/products").send(&world).await.header("cache-control")
    );
    get(&format!("/v1/products/{}", ids[2])).send(&world).await;
    world.stop().await;
    assert_eq!(world.shop.state().views[&ids[2]], 1, "a gateway that stops reports what is left");
}

#[tokio::test]
async fn what_sells_is_shown_with_its_figures_and_of_when_they_are() {
    let (world, ids) = World::with_products(2).await;
    let bestsellers = get("/v1/bestsellers?category=Gifts&page_size=3").send(&world).await;
    assert_eq!(bestsellers.header("cache-control"), KEPT);
    let shown = bestsellers.json();
    assert_eq!(shown["as_of_unix_ms"], json!(1_700_000_000_000_i64));
    let product = &shown["products"][0];
    assert_eq!((&product["product_id"], &product["pieces"]), (&json!(ids[1]), &json!(5)));
    assert_eq!(product["price"]["minor_units"], json!(255));

    let categories = get("/v1/categories").send(&world).await.json();
    let two = json!([{"name": "Gifts", "products": 3}, {"name": "Kitchen", "products": 7}]);
    let expected = json!({"categories": two, "as_of_unix_ms": 1_700_000_000_000_i64});
    assert_eq!(categories, expected);

    let path = format!("/v1/products/{}/bought-together", ids[0]);
    let together = get(&path).send(&world).await;
    let tag = together.header("etag").to_owned();
    let products = together.json()["products"].clone();
    assert_eq!((&products[0]["product_id"], &products[0]["orders"]), (&json!(ids[1]), &json!(5)));
    assert_eq!(products.as_array().map(Vec::len), Some(1));
    let again = get(&path).header("if-none-match", &tag).send(&world).await;
    assert_eq!(again.status, 304);
    for nothing in [ProductId::mint().to_string(), "cup".into()] {
        let path = format!("/v1/products/{nothing}/bought-together");
        assert_eq!(get(&path).send(&world).await.status, 404, "{nothing}");
    }
}

#[tokio::test]
async fn without_a_memory_each_request_is_a_call() {
    let off = ["--product-pages-bytes", "0"];
    let (world, ids) = World::with_products_and(1, &off).await;
    for asked in 1..=3 {
        get(&format!("/v1/products/{}", ids[0])).send(&world).await;
        let calls = world.shop.seen().iter().filter(|call| call.rpc == "GetProduct").count();
        assert_eq!(calls, asked);
    }
}

/// A database that changes without anybody saying so, as a mistake in the feed would look.
#[tokio::test]
async fn the_audit_finds_what_was_replaced_and_is_shown() {
    let often = ["--product-audit-interval", "50ms"];
    let (world, ids) = World::with_products_and(1, &often).await;
    let audits = |outcome| CACHE_AUDITS.with_label_values(&["gateway.products", outcome]).get();
    let path = format!("/v1/products/{}", ids[0]);
    {
        let mut state = world.shop.state();
        state.level = 5;
        state.changes = Some(ListProductChangesResponse { level: 5, ..Default::default() });
    }
    let found = async |what: &str, outcome| {
        let before = audits(outcome);
        let found = eventually(what, LIMIT, async || {
            assert_eq!(get(&path).send(&world).await.status, 200);
            (audits(outcome) > before).then_some(())
        });
        found.await;
    };
    found("it is current", "current").await;
    assert_eq!(audits("stale"), 0);
    world.shop.state().products[0].version += 1;
    found("what is shown was replaced", "stale").await;
    let change = ListProductChangesResponse { level: 6, product_ids: ids, ..Default::default() };
    world.shop.state().changes = Some(change);
    found("it is current again", "current").await;
}

#[tokio::test]
async fn who_may_change_nothing_makes_nobody_load_again() {
    let (world, ids) = World::with_products(1).await;
    let refusal = rpc::status::refusal(tonic::Code::PermissionDenied, "not_staff", "for staff");
    world.shop.refuse("ChangePrice", refusal);
    let price = json!({"currency": "GBP", "minor_units": 300});
    let (product, change) =
        (format!("/v1/products/{}", ids[0]), format!("/v1/staff/products/{}/price", ids[0]));
    let kept = eventually("both are still kept", LIMIT, async || {
        let look = async || {
            get(&product).send(&world).await;
            get("/v1/products").send(&world).await;
            world.shop.seen().iter().filter(|call| call.rpc != "ChangePrice").count()
        };
        let before = look().await;
        let refused = call(Method::PUT, &change).token().json(&price).send(&world).await;
        assert_eq!(refused.problem(), (403, "not_staff".into()));
        (look().await == before).then_some(())
    });
    kept.await;
}

#[tokio::test]
async fn a_long_question_is_not_kept() {
    let (world, _) = World::with_products(1).await;
    let path = format!("/v1/search?q={}", "c".repeat(129));
    for _ in 0..2 {
        assert_eq!(get(&path).send(&world).await.status, 200);
    }
    assert_eq!(world.shop.seen().len(), 2);
}

#[tokio::test]
async fn a_list_takes_its_filters_and_tells_the_next_page() {
    let (world, ids) = World::with_products(2).await;
    let path = "/v1/products?page_size=2&page_token=a%2Fb&category=tea+cups&sku=X&utm_source=y";
    let answer = get(path).send(&world).await;
    assert_eq!(answer.json()["products"][1]["product_id"], ids[1]);
    assert_eq!(answer.json()["next_page_token"], "next");
    let seen = world.shop.last("ListProducts").message;
    for part in ["page_size: 2", "page_token: \"a/b\"", "category: \"tea cups\"", "sku: \"X\""] {
        assert!(seen.contains(part), "{part} in {seen}");
    }
}

#[tokio::test]
async fn a_bad_query_names_its_parameter() {
    let world = World::new().await;
    for (path, field) in [
        ("/v1/products?page_size=many", "page_size"),
        ("/v1/products?page_size=-1", "page_size"),
        ("/v1/search?q=cup&page_size=4294967296", "page_size"),
        ("/v1/search?q=", "q"),
        ("/v1/search?q=%20", "q"),
        ("/v1/search", "q"),
    ] {
        let answer = get(path).send(&world).await;
        assert_eq!(answer.problem(), (422, "invalid".into()), "{path}");
        assert_eq!(answer.fields(), [field], "{path}");
    }
    assert!(world.shop.seen().is_empty());
}

#[tokio::test]
async fn an_unknown_product_is_not_kept_by_anybody() {
    let world = World::new().await;
    let answer = get(&format!("/v1/products/{}", ProductId::mint())).send(&world).await;
    assert_eq!(answer.problem(), (404, "product_not_found".into()));
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let (world, ids) = World::with_products(1).await;
    let answer = call(Method::HEAD, &format!("/v1/products/{}", ids[0])).send(&world).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    assert_eq!(answer.header("etag"), "W/\"3-12\"");
}
