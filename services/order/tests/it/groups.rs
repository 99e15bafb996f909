//! Checkouts that run at one moment travel together: each is answered as if it were alone.

use std::time::Duration;

use futures_util::future::{join, join_all};
use kernel::PaymentMethodId;
use proto::money::v1::Money;
use proto::order::v1::{Order, OrderPlaced, PlaceOrderRequest};
use telemetry::catalogue::BATCH_WAITING;
use testkit::eventually;
use tokio::sync::Mutex;
use tonic::{Code, Status};

use crate::shop::{Customer, SOON, Shop, reason};

/// How many questions of a kind are under way at once.
const UNDER_WAY: usize = 2;
/// The largest group.
const BOUND: usize = 64;
/// How often a group is tried to be formed of exactly those who should be in it: who waits is counted for the process,
/// and others place orders too.
const TRIES: usize = 10;
/// So groups are formed by one test at a time.
static FORMING: Mutex<()> = Mutex::const_new(());

/// One who checks out.
#[derive(Clone, Copy)]
struct Member<'a> {
    customer: &'a Customer,
    key: &'a str,
    agreed: Option<i64>,
}

impl<'a> Member<'a> {
    fn new(customer: &'a Customer, key: &'a str) -> Self {
        Self { customer, key, agreed: None }
    }
}

impl Shop {
    /// Has these check out while as many questions of others for their carts are under way as may be, so that those who get
    /// so far go together.
    async fn place_together(
        &self,
        members: &[Member<'_>],
        so_far: usize,
    ) -> Vec<Result<Order, Status>> {
        let _forming = FORMING.lock().await;
        let others: [Customer; UNDER_WAY] = std::array::from_fn(|_| self.customer(9, 1));
        let before = self.neighbours.asked("get_cart").len();
        self.neighbours.hold("get_cart");
        let asked = |count: usize| async move {
            eventually("they are under way", SOON, async || {
                (self.neighbours.asked("get_cart").len() >= before + count).then_some(())
            })
            .await;
        };
        let alone = others.iter().enumerate().map(|(nth, other)| async move {
            asked(nth).await; // one after the other, so that they do not go together
            self.place(other, "alone").await.expect("nobody is in the way of who is alone");
        });
        let group = async {
            asked(UNDER_WAY).await;
            let release = async {
                eventually("the others wait", SOON, async || {
                    let waiting = BATCH_WAITING.with_label_values(&["cart.get"]).get();
                    (waiting >= so_far as i64).then_some(())
                })
                .await;
                self.neighbours.release("get_cart");
            };
            let all = members.iter().map(|it| {
                let agreed =
                    it.agreed.map(|minor_units| Money { currency: "GBP".into(), minor_units });
                self.place_until_answered(it.customer, it.key, agreed)
            });
            join(join_all(all), release).await.0
        };
        join(join_all(alone), group).await.1
    }

    /// Asks again while the key is in flight, as a client does: two with one key need not be written in one group.
    async fn place_until_answered(
        &self,
        customer: &Customer,
        key: &str,
        agreed: Option<Money>,
    ) -> Result<Order, Status> {
        eventually("the key is answered", SOON, async || {
            let answer = self.place_for(customer, key, agreed.clone()).await;
            (!is_in_flight(&answer)).then_some(answer)
        })
        .await
    }

    /// So many customers of one database, each of whom wants another number of pieces.
    fn crowd(&self, count: usize) -> Vec<Customer> {
        (1..).take(count).map(|pieces| self.customer(9, pieces)).collect()
    }

    /// In how many transactions these orders were written: the time of each is that of its transaction.
    fn transactions(&self, orders: &[Order]) -> usize {
        let ids: Vec<_> = orders.iter().map(|order| format!("'{}'", order.order_id)).collect();
        let of =
            format!("select distinct placed_at from orders where order_id in ({})", ids.join(","));
        self.rows(&format!("({of}) transactions"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_any_size_are_written_together_and_answered_one_by_one() {
    let shop = Shop::open().await;
    let mut published = shop.published().await;
    for size in [2, 32, BOUND] {
        for tries in 1.. {
            let customers = shop.crowd(size);
            let members: Vec<_> = customers.iter().map(|it| Member::new(it, "key")).collect();
            let before = shop.neighbours.asked("get_cart").len();
            let placed = shop.place_together(&members, size).await;
            let orders: Vec<Order> = placed.into_iter().map(Result::unwrap).collect();
            for (pieces, order) in (1..).zip(&orders) {
                let bought: Vec<_> = order.lines.iter().map(|line| line.quantity).collect();
                assert_eq!(bought, [pieces], "an order of one's own");
            }
            let mut told = Vec::new();
            for _ in 0..size + UNDER_WAY {
                told.push(published.expect::<OrderPlaced>().await.order_id);
            }
            assert!(orders.iter().all(|order| told.contains(&order.order_id)), "each is published");
            if shop.neighbours.asked("get_cart")[before..] == [1, 1, size] {
                let transactions = shop.transactions(&orders);
                println!("{size} orders at once: {transactions} transactions");
                assert!(
                    size == 2 || transactions <= size / 2,
                    "{size} orders, {transactions} transactions"
                );
                break;
            }
            assert!(
                tries < TRIES,
                "never {size} together: {:?}",
                shop.neighbours.asked("get_cart")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a scenario, told in order")]
async fn a_bad_member_at_any_place_spoils_its_own_answer_only() {
    let shop = Shop::open().await;
    for turn in 0..7 {
        let good = shop.crowd(7);
        let [no_cart, mut other_body, unknown, refused, before, tab, moved] =
            std::array::from_fn(|_| shop.customer(9, 2));
        shop.fill(&no_cart, 1, 0);
        shop.place(&other_body, "key").await.unwrap();
        shop.put(&other_body, 1);
        other_body.payment_method = PaymentMethodId::mint();
        let product = unknown.product.to_string();
        shop.neighbours.products.lock().unwrap().retain(|it| it.product_id != product);
        shop.neighbours
            .refused
            .lock()
            .unwrap()
            .insert(refused.user.to_string(), Code::Unauthenticated);
        let kept = shop.place(&before, "key").await.unwrap();
        shop.place(&tab, "first-tab").await.unwrap();

        let key = |customer| Member::new(customer, "key");
        let agreed = Member { agreed: Some(499), ..key(&moved) };
        let bad = [
            key(&no_cart),
            key(&other_body),
            key(&unknown),
            key(&refused),
            key(&before),
            key(&tab),
            agreed,
        ];
        let mut members: Vec<_> = good.iter().map(key).collect();
        for (nth, bad) in bad.iter().enumerate() {
            members.insert((nth * 3 + turn * 2) % (members.len() + 1), *bad);
        }
        let mut told = std::collections::BTreeMap::new();
        for (member, answer) in
            members.iter().zip(shop.place_together(&members, members.len() - 2).await)
        {
            told.insert(member.customer.user, answer);
        }
        let mut answer = |customer: &Customer| told.remove(&customer.user).unwrap();
        assert_eq!(reason(answer(&no_cart)), "cart_empty");
        assert_eq!(reason(answer(&other_body)), "idempotency_key_reused");
        assert_eq!(reason(answer(&unknown)), "product_unavailable");
        assert_eq!(answer(&refused).unwrap_err().code(), Code::Unauthenticated);
        assert_eq!(answer(&before).unwrap(), kept);
        assert_eq!(reason(answer(&tab)), "cart_already_ordered");
        assert_eq!(reason(answer(&moved)), "total_changed");
        for (pieces, customer) in (1..).zip(&good) {
            assert_eq!(answer(customer).unwrap().lines[0].quantity, pieces);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_and_one_cart_in_a_group_are_one_order() {
    let shop = Shop::open().await;
    for _ in 0..5 {
        let (mut twice, mut tabs) = (shop.customer(9, 3), shop.customer(9, 4));
        let mut body = shop.customer(9, 5);
        let members = [
            Member::new(&twice, "key"),
            Member::new(&tabs, "first-tab"),
            Member::new(&twice, "key"),
            Member::new(&tabs, "second-tab"),
            Member::new(&body, "key"),
            Member { agreed: Some(1_250), ..Member::new(&body, "key") },
        ];
        let before = shop.rows("orders");
        let mut answers = shop.place_together(&members, members.len()).await;
        let bodies = answers.split_off(4);
        let tab = [answers.remove(1), answers.remove(2)];
        let same: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(same[0], same[1], "one key, one answer");
        assert_eq!(tab.iter().filter(|it| it.is_ok()).count(), 1, "one cart, one order: {tab:?}");
        let lost = tab.into_iter().find(Result::is_err).unwrap();
        assert_eq!(reason(lost), "cart_already_ordered");
        assert_eq!(bodies.iter().filter(|it| it.is_ok()).count(), 1, "{bodies:?}");
        let lost = bodies.into_iter().find(Result::is_err).unwrap();
        assert_eq!(reason(lost), "idempotency_key_reused");
        assert_eq!(shop.rows("orders"), before + 3 + UNDER_WAY, "and of those who were alone");
        for customer in [&mut twice, &mut tabs, &mut body] {
            assert!(shop.neighbours.cart(customer).items.is_empty());
        }
    }
}

fn is_in_flight(answer: &Result<Order, Status>) -> bool {
    let reason = answer.as_ref().err().and_then(rpc::status::reason);
    reason.as_deref() == Some("idempotency_key_in_flight")
}

/// Refuses the rows of one customer, as no rule of the shop does.
const REFUSE: &str = "create function refuse() returns trigger language plpgsql as
    $$ begin raise exception 'not this one'; end $$;
    create trigger refuse before insert on orders for each row";

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_database_refuses_costs_its_own_order_only() {
    let shop = Shop::open().await;
    let (good, [refused, ordered]) =
        (shop.crowd(16), [1, 2].map(|pieces| shop.customer(9, pieces)));
    let url = &shop.databases[0];
    let when = format!("when (new.user_id = '{}') execute function refuse()", refused.user);
    shop.world.sql(url, &format!("{REFUSE} {when}"));
    // An order of this cart at this version, that a release wrote which left the lines in the cart.
    let before = shop.place(&good[0], "before").await.unwrap();
    shop.put(&good[0], 1);
    shop.world.sql(
        url,
        &format!(
        "insert into orders select new.* from orders o, jsonb_populate_record(o, jsonb_build_object(
             'order_id', gen_random_uuid(), 'user_id', '{0}', 'cart_id', '{0}')) new
         where o.order_id = '{1}'",
        ordered.user, before.order_id
    ),
    );
    let mut members: Vec<_> = good.iter().map(|it| Member::new(it, "key")).collect();
    members.insert(5, Member::new(&refused, "key"));
    members.insert(9, Member::new(&ordered, "key"));
    let mut answers = shop.place_together(&members, members.len()).await;
    assert_eq!(reason(answers.remove(9)), "cart_already_ordered");
    assert_eq!(answers.remove(5).unwrap_err().code(), Code::Internal);
    let orders: Vec<Order> = answers.into_iter().map(Result::unwrap).collect();
    let own = orders
        .iter()
        .zip(&good)
        .all(|(order, customer)| order.lines[0].product_id == customer.product.to_string());
    assert!(own, "each has an order of its own: {orders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_no_longer_leaves_the_group_and_nobody_with_him() {
    let shop = Shop::open().await;
    let (patient, hurried) = (shop.crowd(3), shop.customer(9, 1));
    shop.neighbours.hold("get_address");
    let placed = join_all(patient.iter().map(|it| shop.place(it, "key")));
    let mut request = hurried.request(PlaceOrderRequest {
        idempotency_key: "key".into(),
        payment_method_id: hurried.payment_method.to_string(),
        ..PlaceOrderRequest::default()
    });
    request.set_timeout(Duration::from_millis(500));
    let mut client = shop.client.clone();
    let gone = async {
        let gone = client.place_order(request).await.unwrap_err();
        shop.neighbours.release("get_address");
        gone
    };
    let (placed, gone) = join(placed, gone).await;
    assert_eq!(gone.code(), Code::DeadlineExceeded);
    assert!(placed.iter().all(Result::is_ok), "{placed:?}");
    assert_eq!(shop.neighbours.cart(&hurried).items.len(), 1, "nothing left his cart");
    shop.place(&hurried, "key").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_of_the_release_before_are_asked_one_by_one() {
    let shop = Shop::open().await;
    *shop.neighbours.alone_only.lock().unwrap() = true;
    let customers = shop.crowd(8);
    let members: Vec<_> = customers.iter().map(|it| Member::new(it, "key")).collect();
    for placed in shop.place_together(&members, members.len()).await {
        placed.unwrap();
    }
    let asked = shop.neighbours.asked("get_cart");
    assert!(asked.iter().any(|size| *size > 1), "they were asked together first: {asked:?}");
}
