//! Payments under any order and repetition of news, beside a provider that keeps its contract.

use std::collections::{BTreeMap, BTreeSet};

use kernel::Shard;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

#[test]
fn more_than_was_paid_never_goes_back() {
    let mut payment = Payment::new(OrderId::mint());
    payment.hear(News::CaptureAsked(wish())).unwrap();
    payment.hear(News::Captured("cap_1".into())).unwrap();
    let euro = Money { currency: kernel::Currency::parse("EUR").unwrap(), minor: 1 };
    for wrong in [Money::gbp(0), Money::gbp(-1), Money::gbp(TOTAL + 1), euro] {
        let refused = payment.hear(News::Returned(ReturnId::mint(), wrong)).unwrap_err();
        assert_eq!(refused.code(), "refund_exceeds_payment");
    }
    payment.hear(News::Returned(ReturnId::mint(), Money::gbp(TOTAL - 1))).unwrap();
    assert!(payment.hear(News::Returned(ReturnId::mint(), Money::gbp(2))).is_err());
}

#[test]
fn a_tombstone_learns_what_it_stands_for_and_stays_one() {
    let mut payment = Payment::new(OrderId::mint());
    payment.hear(News::Cancelled).unwrap();
    assert_eq!(payment.hear(News::CaptureAsked(wish())).unwrap(), []);
    payment.remember(wish());
    assert_eq!((payment.state, payment.wish.is_some()), (State::Voided, true));
}

const TOTAL: i64 = 1_000;

fn wish() -> Wish {
    let user = UserId::mint();
    Wish { user, method: PaymentMethodId::mint_on(Shard(1)), amount: Money::gbp(TOTAL) }
}

/// The provider, as its contract says: what is recorded under a key stays.
#[derive(Default)]
struct Provider {
    captures: BTreeMap<OrderId, Record>,
    refunds: BTreeMap<(OrderId, RefundId), i64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Record {
    Captured,
    Declined,
    Voided,
}

impl Record {
    fn news(self) -> News {
        match self {
            Self::Captured => News::Captured("cap_1".into()),
            Self::Declined => News::Declined("card_declined".into()),
            Self::Voided => News::Voided,
        }
    }
}

/// A payment with everything around it: what the order will say, in any order, and a worker that
/// may act on an old state, and whose answers may be late, repeated or lost.
struct World {
    payment: Payment,
    provider: Provider,
    declines: bool,
    story: Vec<News>,
    answers: Vec<News>,
    seen: State,
    captured: usize,
    refunded: BTreeSet<RefundId>,
}

impl World {
    fn new(declines: bool, story: Vec<News>) -> Self {
        let payment = Payment::new(OrderId::mint());
        let (provider, seen) = (Provider::default(), State::New);
        let (answers, refunded) = (Vec::new(), BTreeSet::new());
        Self { payment, provider, declines, story, answers, seen, captured: 0, refunded }
    }

    fn hear(&mut self, news: News) {
        for effect in self.payment.hear(news).unwrap_or_default() {
            match effect {
                Effect::Captured { .. } => self.captured += 1,
                Effect::Refunded { refund, .. } => {
                    assert!(self.refunded.insert(refund.id), "booked twice");
                }
                Effect::Settled(refund) => assert!(self.refunded.insert(refund.id), "booked twice"),
                Effect::Declined(_) | Effect::Expired | Effect::RefundAsked(_) => {}
            }
        }
    }

    /// The worker leases what it reads, so that the row knows before anybody calls.
    fn lease(&mut self) {
        self.seen = self.payment.state;
        self.payment.called |= self.seen.is_open();
    }

    /// What the worker does with the state that it saw, perhaps long ago.
    fn call(&mut self) {
        let order = self.payment.order;
        let outcome = match self.seen {
            State::Pending if self.declines => Record::Declined,
            State::Pending => Record::Captured,
            State::Cancelling => Record::Voided,
            _ => return,
        };
        let record = *self.provider.captures.entry(order).or_insert(outcome);
        self.answers.push(record.news());
    }

    fn refund(&mut self) {
        let order = self.payment.order;
        if self.provider.captures.get(&order) != Some(&Record::Captured) {
            return;
        }
        for refund in self.payment.refunds.iter().filter(|refund| !refund.state.is_ended()) {
            let known = self.provider.refunds.contains_key(&(order, refund.id));
            let sum: i64 = self.provider.refunds.values().sum();
            if known || sum + refund.amount.minor <= TOTAL {
                self.provider.refunds.insert((order, refund.id), refund.amount.minor);
                self.answers.push(News::Refunded(refund.id, format!("re_{:?}", refund.id)));
            }
        }
    }

    fn act(&mut self, what: u8, at: Index) {
        match what {
            0 | 1 if !self.story.is_empty() => {
                let news = self.story[at.index(self.story.len())].clone(); // and again, later
                self.hear(news);
            }
            2 => self.lease(),
            3 => self.call(),
            4 => self.refund(),
            5 if !self.answers.is_empty() => {
                let news = self.answers[at.index(self.answers.len())].clone();
                self.hear(news);
            }
            6 if !self.answers.is_empty() => {
                self.answers.swap_remove(at.index(self.answers.len())); // lost
            }
            _ => self.hear(News::Unknown),
        }
    }

    /// Everything is said once more, and the worker goes on until nothing changes.
    fn settle(&mut self) {
        for news in self.story.clone() {
            self.hear(news);
        }
        for _ in 0..4 {
            self.lease();
            self.call();
            self.refund();
            for news in std::mem::take(&mut self.answers) {
                self.hear(news);
            }
        }
    }

    fn net(&self) -> i64 {
        let captured = self.provider.captures.get(&self.payment.order) == Some(&Record::Captured);
        i64::from(captured) * TOTAL - self.provider.refunds.values().sum::<i64>()
    }
}

fn acts() -> impl Strategy<Value = Vec<(u8, Index)>> {
    proptest::collection::vec((0..8u8, any::<Index>()), 0..60)
}

proptest! {
    #[test]
    fn a_cancelled_order_nets_zero_whatever_comes_first(declines: bool, acts in acts()) {
        let mut world = World::new(declines, vec![News::CaptureAsked(wish()), News::Cancelled]);
        for (what, at) in acts {
            world.act(what, at);
        }
        world.settle();
        prop_assert_eq!(world.net(), 0);
        prop_assert!(world.captured <= 1);
        let ends = [State::Voided, State::Declined, State::Refunded];
        prop_assert!(ends.contains(&world.payment.state), "{:?}", world.payment.state);
    }

    #[test]
    fn an_order_that_goes_on_is_paid_once_and_refunded_once_per_return(
        declines: bool,
        acts in acts(),
        parts in proptest::collection::vec(1..300i64, 0..4),
    ) {
        let returned = |part: &i64| News::Returned(ReturnId::mint(), Money::gbp(*part));
        let mut story: Vec<News> = parts.iter().map(returned).collect();
        story.push(News::CaptureAsked(wish()));
        let mut world = World::new(declines, story);
        for (what, at) in acts {
            world.act(what, at);
        }
        world.settle();
        prop_assert_eq!(world.captured, usize::from(!declines));
        let back: i64 = if declines { 0 } else { parts.iter().sum() };
        prop_assert_eq!(world.net(), if declines { 0 } else { TOTAL - back });
        prop_assert_eq!(world.payment.refunded_minor(), back);
        prop_assert_eq!(world.refunded.len(), if declines { 0 } else { parts.len() });
    }

    #[test]
    fn a_cancellation_takes_back_what_returns_left(
        acts in acts(),
        parts in proptest::collection::vec(1..300i64, 0..4),
    ) {
        let returned = |part: &i64| News::Returned(ReturnId::mint(), Money::gbp(*part));
        let mut story: Vec<News> = parts.iter().map(returned).collect();
        story.extend([News::CaptureAsked(wish()), News::Cancelled]);
        let mut world = World::new(false, story);
        for (what, at) in acts {
            world.act(what, at);
        }
        world.settle();
        prop_assert_eq!(world.net(), 0);
        prop_assert!(world.captured <= 1);
    }
}
