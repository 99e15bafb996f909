//! Pages: what is public, what a form needs, and what is said when something is away.

use kernel::{OrderId, ProductId};
use proto::cart::v1::{Cart, Item};
use proto::order::v1::{self as order, Order};
use proto::payment::v1::PaymentMethod;
use proto::product::v1::Product;
use proto::user::v1::Address;
use rpc::status::refusal;
use tonic::{Code, Status};

use crate::browser::{Browser, form_to, guest};
use crate::client::{Answer, call, get, post};
use crate::shop::money;
use crate::staff;
use crate::world::World;

#[tokio::test]
async fn public_pages_are_the_same_for_everybody() {
    let (world, ids) = World::with_products(3).await;
    for path in ["/", "/products", "/products?category=kitchen", "/search?q=cup"] {
        let page = get(path).send(&world).await;
        assert_eq!(page.status, 200, "{path}");
        let kept = page.header("cache-control");
        assert_eq!(kept, "public, max-age=1, stale-while-revalidate=1", "{path}");
        assert_eq!(page.header("set-cookie"), "", "{path}");
        assert!(page.text().contains("Cup 1") && page.text().contains("£2.55"), "{path}");
        let (cookies, _) = guest();
        let other = get(path).header("cookie", &cookies).token().send(&world).await;
        assert_eq!(other.text(), page.text(), "{path}");
    }
    let product = get(&format!("/products/{}", ids[0])).send(&world).await.text();
    assert!(product.contains("Holds tea.") && product.contains("Put into the cart"), "{product}");
}

#[tokio::test]
async fn pages_run_no_script_but_our_own() {
    let world = World::new().await;
    let page = get("/").send(&world).await;
    let policy = page.header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    for part in ["frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert!(!page.text().contains("<style") && !page.text().contains("onclick"));
}

#[tokio::test]
async fn what_a_page_loads_is_kept_for_ever_under_its_name() {
    let world = World::new().await;
    let home = get("/").send(&world).await.text();
    let assets: Vec<&str> = home.split('"').filter(|it| it.starts_with("/assets/")).collect();
    assert_eq!(assets.len(), 3, "{home}");
    for asset in assets {
        let plain = get(asset).send(&world).await;
        let packed = get(asset).header("accept-encoding", "br, gzip").send(&world).await;
        for answer in [&plain, &packed] {
            assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
            assert_eq!(answer.header("vary"), "accept-encoding");
        }
        let encodings = [plain.header("content-encoding"), packed.header("content-encoding")];
        assert_eq!(encodings, ["", "gzip"]);
        assert!(packed.body.len() < plain.body.len());
        // A page of another release, while copies of both serve.
        let (stem, hash) = asset.split_once('-').unwrap();
        let other = format!("{stem}-{}", hash.to_lowercase().replace('a', "b"));
        let answer = get(&other).send(&world).await;
        assert_eq!((answer.status.as_u16(), answer.body == plain.body), (200, true), "{other}");
        if other != asset {
            assert_eq!(answer.header("cache-control"), "no-store", "{other}");
        }
        assert_eq!(get(&format!("{stem}-x.css")).send(&world).await.status, 404);
    }
}

#[tokio::test]
async fn user_text_is_escaped() {
    let (world, ids) = World::with_products(1).await;
    let script = "<script>alert(1)</script>\" onfocus=\"alert(2)";
    let mut product = world.shop.state().products[0].clone();
    product.name = script.into();
    product.description = script.into();
    product.category = script.into();
    world.shop.state().products = vec![product];
    for path in ["/", "/products", "/search?q=x", &format!("/products/{}", ids[0])] {
        let page = get(path).send(&world).await.text();
        assert!(!page.contains("<script>alert") && !page.contains("\" onfocus"), "{page}");
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }
    let asked = "/search?q=%3Cscript%3Ealert(1)%3C/script%3E%22%20onfocus=%22alert(2)";
    let page = get(asked).send(&world).await.text();
    assert!(!page.contains("<script>alert") && !page.contains("\" onfocus"), "{page}");
}

#[tokio::test]
async fn a_form_that_is_not_ours_changes_nothing() {
    let browser = Browser::signed_in(600, &[]).await;
    let before = browser.world.shop.seen().len();
    let order = OrderId::mint();
    let (cancel, returns) = (format!("/orders/{order}/cancel"), format!("/orders/{order}/returns"));
    let of_staff = staff::forms();
    let of_staff = of_staff.iter().map(String::as_str);
    let ours = [
        "/cart",
        "/sign-in",
        "/register",
        "/sign-out",
        "/account/addresses",
        "/account/cards",
        "/checkout",
        &cancel,
        &returns,
    ];
    for path in ours.into_iter().chain(of_staff) {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("x-nothing", "is said"),
        ] {
            for cookie in [&*browser.cookie, ""] {
                let form = post(path).header("content-type", "application/x-www-form-urlencoded");
                let form = form.header(name, value).header("cookie", cookie);
                let answer = form.body("product_id=x&quantity=1").send(&browser.world).await;
                assert_eq!(answer.status, 403, "{path} {name}: {value}");
                assert!(answer.text().contains("cross_origin"), "{path}");
            }
        }
    }
    assert_eq!(browser.world.shop.seen().len(), before, "nobody was asked");
    let host = format!("http://{}", browser.world.address);
    let form = post(&cancel).header("content-type", "application/x-www-form-urlencoded");
    let answer = browser.send(form.header("origin", &host)).await;
    assert_eq!(answer.header("location"), format!("/orders/{order}"), "{answer:?}");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_for_browsers_and_a_problem_for_programs() {
    let world = World::new().await;
    let missing = format!("/products/{}", ProductId::mint());
    for path in ["/nothing", "/products/x", "/assets/x.css", &missing, "/orders/x/y/z"] {
        let page = get(path).header("accept", "text/html,*/*;q=0.8").send(&world).await;
        assert_eq!(page.status, 404, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
        assert!(page.text().contains("There is nothing here"), "{path}");
    }
    assert_eq!(get("/nothing").send(&world).await.problem(), (404, "not_found".into()));
    assert_eq!(get("/v1/products/x").send(&world).await.problem().0, 404);
}

#[tokio::test]
async fn whatever_is_refused_is_a_page_for_browsers() {
    let world = World::with(&["--max-in-flight", "1"]).await;
    for (method, path, status) in
        [("DELETE", "/cart", 405), ("GET", "/sign-out", 405), ("GET", "/assets/%ff", 404)]
    {
        let page = call(method.parse().unwrap(), path).header("accept", "text/html");
        let page = page.send(&world).await;
        assert_eq!(page.status, status, "{method} {path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{path}");
    }
}

#[tokio::test]
async fn a_page_without_what_is_beside_the_point_is_a_page() {
    let (world, ids) = World::with_products(1).await;
    for rpc in ["ListPopularProducts", "ListBestsellers", "ListCategories", "ListBoughtTogether"] {
        world.shop.refuse(rpc, Status::unavailable("away"));
    }
    for path in ["/", &format!("/products/{}", ids[0])] {
        let page = get(path).send(&world).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.text().contains("Cup 1"), "{path}");
    }
    let browser = Browser::signed_in(600, &[]).await;
    browser.world.shop.refuse("ListPaymentMethods", Status::unavailable("away"));
    let account = browser.get("/account").await;
    assert_eq!(account.status, 200);
    assert!(account.text().contains("Payment is away"), "{}", account.text());
}

#[tokio::test]
async fn a_service_that_is_away_is_said_to_be() {
    let world = World::new().await;
    world.shop.refuse("ListProducts", Status::unavailable("the database's address"));
    let page = get("/products").send(&world).await;
    assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, "1"));
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.text().contains("A part of the shop is away"), "{}", page.text());
    assert!(!page.text().contains("database"), "{}", page.text());
}

/// A customer whose cart can be bought.
async fn buyer() -> Browser {
    let browser = Browser::signed_in(600, &[]).await;
    let product = crate::world::product(1);
    let items = vec![Item { product_id: product.product_id.clone(), quantity: 2 }];
    let mut state = browser.world.shop.state();
    state.cart = Cart { items, ..Cart::default() };
    state.products = vec![product];
    state.addresses = vec![Address { address_id: "a".into(), ..Address::default() }];
    let payment_method_id = "p".into();
    state.payment_methods = vec![PaymentMethod { payment_method_id, label: "pays".into() }];
    let order_id = OrderId::mint().to_string();
    state.order = Order { order_id, total: money(510), ..Order::default() };
    drop(state);
    browser
}

/// The value of a field.
pub fn field(page: &Answer, name: &str) -> String {
    let page = page.text();
    let rest =
        page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{page}"));
    rest.1.split('"').next().unwrap().to_owned()
}

fn checkout(key: &str) -> String {
    format!("key={key}&payment_method_id=p&address_id=a&currency=GBP&minor_units=510")
}

#[tokio::test]
async fn a_cart_that_cannot_be_bought_says_why() {
    let browser = buyer().await;
    let known = browser.world.shop.state().products[0].clone();
    let is_sold = async |path: &str| browser.get(path).await.text().contains("£5.10</strong>");
    assert!(is_sold("/cart").await && is_sold("/checkout").await);
    for (available, retired, why) in
        [(1, false, "only 1 left"), (0, false, "out of stock"), (9, true, "no longer on sale")]
    {
        let product = Product { available, retired, ..known.clone() };
        browser.world.shop.state().products = vec![product];
        let cart = browser.get("/cart").await.text();
        assert!(cart.contains(why) && !cart.contains("href=\"/checkout\""), "{why}: {cart}");
        let checkout = browser.get("/checkout").await.text();
        assert!(checkout.contains(why) && !checkout.contains("name=\"key\""), "{why}: {checkout}");
    }
}

#[tokio::test]
async fn a_checkout_is_one_order_however_often_it_is_sent() {
    let browser = buyer().await;
    let order = browser.world.shop.state().order.order_id.clone();
    let form = checkout("k1");
    let answer = browser.send(form_to("/checkout", &form)).await;
    assert_eq!(answer.header("location"), format!("/orders/{order}"));
    let seen = browser.world.shop.last("PlaceOrder").message;
    assert!(seen.contains("\"k1\"") && seen.contains("minor_units: 510"), "{seen}");
}

#[tokio::test]
async fn when_nobody_knows_whether_there_is_an_order_the_same_form_is_sent_again() {
    let browser = buyer().await;
    // What was in the cart is in the order, perhaps, and nobody else answers either.
    browser.world.shop.state().cart = Cart::default();
    for rpc in ["GetCart", "GetUser", "ListPaymentMethods"] {
        browser.world.shop.refuse(rpc, Status::unavailable("away"));
    }
    let (gone, late) = (Status::unavailable("gone"), Status::deadline_exceeded("late"));
    let twice = refusal(Code::Aborted, "idempotency_key_in_flight", "wait");
    for (refused, status) in [(gone, 503), (late, 504), (twice, 409)] {
        browser.world.shop.refuse("PlaceOrder", refused);
        let page = browser.send(form_to("/checkout", &checkout("k1"))).await;
        assert_eq!(page.status, status);
        assert!(page.text().contains("it will be one order"), "{}", page.text());
        let fields = ["key", "payment_method_id", "address_id", "currency", "minor_units"];
        assert_eq!(fields.map(|name| field(&page, name)), ["k1", "p", "a", "GBP", "510"]);
    }
}

#[tokio::test]
async fn a_key_that_stands_for_another_order_is_replaced() {
    let browser = buyer().await;
    let reused = refusal(Code::FailedPrecondition, "idempotency_key_reused", "no");
    browser.world.shop.refuse("PlaceOrder", reused);
    let page = browser.send(form_to("/checkout", &checkout("k1"))).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("sent before with other choices"), "{}", page.text());
    assert_ne!(field(&page, "key"), "k1");
}

#[tokio::test]
async fn a_price_that_has_moved_is_agreed_to_anew() {
    let browser = buyer().await;
    let first = browser.get("/checkout").await;
    assert_ne!(field(&first, "key"), field(&browser.get("/checkout").await, "key"));
    let moved = refusal(Code::Aborted, "total_changed", "costs more now");
    browser.world.shop.refuse("PlaceOrder", moved);
    browser.world.shop.state().products[0].price = money(300);
    let page = browser.send(form_to("/checkout", &checkout("k1"))).await;
    assert_eq!(page.status, 409);
    assert!(page.text().contains("Prices have changed"), "{}", page.text());
    assert_eq!(field(&page, "minor_units"), "600");
    assert_ne!(field(&page, "key"), "k1", "another total is another request");
}

#[tokio::test]
async fn an_order_shows_what_was_undone() {
    let browser = buyer().await;
    let step = |state: order::State, at_unix_ms| order::Step { state: state.into(), at_unix_ms };
    let steps = vec![
        step(order::State::Placed, 1_000),
        step(order::State::StockHeld, 1_020),
        step(order::State::Cancelled, 1_090),
    ];
    let id = browser.world.shop.state().order.order_id.clone();
    browser.world.shop.state().order = Order {
        order_id: id.clone(),
        state: order::State::Cancelled.into(),
        cancel_reason: order::CancelReason::PaymentDeclined.into(),
        steps,
        ..Order::default()
    };
    let page = browser.get(&format!("/orders/{id}")).await.text();
    for shown in ["Your order was undone", "stock held for you", "+20 ms", "stock released again"] {
        assert!(page.contains(shown), "{page}");
    }
    assert!(!page.contains("data-live") && !page.contains("http-equiv"), "{page}");
    browser.world.shop.state().order.state = order::State::StockHeld.into();
    let page = browser.get(&format!("/orders/{id}")).await.text();
    assert!(page.contains("data-live") && page.contains("http-equiv=\"refresh\""), "{page}");
}
