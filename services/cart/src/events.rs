//! What others' events do to carts: an order takes out what it bought, an erased account takes
//! its cart along. Carts publish nothing.

use std::collections::BTreeMap;

use database::Tx;
use futures_util::future::BoxFuture;
use kernel::{ProductId, UserId};
use messaging::{Delivered, Handler, HandlerError};
use proto::event::Event;
use proto::order::v1::OrderPlaced;
use proto::user::v1::UserErased;

use crate::domain::{Change, Command, Key, decide};
use crate::store;

/// Takes in the events of orders and users.
pub(crate) struct Events;

/// What a batch says, cart by cart.
#[derive(Default)]
struct Batch {
    orders: BTreeMap<Key, Vec<Command>>,
    erased: Vec<Key>,
}

impl Handler for Events {
    fn wants(&self, kind: &str) -> bool {
        [OrderPlaced::TYPE, UserErased::TYPE].contains(&kind)
    }

    fn handle<'a>(
        &'a self,
        tx: &'a mut Tx,
        events: &'a [Delivered],
    ) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            let batch = read(events)?;
            take_out(tx, batch.orders).await?;
            if !batch.erased.is_empty() {
                store::erase(tx, &batch.erased).await?;
            }
            Ok(())
        })
    }
}

async fn take_out(tx: &mut Tx, orders: BTreeMap<Key, Vec<Command>>) -> Result<(), HandlerError> {
    if orders.is_empty() {
        return Ok(());
    }
    let keys: Vec<Key> = orders.keys().copied().collect();
    let mut changes = Vec::new();
    for (key, mut cart) in store::lock_users(tx, &keys).await? {
        let mut sum = Change::default();
        for command in &orders[&key] {
            let change =
                decide(&cart, command).map_err(|error| HandlerError::Poison(error.to_string()))?;
            cart.apply(&change);
            sum.then(change);
        }
        if !sum.is_empty() {
            changes.push((key, cart.version, sum));
        }
    }
    if !changes.is_empty() {
        store::take_out(tx, &changes).await?;
    }
    Ok(())
}

fn read(events: &[Delivered]) -> Result<Batch, HandlerError> {
    let mut batch = Batch::default();
    for event in events {
        if event.is::<OrderPlaced>() {
            let (key, command) = order(event, &event.decode()?)?;
            batch.orders.entry(key).or_default().push(command);
        } else if event.is::<UserErased>() {
            let user: UserId = id(&event.decode::<UserErased>()?.user_id)?;
            batch.erased.push(on_shard(event, Key::user(user))?);
        }
    }
    Ok(batch)
}

/// Orders are made from users' carts only.
fn order(event: &Delivered, order: &OrderPlaced) -> Result<(Key, Command), HandlerError> {
    let key = on_shard(event, Key::user(id(&order.cart_id)?))?;
    let lines =
        order.lines.iter().map(|line| Ok((id::<ProductId>(&line.product_id)?, line.quantity)));
    Ok((key, Command::TakeOut(lines.collect::<Result<_, HandlerError>>()?)))
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
