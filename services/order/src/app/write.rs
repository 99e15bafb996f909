//! Group commit: orders that are placed at one moment are written by one transaction, and share its exchanges and its
//! commit. A member's bad luck is its own: who cannot be written is answered for itself, and when the transaction fails
//! because of one of them, each is tried alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use batching::{Batcher, Limits, Unanswered};
use database::{Database, Freshness, Tx, constraint, is_transient};
use futures_util::FutureExt as _;
use kernel::{Money, OrderId, Shard, UserId};
use messaging::{Outbox, Outgoing};
use time::OffsetDateTime;

use super::Error;
use super::carried::{Checkout, Priced};
use crate::domain::checkout::State;
use crate::domain::placing::LINES_MAX;
use crate::domain::{Order, Rejection};
use crate::store::placing::{self, KeptReply, Locked, NewOrder};
use crate::{convert, events};

/// Two groups at once: one is on its way to the disk while the next is written. Reads of kept replies likewise.
const LIMITS: Limits = Limits { size: 64, under_way: 2 };

/// An order that can be written: its lines have left the cart.
pub(super) struct Unwritten {
    pub user: UserId,
    pub id: OrderId,
    pub checkout: Checkout,
    pub priced: Priced,
    /// Of the request, whose trace the order belongs to.
    pub traceparent: Option<String>,
}

impl Unwritten {
    fn order(&self, now: OffsetDateTime) -> Order {
        let Priced { cart, lines, total, .. } = &self.priced;
        Order {
            id: self.id,
            user: self.user,
            cart: *cart,
            state: State::Placed,
            payment_method: self.checkout.payment_method,
            total: *total,
            refunded: Money::zero(total.currency),
            lines: lines.clone(),
            returns: Vec::new(),
            version: 1,
            placed_at: now,
            stock_held_at: None,
            ended_at: None,
        }
    }
}

/// The encoded answer to a checkout.
#[derive(Debug)]
pub(super) enum Written {
    /// To this one.
    New(Vec<u8>),
    /// To an earlier one with the same key.
    Before(Vec<u8>),
}

pub(super) type Answer = Result<Written, Error>;

/// For each database, what writes orders there.
pub(super) fn writers(
    database: &Database,
    outbox: &Outbox,
    deadline: Duration,
) -> Arc<[Batcher<Unwritten, Answer>]> {
    let writer = |home| {
        let writer = Writer { database: database.clone(), outbox: outbox.clone(), deadline, home };
        Batcher::new("order.write", LIMITS, move |unwritten| {
            writer.clone().write(unwritten).boxed()
        })
    };
    database.one_shard_per_database().map(writer).collect()
}

pub(super) type Key = (UserId, String);
pub(super) type Kept = Result<Option<KeptReply>, Error>;

/// For each database, what looks for kept replies there.
pub(super) fn readers(database: &Database) -> Arc<[Batcher<Key, Kept>]> {
    let reader = |home| {
        let database = database.clone();
        Batcher::new("order.kept", LIMITS, move |keys| kept(database.clone(), home, keys).boxed())
    };
    database.one_shard_per_database().map(reader).collect()
}

async fn kept(database: Database, home: Shard, keys: Vec<Key>) -> Vec<Kept> {
    let count = keys.len();
    let kept = database.read(home, Freshness::Primary, move |db| {
        async move { placing::kept_replies(db, &keys).await }.boxed()
    });
    match kept.await {
        Ok(kept) => kept.into_iter().map(Ok).collect(),
        Err(error) => for_all(count, Arc::new(error)),
    }
}

/// The same failure for each of so many.
fn for_all<T>(count: usize, error: Arc<sqlx::Error>) -> Vec<Result<T, Error>> {
    (0..count).map(|_| Err(Error::Database(Arc::clone(&error)))).collect()
}

/// Writes groups of orders to one database.
#[derive(Clone)]
struct Writer {
    database: Database,
    outbox: Outbox,
    deadline: Duration,
    home: Shard,
}

impl Writer {
    async fn write(self, unwritten: Vec<Unwritten>) -> Vec<Answer> {
        let mut answers: Vec<_> = unwritten.iter().map(|_| None).collect();
        let mut rest: Vec<_> = unwritten.into_iter().map(Arc::new).enumerate().collect();
        while !rest.is_empty() {
            let (places, group): (Vec<usize>, Vec<_>) = compatible(&mut rest).into_iter().unzip();
            for (place, answer) in places.into_iter().zip(self.commit(group).await) {
                answers[place] = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Unanswered.into()))).collect()
    }

    async fn commit(&self, group: Vec<Arc<Unwritten>>) -> Vec<Answer> {
        match self.transaction(group.clone()).await {
            Ok(answers) => answers,
            Err(Error::Database(error)) if is_transient(&error) => for_all(group.len(), error),
            Err(error) if group.len() == 1 => vec![Err(error)],
            Err(_) => {
                let mut answers = Vec::with_capacity(group.len());
                for alone in group {
                    let answer = self.transaction(vec![alone]).await;
                    let own = |mut all: Vec<Answer>| all.pop().unwrap_or(Err(Unanswered.into()));
                    answers.push(answer.and_then(own));
                }
                answers
            }
        }
    }

    async fn transaction(&self, group: Vec<Arc<Unwritten>>) -> Result<Vec<Answer>, Error> {
        let writer = self.clone();
        let work = self.database.transaction(self.home, move |tx| {
            async move { writer.write_within(tx, &group).await }.boxed()
        });
        work.await
    }

    async fn write_within(
        &self,
        tx: &mut Tx,
        group: &[Arc<Unwritten>],
    ) -> Result<Vec<Answer>, Error> {
        let keys: Vec<_> = group.iter().map(|it| (it.user, &*it.checkout.key, it.id)).collect();
        let locked = placing::try_lock_keys_and_orders(tx, &keys).await?;
        let decided: Vec<Decided> = group.iter().zip(locked).map(decide).collect();
        let new: Vec<&New> = decided.iter().filter_map(Decided::to_write).collect();
        let written = if new.is_empty() { Vec::new() } else { self.insert(tx, &new).await? };
        let written: HashSet<OrderId> = written.into_iter().collect();
        Ok(decided.into_iter().map(|decided| decided.answer(&written)).collect())
    }

    /// Writes and publishes orders. Returns those that were not abandoned before.
    async fn insert(&self, tx: &mut Tx, new: &[&New]) -> Result<Vec<OrderId>, Error> {
        let rows: Vec<NewOrder<'_>> = new.iter().map(|new| new.row()).collect();
        let written = placing::insert(tx, &rows, self.deadline).await;
        let written = written.map_err(|error| match constraint(&error) {
            Some(name) if placing::ORDERED_BEFORE.contains(&name) => {
                Rejection::CartAlreadyOrdered.into()
            }
            Some(placing::KEY) => Rejection::KeyInFlight.into(),
            _ => Error::from(error),
        })?;
        let placed = new.iter().filter(|new| written.contains(&new.order.id));
        let placed: Vec<Outgoing> = placed.map(|new| new.placed()).collect();
        self.outbox.publish(tx, &placed).await?;
        Ok(written)
    }
}

/// What becomes of a member whose key and order are locked.
enum Decided {
    Answered(Answer),
    Write(Box<New>),
}

struct New {
    of: Arc<Unwritten>,
    order: Order,
    reply: Vec<u8>,
}

fn decide((of, locked): (&Arc<Unwritten>, Locked)) -> Decided {
    if let Some(kept) = locked.kept {
        let reply = of.checkout.same_request(kept);
        return Decided::Answered(reply.map(Written::Before).map_err(Error::from));
    }
    if !locked.key {
        return Decided::Answered(Err(Rejection::KeyInFlight.into()));
    }
    if !locked.order {
        return Decided::Answered(Err(Rejection::CartChanged.into())); // its lines are on their way back
    }
    let order = of.order(locked.now);
    let reply = convert::place_reply(&order);
    Decided::Write(Box::new(New { of: Arc::clone(of), order, reply }))
}

impl Decided {
    fn to_write(&self) -> Option<&New> {
        match self {
            Self::Write(new) => Some(new),
            Self::Answered(_) => None,
        }
    }

    fn answer(self, written: &HashSet<OrderId>) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            Self::Write(new) if written.contains(&new.order.id) => Ok(Written::New(new.reply)),
            Self::Write(_) => Err(Rejection::CartChanged.into()), // abandoned: it has its lines back
        }
    }
}

impl New {
    fn row(&self) -> NewOrder<'_> {
        NewOrder {
            order: &self.order,
            ship_to: &self.of.priced.ship_to,
            key: &self.of.checkout.key,
            fingerprint: self.of.checkout.fingerprint(),
            reply: &self.reply,
        }
    }

    fn placed(&self) -> Outgoing {
        let placed = Outgoing::new(self.order.id, &events::order_placed(&self.order));
        placed.in_trace(self.of.traceparent.clone())
    }
}

/// Takes members of one transaction out of `rest`: a transaction gets a lock again that it has and one statement cannot
/// tell two rows of its own apart, so no key, no order and no cart is in it twice; and it has no more lines than the
/// largest two orders, or its slowness would be everybody's.
fn compatible(rest: &mut Vec<(usize, Arc<Unwritten>)>) -> Vec<(usize, Arc<Unwritten>)> {
    let (mut keys, mut orders, mut carts) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut lines = 0;
    let (group, others) = std::mem::take(rest).into_iter().partition(|(_, it)| {
        lines += it.priced.lines.len();
        // Each is noted, also of one that has to wait: who comes after it stays after it.
        let key = keys.insert((it.user, it.checkout.key.clone()));
        let order = orders.insert(it.id);
        let cart = carts.insert(it.priced.cart);
        let first = lines == it.priced.lines.len();
        key && order && cart && (first || lines <= 2 * LINES_MAX)
    });
    *rest = others;
    group
}
