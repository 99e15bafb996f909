//! Group commit: orders that are placed at one moment are written by one transaction, and share its exchanges and its
//! commit. A member's bad luck is its own: who cannot be written is answered for itself, and when the transaction fails
//! because of one of them, each is tried alone.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use batching::{Batcher, Limits, Unanswered};
use crash::Point;
use database::{Database, Tx, constraint, is_contended, is_transient, shared};
use futures_util::FutureExt as _;
use kernel::{Money, OrderId, Shard, UserId};
use messaging::{Outbox, Outgoing};
use time::OffsetDateTime;

use super::carried::{Checkout, Priced};
use super::{Error, GROUP_MAX};
use crate::domain::checkout::State;
use crate::domain::placing::LINES_MAX;
use crate::domain::{Order, Rejection};
use crate::store::placing::{self, Inserted, Locked, NewOrder};
use crate::{convert, events};

/// Two groups at once: one is on its way to the disk while the next is written.
const LIMITS: Limits = Limits { size: GROUP_MAX, under_way: 2 };

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
            Ok(answers) => {
                if group.len() > 1 {
                    crash::point(Point::GroupAfter);
                }
                answers
            }
            Err(error) if group.len() == 1 => vec![Err(error)],
            Err(error) => match outage(error) {
                Ok(error) => group.iter().map(|_| Err(error().into())).collect(),
                Err(_) => self.commit_one_by_one(group).await,
            },
        }
    }

    /// Until all are, or the database is away.
    async fn commit_one_by_one(&self, group: Vec<Arc<Unwritten>>) -> Vec<Answer> {
        let count = group.len();
        let mut answers: Vec<Answer> = Vec::with_capacity(count);
        for alone in group {
            match self.transaction(vec![alone]).await.map_err(outage) {
                Ok(mut all) => answers.push(all.pop().unwrap_or(Err(Unanswered.into()))),
                Err(Err(own)) => answers.push(Err(own)),
                Err(Ok(outage)) => {
                    answers.resize_with(count, || Err(outage().into()));
                    break;
                }
            }
        }
        answers
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
        let inserted = if new.is_empty() { HashMap::new() } else { self.insert(tx, &new).await? };
        if group.len() > 1 {
            crash::point(Point::GroupBefore);
        }
        Ok(decided.into_iter().map(|decided| decided.answer(&inserted)).collect())
    }

    /// Writes and publishes orders. Returns what became of them; one that was abandoned before is missing.
    async fn insert(&self, tx: &mut Tx, new: &[&New]) -> Result<HashMap<OrderId, Inserted>, Error> {
        let rows: Vec<NewOrder<'_>> = new.iter().map(|new| new.row()).collect();
        let inserted = placing::insert(tx, &rows, self.deadline).await;
        let inserted = inserted.map_err(|error| match constraint(&error) {
            Some(name) if placing::ORDERED_BEFORE.contains(&name) => {
                Rejection::CartAlreadyOrdered.into()
            }
            Some(placing::KEY) => Rejection::KeyInFlight.into(),
            _ => Error::from(error),
        })?;
        let is_written = |new: &&&New| inserted.get(&new.order.id) == Some(&Inserted::Written);
        let placed: Vec<Outgoing> = new.iter().filter(is_written).map(|new| new.placed()).collect();
        self.outbox.publish(tx, &placed).await?;
        Ok(inserted)
    }
}

/// An error of the database that all of a group share; else the error, which may be one member's.
fn outage(error: Error) -> Result<impl Fn() -> sqlx::Error, Error> {
    match error {
        Error::Database(error) if is_transient(&error) && !is_contended(&error) => {
            Ok(shared(error))
        }
        other => Err(other),
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

    fn answer(self, inserted: &HashMap<OrderId, Inserted>) -> Answer {
        let new = match self {
            Self::Answered(answer) => return answer,
            Self::Write(new) => new,
        };
        match inserted.get(&new.order.id) {
            Some(Inserted::Written) => Ok(Written::New(new.reply)),
            Some(Inserted::OrderedBefore) => Err(Rejection::CartAlreadyOrdered.into()),
            None => Err(Rejection::CartChanged.into()), // abandoned: the cart has its lines back
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
