//! Deadline, cancellation and payment at one moment: the order's row decides, and only once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use kernel::OrderId;
use proto::order::v1::{CancelReason, Order, State};
use proto::payment::v1::PaymentCaptured;
use testkit::eventually;
use tokio::time::{Instant, sleep_until};

use crate::shop::{SOON, Shop, id, reason};

const CUSTOMERS: usize = 8;
/// So many deadlines pass in a second: what a slow machine answers in time beside other tests.
const A_SECOND: usize = 125;
/// The first deadline; the orders are written meanwhile.
const BEGIN: Duration = Duration::from_secs(5);
/// The others come at most so long before a deadline, and so long from then on: deadlines are looked
/// at twice a second.
const EARLY: Duration = Duration::from_millis(100);
const SPREAD_MS: u64 = 700;
const ENDS: &str = "type ~ '(Confirmed|Cancelled)$'";

/// `SOUK_RACES=100000 cargo test -p order deadline_cancel` for more of them.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a scenario, told in order")]
async fn deadline_cancel_and_payment_race_to_one_end() {
    let races: usize = std::env::var("SOUK_RACES").map_or(1_000, |races| races.parse().unwrap());
    let races = races / CUSTOMERS * CUSTOMERS;
    let shop = Shop::open().await;
    let mut customers = Vec::new();
    for nth in 0..CUSTOMERS {
        let customer = shop.customer(nth as u8 * 32, 1);
        customers.push((shop.confirmed(&customer, "key").await, customer));
    }
    let begin_at = format!("select now() + interval '{} seconds'", BEGIN.as_secs());
    let begin_at = shop.world.sql(&shop.databases[0], &begin_at);
    let begin = Instant::now() + BEGIN;
    let of_customers = customers.iter().enumerate();
    let orders: Vec<Vec<OrderId>> = of_customers
        .map(|(nth, (order, _))| shop.like(order, races / CUSTOMERS, nth, &begin_at))
        .collect();

    let race = |nth: usize| {
        let (shop, customer) = (&shop, &customers[nth % CUSTOMERS].1);
        let order = orders[nth % CUSTOMERS][nth / CUSTOMERS];
        let deadline = begin + Duration::from_secs(1).mul_f64(nth as f64 / A_SECOND as f64);
        let moment = move |step: u64| {
            deadline - EARLY + Duration::from_millis(nth as u64 * step % SPREAD_MS)
        };
        async move {
            let captured = async {
                sleep_until(moment(379)).await; // the fault itself
                let event = PaymentCaptured { order_id: order.to_string(), amount: None };
                shop.payment.publish(order, &event).await;
            };
            let cancelled = async {
                if !nth.is_multiple_of(2) {
                    return None;
                }
                sleep_until(moment(613)).await; // the fault itself
                Some(shop.cancel(customer, &order.to_string()).await)
            };
            tokio::join!(captured, cancelled).1
        }
    };
    let raced = stream::iter(0..races).map(race).buffer_unordered(2 * A_SECOND);
    let mut answers: Vec<_> = raced.filter_map(async |answer| answer).collect().await;

    eventually("all have ended, and it is sent", SOON, async || {
        let open = shop.rows("orders where state in ('placed', 'stock_held')")
            + shop.rows("messaging.outbox where published_at is null");
        (open == 0).then_some(())
    })
    .await;
    let all = races + customers.len();
    assert_eq!(shop.rows("orders"), all);
    assert_eq!(shop.rows(&format!("messaging.outbox where {ENDS}")), all);
    let told = format!("orders join messaging.outbox on aggregate_id = order_id and {ENDS}");
    let as_told = "(state = 'confirmed') = (type ~ 'Confirmed$')";
    assert_eq!(
        shop.rows(&format!("{told} and {as_told}")),
        all,
        "one end, and the one that is told"
    );
    let ended = ["deadline", "customer"]
        .map(|reason| shop.rows(&format!("orders where cancel_reason = '{reason}'")));
    println!("{races} races: deadline and cancellation won {ended:?}, payment the others");
    assert!(ended.iter().all(|won| *won > 0) && ended.iter().sum::<usize>() < races);
    let refused = answers.extract_if(.., |answer| answer.is_err()).map(reason);
    let others: Vec<_> = refused.filter(|reason| reason != "order_confirmed").collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(answers.iter().flatten().all(|order| order.state() == State::Cancelled));
    let mine = |order: &&Order| order.cancel_reason() == CancelReason::Customer;
    assert_eq!(answers.iter().flatten().filter(mine).count(), ended[1]);
}

impl Shop {
    /// So many more orders like this one, but with their stock held and nothing after that. Those of the
    /// `nth` customer have every eighth deadline from `begin` on.
    fn like(&self, order: &Order, count: usize, nth: usize, begin: &str) -> Vec<OrderId> {
        let order = id(order);
        let orders: Vec<OrderId> = (0..count).map(|_| OrderId::mint_on(order.shard())).collect();
        let ids: Vec<String> = orders.iter().map(OrderId::to_string).collect();
        let ids = ids.join(",");
        let write = format!(
            "insert into orders select new.* from orders o,
                 unnest('{{{ids}}}'::uuid[]) with ordinality k(order_id, nth),
                 jsonb_populate_record(o, jsonb_build_object('order_id', k.order_id,
                     'cart_version', 100 + k.nth, 'state', 'stock_held', 'ended_at', null,
                     'deadline_at', timestamptz '{begin}'
                         + interval '1 second' * ((k.nth - 1) * {CUSTOMERS} + {nth}) / {A_SECOND})) new
             where o.order_id = '{order}'"
        );
        let here = usize::from(order.shard().0) * self.databases.len() / 256;
        self.world.sql(&self.databases[here], &write);
        orders
    }
}
