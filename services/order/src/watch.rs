//! Live orders: a wake-up over core NATS whenever an order has changed, from whichever copy
//! changed it. A wake-up may get lost: whoever watches polls as well, and reads the row.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use kernel::OrderId;
use messaging::Bus;

/// The wake-up calls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Watch(Bus);

impl Watch {
    pub(crate) fn new(bus: &Bus) -> Self {
        Self(bus.clone())
    }

    /// Wakes all watchers of the order, on every copy. Never fails the change that it tells of.
    pub(crate) fn changed(&self, order: OrderId) {
        if !self.0.is_connected() {
            return; // they poll
        }
        let bus = self.0.clone();
        tokio::spawn(async move {
            let woken = bus.client().publish(subject(order), "".into()).await;
            if let Err(error) = woken {
                tracing::debug!(%error, "watchers will poll");
            }
        });
    }

    /// One item per wake-up. Silent for ever when NATS cannot be asked.
    pub(crate) async fn of(&self, order: OrderId) -> BoxStream<'static, ()> {
        match self.0.client().subscribe(subject(order)).await {
            Ok(wake_ups) => wake_ups.map(drop).boxed(),
            Err(_) => stream::pending().boxed(),
        }
    }
}

fn subject(order: OrderId) -> String {
    format!("souk-live.order.{order}")
}
