//! The storefront, as browsers use it: by pages, forms and cookies, at two gateways without affinity.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use e2e::shops;
use operator::{Options, Shop, Signal};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use stores::Server;
use testkit::eventually;

use crate::browser::{Browser, Page};
use crate::shopper::{PASSWORD, SETTLED, Shopper, Staff, booked, fresh, gbp, text};
use crate::two_gateways;

const ADDRESS: [(&str, &str); 6] = [
    ("recipient", "Zohra"),
    ("line1", "1 Gate"),
    ("city", "Fes"),
    ("postcode", "30000"),
    ("country", "MA"),
    ("next", "/checkout"),
];
/// The hidden fields and the choices of the checkout.
const CHECKOUT: [&str; 5] = ["key", "currency", "minor_units", "address_id", "payment_method_id"];
/// A link to any product.
const A_PRODUCT: &str = "href=\"/products/";
const SCRIPT: &str = "<script>alert(1)</script>";

/// Two gateways; processes that die are not started again.
fn never_restarted(options: &mut Options) {
    two_gateways(options);
    options.restart = false;
}

async fn put_in_cart(browser: &mut Browser, product: &str, quantity: &str) -> Result<()> {
    let page = browser.get(&format!("/products/{product}")).await?;
    let form = [("product_id", page.field("product_id")?), ("quantity", quantity)];
    browser.send("/cart", &form).await?.leads_to("/cart")
}

/// Fills the form in as it is shown. Answers the path of the order.
async fn check_out(browser: &mut Browser) -> Result<String> {
    let page = browser.get("/checkout").await?;
    order_of(&browser.send("/checkout", &page.fields(&CHECKOUT)?).await?)
}

fn order_of(placed: &Page) -> Result<String> {
    let path = placed.answer.header("location").filter(|path| path.starts_with("/orders/"));
    Ok(path.with_context(|| format!("no order: {placed}"))?.to_owned())
}

/// Waits until the page of an order shows this.
async fn comes_to_show(browser: &mut Browser, order: &str, wanted: &str) {
    eventually(&format!("{order} shows {wanted}"), SETTLED, async || {
        browser.get(order).await.ok()?.shows(wanted).ok()
    })
    .await;
}

/// One shop for both: to open one takes seconds.
pub async fn a_dead_gateway_or_an_empty_redis_loses_no_cart_and_no_order() -> Result<()> {
    let shop = shops::open("browsing", never_restarted).await?;
    let done = async {
        buy_while_a_gateway_dies(&shop).await.context("a gateway dies")?;
        shop.revive("gateway-2").await?;
        flush_and_stop_redis(&shop).await.context("Redis is flushed and stopped")
    };
    let done = done.await;
    shops::close_after("browsing", shop, done).await
}

async fn buy_while_a_gateway_dies(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let product = staff.product(10).await?;
    let in_cart = format!("href=\"/products/{product}\"");
    let mut browser = Browser::new(shop);
    browser.get("/").await?.shows(A_PRODUCT)?;
    put_in_cart(&mut browser, &product, "2").await?;
    browser.get("/cart").await?.shows(&in_cart)?;
    browser.get("/checkout").await?.leads_to("/sign-in?next=%2Fcheckout")?;

    let email = format!("{}@example.com", fresh());
    let form =
        [("email", &*email), ("password", PASSWORD), ("name", "Zohra"), ("next", "/checkout")];
    browser.send("/register", &form).await?.leads_to("/checkout")?;
    ensure!(!browser.cookies.contains_key("souk-cart"), "{:?}", browser.cookies);
    browser.get("/cart").await?.shows(&in_cart)?;
    browser.send("/account/addresses", &ADDRESS).await?.leads_to("/checkout")?;

    shop.kill("gateway-2", Signal::KILL)?;
    shop.gone("gateway-2", SETTLED).await?;
    browser.leave(1);
    let card = [("card", "tok_visa"), ("next", "/checkout")];
    browser.send("/account/cards", &card).await?.leads_to("/checkout")?;
    let order = check_out(&mut browser).await?;
    comes_to_show(&mut browser, &order, "Your order is confirmed").await;
    browser.get("/cart").await?.shows("It is empty")?;
    staff.stock_is(&product, 8, 0, 2).await;
    let order_id = order.trim_start_matches("/orders/");
    ensure!(booked(shop, &json!({ "order_id": order_id })).await? == (500, 0, 1));
    Ok(())
}

async fn flush_and_stop_redis(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let (cup, bowl) = (staff.product(10).await?, staff.product(10).await?);
    let has_bowl = format!("href=\"/products/{bowl}\"");
    let mut browser = Browser::signed_in(shop, &shopper.email).await?;
    put_in_cart(&mut browser, &cup, "1").await?;
    let order = check_out(&mut browser).await?;
    put_in_cart(&mut browser, &bowl, "1").await?;

    let flushed = shop.redis(&["FLUSHALL"]).await?;
    ensure!(flushed == "+OK\r\n", "{flushed}");
    browser.get("/orders").await?.leads_to("/sign-in?next=%2Forders")?;
    browser.sign_in(&shopper.email).await?.leads_to("/orders")?;
    browser.get("/orders").await?.shows(&order)?;
    browser.get("/cart").await?.shows(&has_bowl)?;

    shop.stop_store(Server::Redis).await?;
    let mut guest = Browser::new(shop);
    for _gateway in shop.urls() {
        for path in ["/", "/products"] {
            guest.get(path).await?.shows(A_PRODUCT).context(path)?;
        }
        put_in_cart(&mut guest, &bowl, "2").await?;
        guest.get("/cart").await?.shows(&has_bowl)?;
        browser.get("/account").await?.is(503, "accounts cannot be reached at the moment")?;
    }
    guest.sign_in(&shopper.email).await?.is(503, "accounts cannot be reached at the moment")?;

    shop.start_store(Server::Redis).await?;
    eventually("signing in works again", SETTLED, async || {
        guest.sign_in(&shopper.email).await.ok()?.leads_to("/orders").ok()
    })
    .await;
    guest.get("/orders").await?.shows(&order)?;
    guest.get("/cart").await?.shows(&has_bowl)
}

pub async fn a_checkout_form_sent_twice_is_one_order(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let mut browser = Browser::signed_in(shop, &shopper.email).await?;
    put_in_cart(&mut browser, &product, "1").await?;
    let page = browser.get("/checkout").await?;
    let form = page.fields(&CHECKOUT)?;
    let order = order_of(&browser.send("/checkout", &form).await?)?;
    browser.send("/checkout", &form).await?.leads_to(&order)?;
    comes_to_show(&mut browser, &order, "Your order is confirmed").await;
    browser.send("/checkout", &form).await?.leads_to(&order)?;
    let orders = shopper.get("/v1/orders").await?;
    ensure!(orders["orders"].as_array().is_some_and(|orders| orders.len() == 1), "{orders}");
    staff.stock_is(&product, 9, 0, 1).await;
    Ok(())
}

pub async fn a_declined_card_is_shown_as_an_order_that_was_undone(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let shopper = Shopper::with_card(shop, "tok_decline").await?;
    let product = staff.product(10).await?;
    let mut browser = Browser::signed_in(shop, &shopper.email).await?;
    put_in_cart(&mut browser, &product, "1").await?;
    let order = check_out(&mut browser).await?;
    comes_to_show(&mut browser, &order, "Your order was undone").await;
    browser.get(&order).await?.shows("stock released again")?;
    staff.stock_is(&product, 10, 0, 0).await;
    Ok(())
}

pub async fn a_form_of_another_site_changes_nothing(shop: &Shop) -> Result<()> {
    let (staff, shopper) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let product = staff.product(10).await?;
    let mut browser = Browser::signed_in(shop, &shopper.email).await?;
    put_in_cart(&mut browser, &product, "1").await?;
    let checkout = browser.get("/checkout").await?;
    let sign_in = [("email", &*shopper.email), ("password", PASSWORD)];
    let forms: [(&str, &[(&str, &str)]); 7] = [
        ("/cart", &[("product_id", &product), ("quantity", "7")]),
        ("/account/addresses", &ADDRESS),
        ("/account/cards", &[("card", "tok_visa")]),
        ("/checkout", &checkout.fields(&CHECKOUT)?),
        ("/sign-in", &sign_in),
        ("/register", &[&sign_in[..], &[("name", "Z")]].concat()),
        ("/sign-out", &[]),
    ];
    let elsewhere: [&[(&str, &str)]; 3] =
        [&[("sec-fetch-site", "cross-site")], &[("origin", "https://evil.example")], &[]];
    let (cookies, account, cart) = (browser.cookies.clone(), "/v1/me", "/v1/cart");
    let before = (shopper.get(account).await?, shopper.get(cart).await?);
    for (path, fields) in forms {
        for headers in elsewhere {
            let page = browser.send_as(path, fields, headers).await?;
            page.is(403, "cross_origin").with_context(|| format!("{path} {headers:?}"))?;
        }
    }
    ensure!(browser.cookies == cookies, "{:?}", browser.cookies);
    let after = (shopper.get(account).await?, shopper.get(cart).await?);
    ensure!(before == after, "{before:?} became {after:?}");
    browser.get("/orders").await?.shows("There are none")?;
    let cards = shopper.get("/v1/payment-methods").await?;
    ensure!(cards["payment_methods"].as_array().is_some_and(|it| it.len() == 1), "{cards}");

    let mut guest = Browser::new(shop);
    guest.send_as(forms[0].0, forms[0].1, elsewhere[0]).await?.is(403, "cross_origin")?;
    ensure!(guest.cookies.is_empty(), "{:?}", guest.cookies);
    Ok(())
}

pub async fn a_form_after_the_session_expired_leads_to_sign_in_and_back(shop: &Shop) -> Result<()> {
    let shopper = Shopper::new(shop).await?;
    let mut browser = Browser::signed_in(shop, &shopper.email).await?;
    browser.get("/account").await?.shows(&shopper.email)?;
    expire(shop, &browser).await?;
    let answer = browser.send("/account/addresses", &ADDRESS).await?;
    answer.leads_to("/sign-in?next=%2Faccount")?;
    let page = browser.get("/sign-in?next=%2Faccount").await?;
    let form = [("email", &*shopper.email), ("password", PASSWORD), ("next", page.field("next")?)];
    browser.send("/sign-in", &form).await?.leads_to("/account")?;
    let account = shopper.get("/v1/me").await?;
    ensure!(account["addresses"].as_array().is_some_and(|it| it.len() == 1), "{account}");
    Ok(())
}

/// As when nobody used it for long. Redis has the hash of what is in the cookie.
async fn expire(shop: &Shop, browser: &Browser) -> Result<()> {
    let id = browser.cookies.get("souk-session").context("no session")?;
    let hash = BASE64.encode(digest(&SHA256, id.as_bytes()));
    let expired = shop.redis(&[&format!("PEXPIRE souk:sessions:1:{{{hash}}} 0")]).await?;
    ensure!(expired == ":1\r\n", "{expired}");
    Ok(())
}

pub async fn a_session_that_was_never_issued_is_nobodys(shop: &Shop) -> Result<()> {
    let product = Staff::new(shop).await?.product(10).await?;
    let (never_issued, long) = ("A".repeat(43), "A".repeat(8_000));
    for (name, value) in
        [("souk-session", &never_issued), ("souk-session", &long), ("souk-cart", &long)]
    {
        let mut browser = Browser::new(shop);
        browser.cookies.insert(name.to_owned(), value.clone());
        browser.get(&format!("/products/{product}")).await?.shows("in stock")?;
        browser.get("/account").await?.leads_to("/sign-in?next=%2Faccount")?;
        browser.get("/cart").await?.shows("It is empty")?;
        put_in_cart(&mut browser, &product, "1").await?;
        browser.get("/cart").await?.shows(&format!("href=\"/products/{product}\""))?;
    }
    Ok(())
}

pub async fn somebody_elses_order_has_no_page(shop: &Shop) -> Result<()> {
    let (staff, owner) = (Staff::new(shop).await?, Shopper::new(shop).await?);
    let other = Shopper::new(shop).await?;
    let order = owner.order(&staff.product(10).await?, 1).await?;
    let path = format!("/orders/{}", text(&order, "order_id"));
    let mut browser = Browser::signed_in(shop, &other.email).await?;
    for path in [path.clone(), format!("{path}/live"), format!("/orders/{}", fresh())] {
        browser.get(&path).await?.is(404, "There is nothing here").context(path)?;
    }
    let cancelled = browser.send(&format!("{path}/cancel"), &[]).await?;
    cancelled.is(404, "There is nothing here")?;
    owner.reaches(&order, "confirmed").await?;
    Browser::signed_in(shop, &owner.email).await?.get(&path).await?.shows("confirmed")
}

pub async fn markup_in_what_people_write_is_shown_as_text(shop: &Shop) -> Result<()> {
    let staff = Staff::new(shop).await?;
    let offer = json!({ "sku": fresh(), "name": SCRIPT, "description": SCRIPT,
        "category": SCRIPT, "price": gbp(250), "opening_stock": 10 });
    let added = staff.api.post("/v1/staff/products", Some(&staff.token), &offer).await?;
    let product = text(&added.json::<Value>()?, "product_id");
    let email = format!("{}@example.com", fresh());
    let registration = [("email", &*email), ("password", PASSWORD), ("name", SCRIPT)];
    let mut browser = Browser::new(shop);
    let weak = [registration[0], ("password", "short"), registration[2]];
    is_text(422, &browser.send("/register", &weak).await?)?;
    browser.send("/register", &registration).await?.leads_to("/account")?;
    let mut address = ADDRESS;
    for field in &mut address[..3] {
        field.1 = SCRIPT;
    }
    browser.send("/account/addresses", &address).await?.leads_to("/checkout")?;
    browser.send("/account/cards", &[("card", "tok_visa")]).await?.leads_to("/account")?;
    put_in_cart(&mut browser, &product, "1").await?;
    let encoded = "%3Cscript%3Ealert(1)%3C/script%3E";
    let product = format!("/products/{product}");
    let list = format!("/products?category={encoded}");
    let (search, next) = (format!("/search?q={encoded}"), format!("/sign-in?next=/{encoded}"));
    for path in ["/account", "/cart", "/checkout", &product, &list, &search, &next] {
        is_text(200, &browser.get(path).await?).with_context(|| path.to_owned())?;
    }
    let order = check_out(&mut browser).await?;
    is_text(200, &browser.get(&order).await?)?;
    let home = browser.get("/").await?; // whatever it shows of it
    ensure!(!home.html.contains("<script>alert"), "{home}");
    let unknown = [("email", SCRIPT), ("password", PASSWORD), ("next", SCRIPT)];
    let refused = Browser::new(shop).send("/sign-in", &unknown).await?;
    is_text(refused.status, &refused)
}

/// It is on the page, and it is no element.
fn is_text(status: u16, page: &Page) -> Result<()> {
    ensure!(!page.html.contains("<script>alert"), "{page}");
    page.is(status, "alert(1)")
}

pub async fn signing_out_ends_the_session_at_every_gateway(shop: &Shop) -> Result<()> {
    let shopper = Shopper::new(shop).await?;
    let mut browser = Browser::signed_in(shop, &shopper.email).await?;
    let mut kept = browser.clone();
    browser.send("/sign-out", &[]).await?.leads_to("/")?;
    ensure!(browser.cookies.is_empty(), "{:?}", browser.cookies);
    for _gateway in shop.urls() {
        kept.get("/account").await?.leads_to("/sign-in?next=%2Faccount")?;
    }
    Ok(())
}
