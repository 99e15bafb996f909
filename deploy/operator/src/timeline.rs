//! The story of one order, drawn: each step, who did it, and when.

use std::time::Duration;

use souk::style::{bold, dim, green, red, yellow};

use crate::api::Step;
use crate::customer::Bought;

/// The lines.
pub fn draw(bought: &Bought) -> Vec<String> {
    let Bought { product, quantity, order, .. } = bought;
    let what = format!("{quantity} × {} ({}), {}", product.name, product.sku, order.total);
    let mut lines = vec![bold(&what), dim(&format!("order {}", order.order_id))];
    for deed in &bought.deeds {
        let took = dim(&format!("took {} ms", deed.took.as_millis()));
        lines.push(row("", deed.service, &format!("{:<28} {took}", deed.what)));
    }
    lines.push(row("0 ms", "gateway", "checkout"));
    for (at, service, text) in moments(bought) {
        lines.push(row(&format!("{at} ms"), service, &text));
    }
    lines.push(ending(bought));
    lines.push(format!("trace     {}", bought.trace_id));
    lines
}

fn row(at: &str, service: &str, text: &str) -> String {
    format!("{at:>9}  {service:<8} {text}")
}

/// What happened after the checkout, in the order in which it did. Steps are told by the clock of
/// the order's database, which on one machine is everybody's.
fn moments(bought: &Bought) -> Vec<(i64, &'static str, String)> {
    let since = |step: &Step| (step.at_unix_ms - bought.sent_unix_ms).max(0);
    let reason = bought.order.cancel_reason.as_deref();
    let steps = bought.order.steps.iter().map(|step| {
        let (service, text) = meaning(&step.state, reason);
        (since(step), service, text.to_owned())
    });
    let accepted = (millis(bought.accepted), "gateway", "answered 202 Accepted".to_owned());
    let mut moments: Vec<_> = steps.chain([accepted]).collect();
    moments.sort_by_key(|(at, ..)| *at);
    moments
}

/// Who brought an order into a state, and how.
fn meaning(state: &str, reason: Option<&str>) -> (&'static str, &'static str) {
    match (state, reason) {
        ("placed", _) => ("order", "placed: cart, prices and address read, event written"),
        ("stock_held", _) => ("product", "reserved the stock; order noted it (stock_held)"),
        ("confirmed", _) => ("payment", "charged the card; order noted it (confirmed)"),
        ("cancelled", Some("payment_declined")) => {
            ("payment", "was declined; order noted it (cancelled)")
        }
        ("cancelled", Some("out_of_stock")) => {
            ("product", "has not enough of it; order noted it (cancelled)")
        }
        ("cancelled", Some("deadline")) => ("order", "gave up waiting: the deadline (cancelled)"),
        ("cancelled", _) => ("order", "cancelled by the customer"),
        _ => ("order", "in a state that this program does not know"),
    }
}

fn ending(bought: &Bought) -> String {
    let order = &bought.order;
    let took = format!("{} ms after the checkout", millis(bought.settled));
    match order.cancel_reason.as_deref() {
        Some(reason) => format!("{} {took}", red(&format!("cancelled ({reason})"))),
        None if order.state == "confirmed" => format!("{} {took}", green("confirmed")),
        None => format!("{} {took}", yellow(&order.state)),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::bare;

    use crate::api::{Money, Order, Product};
    use crate::customer::Deed;

    fn bought(states: &[(&str, i64)], reason: Option<&str>) -> Bought {
        let price = Money { currency: "GBP".into(), minor_units: 250 };
        let step =
            |(state, at): &(&str, i64)| Step { state: (*state).into(), at_unix_ms: 1_000 + at };
        Bought {
            deeds: vec![Deed {
                what: "signed in".into(),
                service: "user",
                took: Duration::from_millis(7),
            }],
            product: Product {
                product_id: "p".into(),
                sku: "CUP".into(),
                name: "Cup".into(),
                price: price.clone(),
                available: 9,
            },
            quantity: 2,
            order: Order {
                order_id: "o".into(),
                state: states.last().map(|(state, _)| (*state).into()).unwrap_or_default(),
                cancel_reason: reason.map(str::to_owned),
                total: price,
                version: 3,
                steps: states.iter().map(step).collect(),
            },
            trace_id: "t".into(),
            sent_unix_ms: 1_000,
            accepted: Duration::from_millis(15),
            settled: Duration::from_millis(60),
        }
    }

    #[test]
    fn a_confirmed_order_is_told_in_the_order_of_time() {
        let order = bought(&[("placed", 12), ("stock_held", 30), ("confirmed", 55)], None);
        let told: Vec<_> = moments(&order).into_iter().map(|(at, who, _)| (at, who)).collect();
        assert_eq!(told, [(12, "order"), (15, "gateway"), (30, "product"), (55, "payment")]);
        let lines = bare(&draw(&order).join("\n"));
        for expected in ["2 × Cup (CUP), £2.50", "took 7 ms", "confirmed", "60 ms after"] {
            assert!(lines.contains(expected), "{expected}: {lines}");
        }
    }

    #[test]
    fn every_reason_of_a_cancellation_names_who_said_no() {
        for (reason, who) in [
            ("payment_declined", "payment"),
            ("out_of_stock", "product"),
            ("deadline", "order"),
            ("customer", "order"),
        ] {
            let order = bought(&[("placed", 1), ("cancelled", 20)], Some(reason));
            assert_eq!(moments(&order).last().map(|(_, who, _)| *who), Some(who));
            assert!(bare(&draw(&order).join("\n")).contains(&format!("cancelled ({reason})")));
        }
    }

    #[test]
    fn a_clock_that_is_behind_does_not_lead_before_the_checkout() {
        let order = bought(&[("placed", -40)], None);
        assert_eq!(moments(&order)[0].0, 0);
    }
}
