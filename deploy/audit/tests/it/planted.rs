//! A defect for each check. Most are undone again, so that each is seen alone.

use std::collections::BTreeSet;

use audit::Verdict;
use kernel::{OrderId, Shard};

use crate::books::Books;

/// Where, what is done, how it is undone, and the checks that have to find it.
type Defect = (&'static str, String, String, &'static [&'static str]);

#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn defects(books: &Books) -> Vec<Defect> {
    let Books { sold, cancelled, .. } = books;
    let set = |table: &str, change: &str, order: &dyn std::fmt::Display| {
        format!("update {table} set {change} where order_id = '{order}';")
    };
    vec![
        (
            "product",
            "update receipts set quantity = 1;".into(),
            "update receipts set quantity = 10;".into(),
            &["nothing_is_oversold", "stock_is_conserved"],
        ),
        (
            "product",
            "update stock set on_hand = 7, shipped = 3;".into(),
            "update stock set on_hand = 8, shipped = 2;".into(),
            &["reservations_add_up", "what_was_sold_was_shipped"],
        ),
        (
            "product",
            set("reservations", "state = 'held'", cancelled),
            set("reservations", "state = 'released'", cancelled),
            &["reservations_add_up", "ended_orders_hold_nothing"],
        ),
        (
            "cart",
            format!(
                "insert into checkouts (shard, cart_id, order_id, cart_version, product_ids, quantities)
                 values (0, gen_random_uuid(), '{cancelled}', 1, '{{{cancelled}}}', '{{1}}');"
            ),
            "delete from checkouts;".into(),
            &["ended_orders_hold_nothing"],
        ),
        (
            "order 0",
            set("orders", "state = 'cancelled', cancel_reason = 'deadline'", sold),
            set("orders", "state = 'confirmed', cancel_reason = null", sold),
            &["cancelled_orders_cost_nothing", "what_was_sold_was_shipped"],
        ),
        (
            "order 0",
            set(
                "returns",
                "state = 'requested', refunded_at = null, received = null, decided_by = null, \
                decided_at = null, reason = null",
                sold,
            ),
            set("returns", "state = 'received', refunded_at = now()", sold),
            &["returns_follow_receipt"],
        ),
        (
            "order 0",
            set("returns", "refunded_at = null", sold),
            set("returns", "refunded_at = now()", sold),
            &["refunds_end"],
        ),
        (
            "payment",
            set("refunds", "refunded_at = null, transfer_id = null", sold),
            set("refunds", "refunded_at = now(), transfer_id = 'r'", sold),
            &["refunds_end"],
        ),
        (
            "order 0",
            set("orders", "total_minor = 751", sold),
            set("orders", "total_minor = 750", sold),
            &["confirmed_orders_cost_their_total"],
        ),
        (
            "order 1",
            set("orders", "state = 'placed', cancel_reason = null", cancelled),
            set("orders", "state = 'cancelled', cancel_reason = 'customer'", cancelled),
            &["orders_have_ended"],
        ),
        (
            "payment",
            set("ledger", "amount_minor = 249", cancelled),
            set("ledger", "amount_minor = 250", cancelled),
            &["ledger_agrees_with_the_provider"],
        ),
        (
            "payment",
            set("payments", "called_at = pay_by + interval '1 ms'", sold),
            set("payments", "called_at = pay_by - interval '1 s'", sold),
            &["nothing_is_captured_after_its_pay_by"],
        ),
        (
            "payment",
            "alter view balances rename to kept; create view balances as \
             select account, currency, balance_minor + 1 as balance_minor from kept;"
                .into(),
            "drop view balances; alter view kept rename to balances;".into(),
            &["ledger_sums_to_zero"],
        ),
        (
            "order 1",
            "update messaging.outbox set published_at = null;".into(),
            "update messaging.outbox set published_at = now();".into(),
            &["events_are_published"],
        ),
        (
            "order 0",
            "insert into messaging.outbox (shard, event_id, aggregate_id, type, subject, payload, \
             published_at) select shard, gen_random_uuid(), aggregate_id, type, subject, payload, \
             now() from messaging.outbox;"
                .into(),
            "delete from messaging.outbox where position > (select min(position) from \
             messaging.outbox);"
                .into(),
            &["events_happened_once"],
        ),
        (
            "payment",
            format!(
                "insert into messaging.dead_letters (shard, consumer, event_id, aggregate_id, type, \
                 subject, occurred_at, payload, tries, error) values (0, 'order', '{sold}', \
                 '{sold}', 't', 's', now(), '', 5, 'undecodable');"
            ),
            "delete from messaging.dead_letters;".into(),
            &["no_event_is_dead_lettered"],
        ),
    ]
}

fn broken(verdict: &Verdict) -> BTreeSet<&str> {
    verdict.broken().map(|check| check.name).collect()
}

#[tokio::test]
async fn every_defect_is_found_by_name() {
    let books = Books::open().await;
    let clean = books.verdict().await;
    assert!(clean.is_clean(), "\n{clean}");
    assert!(clean.checks.iter().all(|check| check.looked_at > 0), "\n{clean}");
    let mut proven = BTreeSet::new();
    for (database, plant, undo, expected) in defects(&books) {
        books.sql(database, &plant);
        let verdict = books.verdict().await;
        assert_eq!(broken(&verdict), expected.iter().copied().collect(), "{plant}\n{verdict}");
        proven.extend(expected);
        books.sql(database, &undo);
    }
    assert!(books.verdict().await.is_clean(), "all of it was undone");

    // What cannot be undone comes last.
    books.charge("another-key", books.sold, 1).await;
    assert!(broken(&books.verdict().await).contains("nobody_is_charged_twice"));
    let lost = format!("delete from orders where order_id = '{}';", books.cancelled);
    books.sql("order 1", &lost);
    let verdict = books.verdict().await;
    assert!(broken(&verdict).contains("acknowledged_orders_exist"), "\n{verdict}");
    let told = verdict.to_string();
    assert!(told.contains(&format!("order {} was acknowledged", books.cancelled)), "{told}");
    proven.extend(["nobody_is_charged_twice", "acknowledged_orders_exist"]);

    let all: BTreeSet<&str> = verdict.checks.iter().map(|check| check.name).collect();
    assert_eq!(proven, all, "no check without a defect that it has found");
    books.close().await;
}

#[tokio::test]
async fn a_refund_that_was_refused_is_owed_until_staff_settle_it() {
    let books = Books::open().await;
    let owed = OrderId::mint_on(Shard(255));
    books.sql(
        "order 1",
        &format!(
            "insert into orders (shard, order_id, user_id, cart_id, cart_version, state, \
             cancel_reason, payment_method_id, currency, total_minor, deadline_at, ended_at) \
             values (255, '{owed}', '{owed}', '{owed}', 1, 'cancelled', 'customer', '{owed}', \
             'GBP', 250, now(), now());"
        ),
    );
    books.charge(&owed.to_string(), owed, 250).await;
    books.sql(
        "payment",
        &format!(
            "insert into ledger values ('c-{owed}', '{owed}', 'psp_clearing', 'customer_receipts', \
             'GBP', 250); \
             insert into refunds (order_id, refund_id, currency, amount_minor, refused_at, refusal) \
             values ('{owed}', 'cancellation', 'GBP', 250, now(), 'refund_refused');"
        ),
    );
    let awaiting = books.verdict().await;
    assert!(awaiting.is_clean(), "staff see it\n{awaiting}");

    books.sql(
        "payment",
        &format!(
            "update refunds set refunded_at = now(), transfer_id = 'by_hand', \
             settled_by = '{owed}' where order_id = '{owed}';"
        ),
    );
    let unbooked = books.verdict().await;
    assert_eq!(
        broken(&unbooked),
        BTreeSet::from(["cancelled_orders_cost_nothing"]),
        "\n{unbooked}"
    );
    books.sql(
        "payment",
        &format!(
            "insert into ledger values ('by_hand', '{owed}', 'refunds', 'paid_by_hand', 'GBP', 250);"
        ),
    );
    let settled = books.verdict().await;
    assert!(settled.is_clean(), "\n{settled}");
    books.close().await;
}
