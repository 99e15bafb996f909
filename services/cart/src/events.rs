//! What others' events do to carts: the end of an order ends its checkout, an erased account takes
//! its cart along. Carts publish nothing.

use std::collections::BTreeMap;

use database::Tx;
use futures_util::future::BoxFuture;
use kernel::{OrderId, ProductId, UserId};
use messaging::{Delivered, Handler, HandlerError};
use proto::event::Event;
use proto::order::v1::{OrderCancelled, OrderConfirmed, OrderPlaced};
use proto::user::v1::UserErased;

use crate::app::{self, Error};
use crate::domain::{Command, Key, Outcome};
use crate::store;

/// Takes in the events of orders and users.
pub(crate) struct Events;

/// The commands and ended checkouts of a batch, by cart.
#[derive(Default)]
struct Batch {
    commands: BTreeMap<Key, Vec<Command>>,
    ended: Vec<(Key, OrderId, Outcome)>,
    erased: Vec<Key>,
}

impl Handler for Events {
    fn wants(&self, kind: &str) -> bool {
        [OrderPlaced::TYPE, OrderConfirmed::TYPE, OrderCancelled::TYPE, UserErased::TYPE]
            .contains(&kind)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let batch = read(events)?;
            app::apply_events(tx, batch.commands, &batch.ended).await.map_err(failed)?;
            if !batch.erased.is_empty() {
                store::erase(tx, &batch.erased).await?;
            }
            Ok(())
        })
    }
}

fn failed(error: Error) -> HandlerError {
    match error {
        Error::Database(error) => error.into(),
        Error::Rejected(_) | Error::Busy => HandlerError::Poison(error.to_string()),
    }
}

fn read(events: &[Delivered]) -> Result<Batch, HandlerError> {
    let mut batch = Batch::default();
    for event in events {
        if event.is::<OrderPlaced>() {
            if let Some((key, command)) = placed(event, &event.decode()?)? {
                batch.commands.entry(key).or_default().push(command);
            }
        } else if event.is::<OrderConfirmed>() {
            let user = event.decode::<OrderConfirmed>()?.user_id;
            batch.ended.extend(ended(event, &user, Outcome::Closed)?);
        } else if event.is::<OrderCancelled>() {
            let OrderCancelled { user_id, back_to_cart, .. } = event.decode()?;
            let outcome = if back_to_cart { Outcome::Returned } else { Outcome::Closed };
            batch.ended.extend(ended(event, &user_id, outcome)?);
        } else if event.is::<UserErased>() {
            let user: UserId = id(&event.decode::<UserErased>()?.user_id)?;
            batch.erased.push(on_shard(event, Key::user(user))?);
        }
    }
    Ok(batch)
}

/// Releases before 0.2 took nothing out of the cart when they placed an order.
fn placed(event: &Delivered, order: &OrderPlaced) -> Result<Option<(Key, Command)>, HandlerError> {
    if order.left_cart {
        return Ok(None);
    }
    let key = on_shard(event, Key::user(id(&order.cart_id)?))?;
    let lines =
        order.lines.iter().map(|line| Ok((id::<ProductId>(&line.product_id)?, line.quantity)));
    Ok(Some((key, Command::TakeOut(lines.collect::<Result<_, HandlerError>>()?))))
}

/// Releases before 0.2 do not say whose the order was; order is asked about such a checkout later.
fn ended(
    event: &Delivered,
    user: &str,
    outcome: Outcome,
) -> Result<Option<(Key, OrderId, Outcome)>, HandlerError> {
    if user.is_empty() {
        return Ok(None);
    }
    let key = on_shard(event, Key::user(id(user)?))?;
    Ok(Some((key, event.aggregate_id.into(), outcome)))
}

/// The batch is one transaction on the database of its events: a cart elsewhere is out of reach.
fn on_shard(event: &Delivered, key: Key) -> Result<Key, HandlerError> {
    if key.shard() == event.shard() {
        Ok(key)
    } else {
        Err(HandlerError::Poison("the cart is not on the shard of the event".to_owned()))
    }
}

fn id<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<T, HandlerError> {
    text.parse().map_err(|error: T::Err| HandlerError::Poison(error.to_string()))
}
