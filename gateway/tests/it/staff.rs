//! The staff's pages: whom they are for, and products.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use kernel::{ImportId, ProductId, ReturnId};
use proto::order::v1::Return;
use proto::order::v1::r#return::Item;
use proto::product::v1::Product;
use rpc::status::{invalid, refusal};
use tonic::{Code, Status};

use crate::browser::{Browser, form_to};
use crate::client::{Answer, get};
use crate::storefront::field;
use crate::world::product;

/// Where each form of the staff's pages goes to.
pub fn forms() -> Vec<String> {
    let (product, import) = (ProductId::mint(), ImportId::mint());
    let mut forms = vec![format!("/staff/products/{product}")];
    forms.extend(["products", "returns", "refunds", "imports"].map(|it| format!("/staff/{it}")));
    forms.push(format!("/staff/imports/{import}/cancel"));
    forms
}

fn pages() -> Vec<String> {
    let (product, import) = (ProductId::mint(), ImportId::mint());
    let one = format!("/staff/imports/{import}");
    let mut pages = vec![format!("/staff/products/{product}"), format!("{one}/live"), one];
    let lists = ["/staff", "/staff/products", "/staff/returns", "/staff/refunds", "/staff/imports"];
    pages.extend(lists.map(str::to_owned));
    pages
}

/// Somebody of the staff, and products in the shop.
pub async fn staff(products: usize) -> Browser {
    let browser = Browser::signed_in(600, &[]).await;
    let mut state = browser.world.shop.state();
    state.staff = true;
    state.products = (1..=products).map(product).collect();
    drop(state);
    browser
}

/// What a form leads to, and the page there.
pub async fn after(browser: &Browser, answer: Answer) -> (String, String) {
    assert_eq!(answer.status, 303, "{}", answer.text());
    let to = answer.header("location").to_owned();
    let page = browser.get(&to).await;
    assert_eq!(page.status, 200, "{to}");
    (to, page.text())
}

#[tokio::test]
async fn staff_pages_are_for_staff() {
    let customer = Browser::signed_in(600, &[]).await;
    for path in pages() {
        let page = customer.get(&path).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(page.text().contains("staff_only"), "{path}: {}", page.text());
    }
    for path in forms() {
        let page =
            customer.send(form_to(&path, "change=retire&refund_id=r&note=x&decision=settle")).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(page.text().contains("staff_only"), "{path}: {}", page.text());
    }
    let seen = customer.world.shop.seen();
    assert!(seen.iter().all(|it| ["SignIn", "GetUser"].contains(&it.rpc)), "{seen:?}");
}

#[tokio::test]
async fn who_is_not_signed_in_does_that_first_and_comes_back() {
    let mut browser = staff(1).await;
    // The session has ended, and its cookie has not.
    browser.in_redis(|key| redis::cmd("DEL").arg(key).clone()).await;
    for path in pages() {
        let answer = browser.get(&path).await;
        let place: String = form_urlencoded(&path);
        assert_eq!(answer.status, 303, "{path}");
        assert_eq!(answer.header("location"), format!("/sign-in?next={place}"));
    }
    let page = format!("http://{}/staff/products?q=cup", browser.world.address);
    for path in forms() {
        let answer = browser.send(form_to(&path, "").header("referer", &page)).await;
        let back = "/sign-in?next=%2Fstaff%2Fproducts%3Fq%3Dcup";
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, back), "{path}");
    }
    let form = "email=ada%40example.org&password=secret&next=%2Fstaff%2Fproducts%3Fq%3Dcup";
    let answer = browser.send(form_to("/sign-in", form)).await;
    browser.cookie = crate::browser::cookie(&answer, "session");
    let (to, page) = after(&browser, answer).await;
    assert_eq!(to, "/staff/products?q=cup");
    assert!(page.contains("Cup 1"), "{page}");
}

fn form_urlencoded(path: &str) -> String {
    path.replace('/', "%2F")
}

#[tokio::test]
async fn only_staff_are_led_to_their_pages() {
    let browser = staff(1).await;
    let leads = async |path: &str| browser.get(path).await.text().contains("href=\"/staff\"");
    assert!(leads("/account").await && leads("/staff").await);
    assert!(!leads("/").await && !leads("/products").await, "a page for everybody reads no cookie");
    browser.world.shop.state().staff = false;
    assert!(!leads("/account").await);
}

#[tokio::test]
async fn the_first_page_says_what_waits_and_what_is_away() {
    let browser = staff(0).await;
    browser.world.shop.state().without_refunds = true;
    browser.world.shop.state().order.returns = vec![Return::default()];
    let page = browser.get("/staff").await.text();
    assert!(page.contains("Returns</a>: 1 or more wait for you"), "{page}");
    assert!(page.contains("refused</a>: none waits for you"), "{page}");
    for rpc in ["ListReturns", "ListRefunds"] {
        browser.world.shop.refuse(rpc, Status::unavailable("away"));
    }
    let page = browser.get("/staff").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.text().matches("cannot be read at the moment").count(), 2);
    browser.world.shop.refuse("GetUser", Status::unavailable("away"));
    let page = browser.get("/staff").await;
    assert_eq!(page.status, 503, "nobody says who is staff");
}

#[tokio::test]
async fn products_are_listed_and_found_with_price_and_stock() {
    let browser = staff(2).await;
    let page = browser.get("/staff/products").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let page = page.text();
    for shown in ["Cup 1", "CUP-2", "£2.55", "<td>12 available</td>", "page_token=next"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let page = browser.get("/staff/products?q=CUP-1").await.text();
    assert!(browser.world.shop.last("ListProducts").message.contains("sku: \"CUP-1\""));
    assert!(browser.world.shop.last("SearchProducts").message.contains("query: \"CUP-1\""));
    assert_eq!(page.matches("CUP-1</td>").count(), 1, "found twice, shown once: {page}");
    browser.world.shop.state().products.clear();
    let page = browser.get("/staff/products?q=zeppelin").await.text();
    assert!(page.contains("Nothing was found"), "{page}");
    browser.world.shop.refuse("SearchProducts", Status::unavailable("away"));
    let page = browser.get("/staff/products?q=lantern").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("A part of the shop is away"), "{}", page.text());
}

const NEW: &str = "sku=CUP-9&name=Cup&description=one%0D%0Atwo&category=Kitchen";

#[tokio::test]
async fn a_new_product_is_added_and_shown() {
    let browser = staff(1).await;
    let form = format!("{NEW}&price=2.55&opening_stock=5");
    let answer = browser.send(form_to("/staff/products", &form)).await;
    let (to, page) = after(&browser, answer).await;
    let id = browser.world.shop.state().products[0].product_id.clone();
    assert_eq!(to, format!("/staff/products/{id}?done=added"));
    assert!(page.contains("The product was added."), "{page}");
    let seen = browser.world.shop.last("AddProduct");
    for part in ["\"CUP-9\"", "one\\ntwo\"", "minor_units: 255", "opening_stock: 5"] {
        assert!(seen.message.contains(part), "{part}: {}", seen.message);
    }
    assert_eq!(seen.authorization.as_deref(), Some("Bearer fresh.access.token"));
}

#[tokio::test]
async fn a_new_product_with_faults_is_shown_again_as_it_was_entered() {
    let browser = staff(1).await;
    let send =
        async |rest: &str| browser.send(form_to("/staff/products", &format!("{NEW}&{rest}"))).await;
    let page = send("price=2,55&opening_stock=many").await;
    assert_eq!(page.status, 422);
    let text = page.text();
    assert!(text.contains("pounds and pence") && text.contains("a whole number"), "{text}");
    assert_eq!(text.matches("aria-invalid").count(), 2, "{text}");
    let kept = ["sku", "name", "category", "price", "opening_stock"].map(|it| field(&page, it));
    assert_eq!(kept, ["CUP-9", "Cup", "Kitchen", "2,55", "many"]);
    assert!(text.contains(">one\r\ntwo</textarea>"), "{text}");
    assert_eq!(browser.world.shop.count("AddProduct"), 0);
    let taken = refusal(Code::AlreadyExists, "sku_taken", "the SKU is taken");
    let faults = invalid([("sku", "1 to 64 characters"), ("price", "more than 0")]);
    for (refused, status, said) in [
        (taken, 409, vec!["a product has this SKU"]),
        (faults, 422, vec!["1 to 64 characters", "in pence: more than 0"]),
        (Status::unavailable("away"), 503, vec!["Send it again: it is done once"]),
    ] {
        browser.world.shop.refuse("AddProduct", refused);
        let page = send("price=2.55&opening_stock=").await;
        assert_eq!((page.status.as_u16(), field(&page, "sku")), (status, "CUP-9".into()));
        for said in said {
            assert!(page.text().contains(said), "{said}: {}", page.text());
        }
    }
}

#[tokio::test]
async fn a_products_text_price_and_stock_are_changed() {
    let browser = staff(1).await;
    let id = browser.world.shop.state().products[0].product_id.clone();
    let at = format!("/staff/products/{id}");
    let page = browser.get(&at).await;
    assert!(page.text().contains("8 in the warehouse, 2 of them for orders"), "{}", page.text());
    assert_eq!((field(&page, "version"), field(&page, "price")), ("3".into(), "2.55".into()));
    let text = "change=text&version=3&name=Mug&description=&category=Kitchen";
    for (fields, rpc, parts, said) in [
        (text, "ReviseProduct", ["version: 3", "\"Mug\""], "The text was changed."),
        (
            "change=price&price=3",
            "ChangePrice",
            ["minor_units: 300", "GBP"],
            "The price was changed.",
        ),
        (
            "change=stock&quantity=7&receipt=+DN-1",
            "ReceiveStock",
            ["quantity: 7", "receipt: \"DN-1\""],
            "The delivery was booked in.",
        ),
        ("change=retire", "RetireProduct", [&id, ""], "The product is no longer on sale."),
    ] {
        let answer = browser.send(form_to(&at, fields)).await;
        let (_, page) = after(&browser, answer).await;
        assert!(page.contains(said), "{page}");
        let seen = browser.world.shop.last(rpc).message;
        assert!(seen.contains(&id) && parts.iter().all(|part| seen.contains(part)), "{seen}");
    }
}

#[tokio::test]
async fn what_was_entered_about_a_product_is_kept_when_it_is_refused() {
    let browser = staff(1).await;
    let id = browser.world.shop.state().products[0].product_id.clone();
    let at = format!("/staff/products/{id}");
    let send = async |fields: &str| browser.send(form_to(&at, fields)).await;
    let page = send("change=price&price=free").await;
    assert_eq!((page.status.as_u16(), field(&page, "price")), (422, "free".into()));
    let page = send("change=stock&quantity=some&receipt=DN-1").await;
    assert_eq!((page.status.as_u16(), field(&page, "receipt")), (422, "DN-1".into()));
    for rpc in ["ChangePrice", "ReceiveStock"] {
        assert_eq!(browser.world.shop.count(rpc), 0, "{rpc}");
    }
    let text = "change=text&version=2&name=Mug&description=&category=Kitchen";
    browser.world.shop.refuse("ReviseProduct", invalid([("category", "1 to 64 characters")]));
    let page = send(text).await;
    assert_eq!((page.status.as_u16(), field(&page, "version")), (422, "2".into()));
    assert!(page.text().contains("1 to 64 characters"), "{}", page.text());
    let changed = refusal(Code::Aborted, "version_conflict", "it is at version 3");
    browser.world.shop.refuse("ReviseProduct", changed);
    let page = send(text).await;
    assert_eq!((page.status.as_u16(), field(&page, "name")), (409, "Mug".into()));
    assert_eq!(field(&page, "version"), "3", "sent again, it is for what is shown");
    assert!(page.text().contains("Somebody has changed this product since"), "{}", page.text());
    let reused = refusal(Code::FailedPrecondition, "receipt_reused", "no");
    browser.world.shop.refuse("ReceiveStock", reused);
    let page = send("change=stock&quantity=7&receipt=DN-1").await;
    assert_eq!((page.status.as_u16(), field(&page, "quantity")), (409, "7".into()));
    assert!(page.text().contains("booked for another delivery"), "{}", page.text());
    // Nobody knows whether it was booked in, and nothing else answers either.
    for rpc in ["ReceiveStock", "BatchGetProducts"] {
        browser.world.shop.refuse(rpc, Status::unavailable("away"));
    }
    assert_eq!(send("change=stock&quantity=7&receipt=DN-1").await.status, 503);
}

#[tokio::test]
async fn a_product_whose_stock_cannot_be_read_is_shown() {
    let browser = staff(1).await;
    let id = browser.world.shop.state().products[0].product_id.clone();
    browser.world.shop.refuse("GetStock", Status::unavailable("away"));
    let page = browser.get(&format!("/staff/products/{id}")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("The stock cannot be read"), "{}", page.text());
    for missing in [ProductId::mint().to_string(), "x".to_owned()] {
        let page = browser.get(&format!("/staff/products/{missing}")).await;
        assert_eq!(page.status, 404, "{missing}");
        assert!(page.text().contains("There is nothing here"), "{}", page.text());
    }
}

#[tokio::test]
async fn text_of_a_product_is_escaped_for_staff_too() {
    let browser = staff(1).await;
    let script = "<script>alert(1)</script>\" onfocus=\"alert(2)";
    let known = browser.world.shop.state().products[0].clone();
    let [sku, name, description, category] = [script; 4].map(str::to_owned);
    let id = known.product_id.clone();
    let product = Product { sku, name, description, category, ..known };
    browser.world.shop.state().products = vec![product];
    for path in ["/staff/products", "/staff/products?q=x", &format!("/staff/products/{id}")] {
        let page = browser.get(path).await.text();
        assert!(!page.contains("<script>alert") && !page.contains("\" onfocus"), "{page}");
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }
    let entered = "sku=%22+onfocus%3D%22x&name=%3Cscript%3Ealert%3C%2Fscript%3E\
                   &description=%3C%2Ftextarea%3E%3Cscript%3Ealert&category=x&price=x&opening_stock=x";
    let page = browser.send(form_to("/staff/products", entered)).await;
    assert_eq!(page.status, 422);
    let page = page.text();
    assert!(!page.contains("<script>alert") && !page.contains("\" onfocus"), "{page}");
}

#[tokio::test]
async fn a_cookie_of_staff_opens_no_page_of_the_api() {
    let browser = staff(1).await;
    let answer = get("/v1/staff/returns").header("cookie", &browser.cookie);
    assert_eq!(answer.send(&browser.world).await.problem().0, 401);
}

#[tokio::test]
async fn full_pages_are_small() {
    let browser = staff(20).await;
    ten_returns(&browser);
    for path in ["/staff/products", "/staff/returns"] {
        let page = browser.get(path).await;
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&page.body).unwrap();
        let bytes = packed.finish().unwrap().len();
        assert!(page.status == 200 && bytes < 14 << 10, "{path}: {bytes} bytes");
    }
}

/// Of four products each.
fn ten_returns(browser: &Browser) {
    let mut state = browser.world.shop.state();
    let item = |product: &Product| {
        let product_id = product.product_id.clone();
        Item { product_id, quantity: 2, received: 0 }
    };
    let items: Vec<Item> = state.products.iter().take(4).map(item).collect();
    let back = || {
        let (return_id, items) = (ReturnId::mint().to_string(), items.clone());
        Return { return_id, items, ..Return::default() }
    };
    state.order.returns = (0..10).map(|_| back()).collect();
}
