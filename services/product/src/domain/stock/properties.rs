//! Orders over scarce products, told in any order and any number of times.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::Stock;
use super::*;

const PRODUCTS: u128 = 4;

fn product(n: u128) -> ProductId {
    Uuid::from_u128(n).into()
}

/// What happens to one order. `ends` is both in stories that cannot be true.
#[derive(Clone, Debug)]
struct Story {
    lines: Vec<Line>,
    ends: Vec<Signal>,
    returns: Vec<Vec<Line>>,
}

fn some_lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (0..PRODUCTS, 1..6i64).prop_map(|(n, quantity)| (product(n), quantity));
    vec(line, 1..4).prop_map(lines)
}

fn story(impossible: bool) -> impl Strategy<Value = Story> {
    let ends = prop_oneof![
        Just(vec![]),
        Just(vec![Signal::Cancelled]),
        Just(vec![Signal::Confirmed]),
        Just(if impossible { vec![Signal::Confirmed, Signal::Cancelled] } else { vec![] }),
    ];
    (some_lines(), ends, vec(some_lines(), 0..3)).prop_map(move |(lines, ends, returns)| {
        let sold = impossible || ends == [Signal::Confirmed];
        Story { lines, ends, returns: if sold { returns } else { vec![] } }
    })
}

/// One thing that is told: of which order, and what.
type Told = (usize, Signal);

fn truth(stories: &[Story]) -> Vec<Told> {
    let mut told = Vec::new();
    for (order, story) in stories.iter().enumerate() {
        told.push((order, Signal::Placed(story.lines.clone())));
        told.extend(story.ends.iter().map(|end| (order, end.clone())));
        for (n, lines) in story.returns.iter().enumerate() {
            let id = Uuid::from_u128((order * 10 + n) as u128).into();
            told.push((order, Signal::Returned(id, lines.clone())));
        }
    }
    told
}

/// Stories, and what is told of them: everything at least once, in no order.
fn told(impossible: bool) -> impl Strategy<Value = (Vec<Story>, Vec<Told>)> {
    vec(story(impossible), 1..7).prop_flat_map(|stories| {
        let truth = truth(&stories);
        let again = vec(any::<prop::sample::Index>(), 0..20);
        (
            Just(stories),
            again.prop_flat_map(move |again| {
                let mut told = truth.clone();
                told.extend(again.iter().map(|at| at.get(&truth).clone()));
                Just(told).prop_shuffle()
            }),
        )
    })
}

fn shelves(on_hand: &[i64]) -> Shelves {
    let stock = |on_hand: i64| Stock { received: on_hand, on_hand, ..Stock::default() };
    (0..).map(product).zip(on_hand.iter().map(|on_hand| stock(*on_hand))).collect()
}

#[derive(Clone, Debug, Default, PartialEq)]
struct World {
    reservations: BTreeMap<usize, Reservation>,
    shelves: Shelves,
}

impl World {
    fn new(on_hand: &[i64]) -> Self {
        Self { shelves: shelves(on_hand), ..Self::default() }
    }

    fn tell(&mut self, (order, signal): &Told) -> Vec<Event> {
        let reservation = self.reservations.entry(*order).or_default();
        fold(reservation, &mut self.shelves, signal.clone())
    }

    fn after(mut self, told: &[Told]) -> Self {
        told.iter().for_each(|told| drop(self.tell(told)));
        self
    }

    /// How many pieces of a product the orders in this state have.
    fn sum(&self, product: ProductId, state: State) -> i64 {
        let there = self.reservations.values().filter(|reservation| reservation.state == state);
        there.map(|reservation| left(reservation, product)).sum()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (id, stock) in &self.shelves {
            prop_assert!(stock.on_hand >= 0, "{stock:?}");
            prop_assert!((0..=stock.on_hand).contains(&stock.reserved), "oversold: {stock:?}");
            prop_assert_eq!(stock.received, stock.on_hand + stock.shipped);
            prop_assert_eq!(stock.reserved, self.sum(*id, State::Held));
            prop_assert_eq!(stock.shipped, self.sum(*id, State::Shipped));
        }
        Ok(())
    }
}

/// The pieces of an order that it holds or that have not come back.
fn left(reservation: &Reservation, product: ProductId) -> i64 {
    let of = |lines: &[Line]| -> i64 {
        lines.iter().filter(|line| line.product == product).map(|line| line.quantity).sum()
    };
    let came: i64 = reservation.returns.values().map(|lines| of(lines)).sum();
    (of(&reservation.lines) - came).max(0)
}

fn scarce() -> impl Strategy<Value = Vec<i64>> {
    vec(0..12i64, PRODUCTS as usize)
}

const PLENTY: [i64; PRODUCTS as usize] = [1_000_000; PRODUCTS as usize];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_is_oversold_or_lost_at_any_moment(on_hand in scarce(), (_, told) in told(true)) {
        let mut world = World::new(&on_hand);
        for told in &told {
            world.tell(told);
            world.check()?;
        }
    }

    #[test]
    fn an_order_that_was_cancelled_ends_with_nothing_held(
        on_hand in scarce(), (stories, told) in told(false)
    ) {
        let world = World::new(&on_hand).after(&told);
        for (order, story) in stories.iter().enumerate() {
            let state = world.reservations[&order].state;
            if story.ends == [Signal::Cancelled] {
                prop_assert!(matches!(state, State::Released | State::Rejected), "{state:?}");
            }
        }
    }

    #[test]
    fn every_order_gets_one_verdict_unless_it_was_cancelled_before(
        on_hand in scarce(), (stories, told) in told(false)
    ) {
        let mut world = World::new(&on_hand);
        let (mut verdicts, mut cancelled) = (BTreeMap::<usize, usize>::new(), BTreeSet::new());
        for told in &told {
            let news = |event: &Event| matches!(event, Event::Held(_) | Event::Rejected(_));
            let news = world.tell(told).iter().filter(|event| news(event)).count();
            prop_assert!(news == 0 || !cancelled.contains(&told.0));
            *verdicts.entry(told.0).or_default() += news;
            if told.1 == Signal::Cancelled {
                cancelled.insert(told.0);
            }
        }
        for (order, story) in stories.iter().enumerate() {
            let expected = if story.ends == [Signal::Cancelled] { 0..=1 } else { 1..=1 };
            prop_assert!(expected.contains(&verdicts[&order]));
        }
    }

    #[test]
    fn what_is_told_again_changes_nothing(on_hand in scarce(), (_, told) in told(true)) {
        let mut once: Vec<Told> = Vec::new();
        for told in &told {
            if !once.contains(told) {
                once.push(told.clone());
            }
        }
        let (all, once) = (World::new(&on_hand).after(&told), World::new(&on_hand).after(&once));
        prop_assert_eq!(all, once);
    }

    #[test]
    fn where_nothing_is_scarce_the_order_does_not_matter((stories, told) in told(false)) {
        let shuffled = World::new(&PLENTY).after(&told);
        let in_order = World::new(&PLENTY).after(&truth(&stories));
        prop_assert_eq!(&shuffled.shelves, &in_order.shelves);
        for (order, story) in stories.iter().enumerate() {
            let (one, other) = (&shuffled.reservations[&order], &in_order.reservations[&order]);
            prop_assert_eq!((one.state, &one.returns), (other.state, &other.returns));
            // A cancellation that came first leaves no lines to remember.
            if story.ends != [Signal::Cancelled] {
                prop_assert_eq!(&one.lines, &other.lines);
            }
        }
    }

    #[test]
    fn what_is_released_can_be_sold_again(on_hand in 1..50i64, (_, told) in told(false)) {
        let world = World::new(&[on_hand; PRODUCTS as usize]).after(&told);
        for (id, stock) in world.shelves.clone() {
            let wanted = lines([(id, stock.available())]);
            if stock.available() > 0 {
                let verdict = world.clone().tell(&(99, Signal::Placed(wanted.clone())));
                prop_assert_eq!(verdict, [Event::Held(wanted)]);
            }
            let more = lines([(id, stock.available() + 1)]);
            let verdict = world.clone().tell(&(99, Signal::Placed(more)));
            prop_assert!(matches!(verdict[..], [Event::Rejected(_)]));
        }
    }
}
