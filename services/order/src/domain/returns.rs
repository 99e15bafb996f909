//! A return. Its state is a row beside the order's, and this table is all that it does:
//!
//! | state \ input | Receive    | Refuse    | Refunded   |
//! |---------------|------------|-----------|------------|
//! | requested     | → received | → refused | ignored    |
//! | received      | conflict   | conflict  | → refunded |
//! | refused       | conflict   | conflict  | ignored    |
//! | refunded      | conflict   | conflict  | ignored    |
//!
//! `Receive` and `Refuse` are commands of staff, `Refunded` is payment's event. `→ received` alone publishes
//! anything, `OrderReturned` with what has arrived: so nothing is refunded or on the shelf again before
//! somebody has seen it. What has not arrived, or is refused, is no longer on its way and may be
//! requested again. A request, a receipt or a refusal that comes again changes nothing; one that
//! says something else about the same return is a conflict.

use std::collections::BTreeMap;

use kernel::{Money, ProductId, ReturnId, UserId};
use time::OffsetDateTime;

use super::{Line, Order, Rejection, checkout};

/// Where a return stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The customer sends it back.
    Requested,
    /// Staff has it, or a part of it.
    Received,
    /// Staff takes nothing of it back.
    Refused,
    /// The customer has the money.
    Refunded,
}

/// What can happen to a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Staff says what has arrived.
    Receive,
    /// Staff takes nothing back.
    Refuse,
    /// Payment has given the money back.
    Refunded,
}

/// The table. `None` is an input that is ignored.
///
/// # Errors
/// On a decision about a return that is decided about.
pub fn next(state: State, input: Input) -> Result<Option<State>, Rejection> {
    use State::*;
    Ok(match (state, input) {
        (Requested, Input::Receive) => Some(Received),
        (Requested, Input::Refuse) => Some(Refused),
        (Received, Input::Refunded) => Some(Refunded),
        (Requested | Refused | Refunded, Input::Refunded) => None,
        (Received | Refunded, Input::Receive | Input::Refuse) => {
            return Err(Rejection::ReturnReceived);
        }
        (Refused, Input::Receive | Input::Refuse) => return Err(Rejection::ReturnRefused),
    })
}

/// Pieces by product, each product once.
pub type Pieces = BTreeMap<ProductId, i64>;

/// Adds up the pieces of each product.
pub fn pieces(items: impl IntoIterator<Item = (ProductId, i64)>) -> Pieces {
    let mut pieces = Pieces::new();
    for (product, quantity) in items {
        let sum = pieces.entry(product).or_default();
        *sum = sum.saturating_add(quantity); // more than anybody has bought: refused
    }
    pieces.retain(|_, quantity| *quantity != 0);
    pieces
}

/// Some pieces of an order that come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// Chosen by the customer: the same id is the same return.
    pub id: ReturnId,
    /// Where it stands.
    pub state: State,
    /// What the customer sends back.
    pub requested: Pieces,
    /// What is paid back: for what was requested, once it is decided about for what was received.
    pub refund: Money,
    /// When each step was made, by the clock of the order's database.
    pub requested_at: OffsetDateTime,
    /// What staff found. `None` before, and of returns that a release accepted that knew no receipt.
    pub decision: Option<Decision>,
    /// When payment said that the money is back.
    pub refunded_at: Option<OffsetDateTime>,
}

/// What a member of staff found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What has arrived; nothing when the return was refused.
    pub received: Pieces,
    /// Why not everything, for the customer.
    pub reason: String,
    /// Who.
    pub by: UserId,
    /// When.
    pub at: OffsetDateTime,
}

/// A return that may be requested, with what it will pay back if all of it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: ReturnId,
    /// What the customer sends back.
    pub pieces: Pieces,
    /// At the prices that were paid.
    pub refund: Money,
}

/// Decides on a request. `None`: the same was requested before.
///
/// # Errors
/// When the id names another return, or what is to come back was not bought or is back already.
pub fn request(order: &Order, id: ReturnId, pieces: Pieces) -> Result<Option<Request>, Rejection> {
    if let Some(known) = order.returns.iter().find(|known| known.id == id) {
        let same = known.requested == pieces;
        return if same { Ok(None) } else { Err(Rejection::KeyReused) };
    }
    if order.state != checkout::State::Confirmed {
        return Err(Rejection::OrderNotConfirmed);
    }
    if pieces.is_empty() {
        return Err(Rejection::NothingToReturn);
    }
    for (&product, &quantity) in &pieces {
        returnable(&order.lines, product, quantity)?;
    }
    let refund = worth(order, &pieces)?;
    Ok(Some(Request { id, pieces, refund }))
}

fn returnable(lines: &[Line], product: ProductId, quantity: i64) -> Result<(), Rejection> {
    let line = lines.iter().find(|line| line.product == product);
    let (bought, returned, requested) =
        line.map_or((0, 0, 0), |line| (line.quantity, line.returned, line.return_requested));
    if (1..=bought - returned - requested).contains(&quantity) {
        return Ok(());
    }
    Err(Rejection::NotReturnable { product, bought, returned, requested })
}

/// What these pieces cost.
fn worth(order: &Order, pieces: &Pieces) -> Result<Money, Rejection> {
    let lines = order.lines.iter().filter_map(|line| Some((line, *pieces.get(&line.product)?)));
    let mut sum = Money::zero(order.total.currency);
    for (line, quantity) in lines {
        let part = line.unit_price.times(quantity).map_err(|_| Rejection::AmountOutOfRange)?;
        sum = sum.plus(part).map_err(|_| Rejection::AmountOutOfRange)?;
    }
    Ok(sum)
}

/// What becomes of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Of which.
    pub id: ReturnId,
    /// Received or refused.
    pub state: State,
    /// What is no longer on its way.
    pub requested: Pieces,
    /// What has arrived.
    pub received: Pieces,
    /// What is paid back for that.
    pub refund: Money,
    /// Why not everything.
    pub reason: String,
}

/// Decides on what staff says has arrived; when nothing has, the return is refused. `None`: the same
/// was said before.
///
/// # Errors
/// When there is no such return, it is decided about otherwise, or more has arrived than was
/// requested; when less has, without a reason.
pub fn decide(
    order: &Order,
    id: ReturnId,
    received: Pieces,
    reason: String,
) -> Result<Option<Decided>, Rejection> {
    let found = order.returns.iter().find(|found| found.id == id);
    let found = found.ok_or(Rejection::ReturnNotFound)?;
    let same = |made: &Decision| made.received == received && made.reason == reason;
    if found.decision.as_ref().is_some_and(same) {
        return Ok(None);
    }
    let input = if received.is_empty() { Input::Refuse } else { Input::Receive };
    let Some(state) = next(found.state, input)? else { return Ok(None) };
    within(&found.requested, &received)?;
    if reason.is_empty() && received != found.requested {
        return Err(Rejection::ReasonMissing);
    }
    let (requested, refund) = (found.requested.clone(), worth(order, &received)?);
    Ok(Some(Decided { id, state, requested, received, refund, reason }))
}

/// Nothing arrives that was not requested.
fn within(requested: &Pieces, received: &Pieces) -> Result<(), Rejection> {
    for (&product, &received) in received {
        let requested = requested.get(&product).copied().unwrap_or_default();
        if !(1..=requested).contains(&received) {
            return Err(Rejection::NotRequested { product, requested, received });
        }
    }
    Ok(())
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Requested, Self::Received, Self::Refused, Self::Refunded];

    /// As stored; a refund is stored as its time.
    pub fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Received | Self::Refunded => "received",
            Self::Refused => "refused",
        }
    }

    /// Reads what [`State::code`] wrote.
    pub fn parse(code: &str, refunded: bool) -> Option<Self> {
        let is = |state: &Self| state.code() == code && (*state == Self::Refunded) == refunded;
        Self::ALL.into_iter().find(is)
    }
}

#[cfg(test)]
mod tests;
