//! The staff's page that imports a catalogue file.

use kernel::ImportId;
use proto::product::v1::start_import_request::Part;
use rpc::status::{invalid, refusal};
use tonic::{Code, Status};

use crate::browser::{Browser, form_to};
use crate::client::{Answer, post};
use crate::shop::IMPORT;
use crate::staff::staff;

const FILE: &str =
    "sku,name,category,price,opening_stock\nCUP-1,Cup,Kitchen,2.55,5\nCUP-2,Mug,Kitchen,3,\n";

async fn upload(browser: &Browser, file: &str) -> Answer {
    let head = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"c.csv\"\r\n\
                content-type: text/csv\r\n\r\n";
    let form = post("/staff/imports").header("sec-fetch-site", "same-origin");
    let form = form.header("content-type", "multipart/form-data; boundary=b");
    browser.send(form.body([head, file, "\r\n--b--\r\n"].concat())).await
}

#[tokio::test]
async fn a_file_is_imported_and_its_page_shows_how_far_it_is() {
    let browser = staff(0).await;
    assert!(browser.get("/staff/imports").await.text().contains("multipart/form-data"));
    let answer = upload(&browser, FILE).await;
    let at = format!("/staff/imports/{IMPORT}");
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, &*at));
    let imported = browser.world.shop.state().imported.clone();
    let [cup, mug] = &imported[..] else { panic!("{imported:?}") };
    assert_eq!((&*cup.sku, cup.opening_stock, &*mug.name), ("CUP-1", 5, "Mug"));
    assert_eq!((cup.source.len(), &cup.source), (64, &mug.source));
    assert_eq!(browser.world.shop.state().import_end, Some(Part::ItemsSent(2)));
    for (imported, running) in [("0", true), ("1", true), ("2", false)] {
        let page = browser.get(&at).await.text();
        assert!(page.contains(&format!("{imported} of 2 products")), "{page}");
        let follows = page.contains(&format!("data-live=\"{at}/live\""));
        let refreshes = page.contains("<noscript><meta http-equiv=\"refresh\"");
        let can_be_cancelled = page.contains(&format!("action=\"{at}/cancel\""));
        assert_eq!([follows, refreshes, can_be_cancelled], [running; 3], "{page}");
    }
}

#[tokio::test]
async fn a_page_follows_an_import_until_its_end() {
    let browser = staff(0).await;
    let live = browser.get(&format!("/staff/imports/{IMPORT}/live")).await;
    assert_eq!(live.header("content-type"), "text/event-stream");
    assert_eq!(live.text().matches("event: import").count(), 3, "{}", live.text());
}

#[tokio::test]
async fn an_import_is_cancelled_and_its_page_says_how_it_ended() {
    let browser = staff(0).await;
    let at = format!("/staff/imports/{IMPORT}");
    let ended = refusal(Code::FailedPrecondition, "import_ended", "the import has ended");
    for refused in [None, Some(ended)] {
        if let Some(refused) = refused {
            browser.world.shop.refuse("CancelImport", refused);
        }
        let answer = browser.send(form_to(&format!("{at}/cancel"), "")).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, &*at));
    }
    browser.world.shop.refuse("GetImport", refusal(Code::NotFound, "import_not_found", "no"));
    for missing in [ImportId::mint().to_string(), "x".to_owned()] {
        assert_eq!(browser.get(&format!("/staff/imports/{missing}")).await.status, 404);
    }
    browser.world.shop.refuse("GetImport", Status::unavailable("away"));
    assert_eq!(browser.get(&at).await.status, 503);
}

#[tokio::test]
async fn a_file_with_faults_is_not_imported_and_each_is_named() {
    let browser = staff(0).await;
    let bad =
        "sku,name,category,price\nCUP-1,<script>alert(1),Kitchen,dear\nCUP-2,Mug,Kitchen,-3\n";
    for (file, said) in [
        ("", vec!["there is no column sku"]),
        ("sku,name,category,price\n", vec!["the file has no products"]),
        ("sku,name,category,price,<script>\n", vec!["there can be no column &#34;&#60;script"]),
        (bad, vec!["line 2: price: pounds and pence", "line 3: price: pounds and pence"]),
    ] {
        let page = upload(&browser, file).await;
        assert_eq!(page.status, 422, "{file}");
        for said in said {
            assert!(page.text().contains(said), "{said}: {}", page.text());
        }
        assert!(!page.text().contains("<script>"), "{}", page.text());
    }
    assert_eq!(browser.world.shop.count("StartImport"), 0);
    let running = refusal(Code::AlreadyExists, "import_running", "another file is being imported");
    let of_product = invalid([("items[1].sku", "1 to 64 characters")]);
    for (refused, status, said) in [
        (of_product, 422, "line 3: sku: 1 to 64 characters"),
        (running, 409, "another file is being imported"),
        (Status::unavailable("away"), 503, "Send it again"),
    ] {
        browser.world.shop.refuse("StartImport", refused);
        let page = upload(&browser, FILE).await;
        assert_eq!(page.status, status);
        assert!(page.text().contains(said), "{said}: {}", page.text());
    }
}

#[tokio::test]
async fn only_a_form_with_a_file_of_a_fair_size_is_read() {
    let browser = staff(0).await;
    let page = upload(&browser, &"x".repeat(5 << 20)).await;
    assert_eq!(page.status, 413);
    assert!(page.text().contains("Import a catalogue"), "{}", page.text());
    let page = browser.send(form_to("/staff/imports", "file=x")).await;
    assert_eq!(page.status, 415);
    let form = post("/staff/imports").header("sec-fetch-site", "same-origin");
    let form = form.header("content-type", "multipart/form-data; boundary=b");
    assert_eq!(browser.send(form.body("--b\r\nnothing")).await.status, 400);
    assert_eq!(browser.world.shop.count("StartImport"), 0);
}
