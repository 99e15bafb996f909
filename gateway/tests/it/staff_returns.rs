//! The staff's pages of what is on its way back, and of refunds that were refused.

use kernel::{OrderId, ReturnId};
use proto::order::v1::{Order, Return, ReturnState, r#return};
use rpc::status::{invalid, refusal};
use tonic::{Code, Status};

use crate::browser::{Browser, form_to};
use crate::client::Answer;
use crate::staff::{after, staff};
use crate::storefront::field;

/// Staff, with a return of two cups on its way.
async fn with_return() -> (Browser, Return) {
    let browser = staff(1).await;
    let product_id = browser.world.shop.state().products[0].product_id.clone();
    let back = Return {
        return_id: ReturnId::mint().to_string(),
        order_id: OrderId::mint().to_string(),
        state: ReturnState::Requested.into(),
        items: vec![r#return::Item { product_id, quantity: 2, received: 0 }],
        requested_at_unix_ms: 1_000,
        ..Return::default()
    };
    browser.world.shop.state().order = Order { returns: vec![back.clone()], ..Order::default() };
    (browser, back)
}

async fn decide(browser: &Browser, back: &Return, decision: &str, rest: &str) -> Answer {
    let (order, id) = (&back.order_id, &back.return_id);
    let form = format!("decision={decision}&order_id={order}&return_id={id}&page_token=t&{rest}");
    browser.send(form_to("/staff/returns", &form)).await
}

#[tokio::test]
async fn a_return_is_received_or_refused() {
    let (browser, back) = with_return().await;
    let page = browser.get("/staff/returns?page_token=t").await;
    let cups = &back.items[0].product_id;
    assert_eq!((field(&page, cups), field(&page, "page_token")), ("2".into(), "t".into()));
    assert!(page.text().contains("2 × Cup 1") && page.text().contains("page_token=t2"));
    let arrived = format!("{cups}=1&reason=one+is+broken");
    let answer = decide(&browser, &back, "receive", &arrived).await;
    let (_, page) = after(&browser, answer).await;
    assert!(page.contains("The return was received"), "{page}");
    let seen = browser.world.shop.last("ReceiveReturn").message;
    let parts = [&back.order_id, &back.return_id, cups, "quantity: 1", "one is broken"];
    assert!(parts.iter().all(|part| seen.contains(part)), "{seen}");
    let answer = decide(&browser, &back, "receive", &format!("{cups}=0&reason=none")).await;
    assert_eq!(answer.status, 303);
    let seen = browser.world.shop.last("ReceiveReturn").message;
    assert!(seen.contains("items: []"), "what has not arrived is not named: {seen}");
    let answer = decide(&browser, &back, "refuse", "reason=worn").await;
    let (_, page) = after(&browser, answer).await;
    assert!(page.contains("The return was refused."), "{page}");
    assert!(browser.world.shop.last("RefuseReturn").message.contains("worn"));
}

#[tokio::test]
async fn what_was_entered_about_a_return_is_kept_when_it_is_refused() {
    let (browser, back) = with_return().await;
    let cups = &back.items[0].product_id;
    let page = decide(&browser, &back, "receive", &format!("{cups}=one&reason=why")).await;
    assert_eq!((page.status.as_u16(), field(&page, cups)), (422, "one".into()));
    assert_eq!(field(&page, "page_token"), "t");
    let text = page.text();
    assert!(text.contains("a whole number") && text.contains("value=\"why\""), "{text}");
    assert_eq!(browser.world.shop.count("ReceiveReturn"), 0);
    let missing = refusal(Code::InvalidArgument, "reason_missing", "no");
    let too_many = refusal(Code::FailedPrecondition, "not_requested", "3 arrived, 2 were sent");
    for (refused, status, said) in [
        (missing, 422, "say why: the customer reads it"),
        (too_many, 409, "3 arrived, 2 were sent"),
        (Status::unavailable("away"), 503, "Send it again"),
    ] {
        for rpc in ["ReceiveReturn", "RefuseReturn"] {
            browser.world.shop.refuse(rpc, refused.clone());
        }
        for (decision, rest) in [("receive", format!("{cups}=3")), ("refuse", String::new())] {
            let page = decide(&browser, &back, decision, &rest).await;
            assert_eq!(page.status, status, "{decision}");
            assert_eq!(page.text().matches(said).count(), 1, "{decision}: {}", page.text());
            let arrived = if decision == "receive" { "3" } else { "2" };
            assert_eq!(field(&page, cups), arrived);
        }
    }
    // Somebody else has decided meanwhile.
    browser.world.shop.state().order.returns.clear();
    let received = refusal(Code::FailedPrecondition, "return_already_received", "it was received");
    browser.world.shop.refuse("RefuseReturn", received);
    let page = decide(&browser, &back, "refuse", "reason=worn").await;
    assert_eq!(page.status, 409);
    assert!(page.text().contains("it was received"), "{}", page.text());
    let gone = Return { return_id: "7".into(), ..back };
    assert_eq!(decide(&browser, &gone, "refuse", "reason=worn").await.status, 404);
}

#[tokio::test]
async fn what_is_neither_received_nor_refused_is_not_decided() {
    let (browser, back) = with_return().await;
    for decision in ["", "typo", "Receive"] {
        assert_eq!(
            decide(&browser, &back, decision, "reason=worn").await.status,
            422,
            "{decision}"
        );
    }
    let shop = &browser.world.shop;
    assert_eq!((shop.count("ReceiveReturn"), shop.count("RefuseReturn")), (0, 0));
    let negative = invalid([("items[0].quantity", "0 or more")]);
    shop.refuse("ReceiveReturn", negative);
    let cups = &back.items[0].product_id;
    let page = decide(&browser, &back, "receive", &format!("{cups}=-1")).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("0 or more"), "{}", page.text());
}

#[tokio::test]
async fn returns_are_shown_while_the_catalogue_is_away() {
    let (browser, back) = with_return().await;
    browser.world.shop.refuse("BatchGetProducts", Status::unavailable("away"));
    let page = browser.get("/staff/returns").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("The catalogue is away"), "{}", page.text());
    assert!(page.text().contains(&format!("2 × {}", back.items[0].product_id)));
    browser.world.shop.state().order.returns.clear();
    let page = browser.get("/staff/returns").await.text();
    assert!(page.contains("Nothing is on its way back."), "{page}");
    browser.world.shop.refuse("ListReturns", Status::unavailable("away"));
    let page = browser.get("/staff/returns").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("A part of the shop is away"), "{}", page.text());
}

#[tokio::test]
async fn a_refund_that_was_refused_is_decided_about() {
    let browser = staff(0).await;
    let page = browser.get("/staff/refunds").await;
    let shown = ["£5.10", "refund_refused", "the bank is back", "asked again"];
    assert!(shown.iter().all(|it| page.text().contains(it)), "{}", page.text());
    assert_eq!(field(&page, "refund_id"), "order.cancellation");
    let decide = async |decision: &str, note: &str| {
        let form = format!("refund_id=order.cancellation&note={note}&decision={decision}");
        browser.send(form_to("/staff/refunds", &form)).await
    };
    for (decision, rpc, said) in [
        ("retry", "RetryRefund", "The provider will be asked again."),
        ("settle", "SettleRefund", "The refund was settled by hand."),
    ] {
        let (_, page) = after(&browser, decide(decision, "by+bank").await).await;
        assert!(page.contains(said), "{page}");
        let seen = browser.world.shop.last(rpc).message;
        assert!(seen.contains("order.cancellation") && seen.contains("by bank"), "{seen}");
        browser.world.shop.refuse(rpc, invalid([("note", "one line of 1 to 500 characters")]));
        let page = decide(decision, "%22%3E").await;
        assert_eq!((page.status.as_u16(), field(&page, "note")), (422, "&#34;&#62;".into()));
        assert!(page.text().contains("one line of 1 to 500"), "{}", page.text());
    }
    assert_eq!(decide("burn", "x").await.status, 422);
    browser.world.shop.state().without_refunds = true;
    let page = browser.get("/staff/refunds").await.text();
    assert!(page.contains("None waits for a decision."), "{page}");
    browser.world.shop.refuse("ListRefunds", Status::unavailable("away"));
    assert_eq!(browser.get("/staff/refunds").await.status, 503);
}
