//! What the services say, as JSON. The structs borrow from the replies: rendering copies nothing
//! but into the body.

mod body;
mod import;
mod returns;

pub(crate) use body::{json, json_body, written};
pub(crate) use import::Import;
pub(crate) use returns::Return;

use proto::money::v1 as money;
use proto::order::v1 as order;
use proto::payment::v1 as payment;
use proto::product::v1 as product;
use proto::user::v1 as user;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// A part of a reply that the service always sends.
pub(crate) fn required<T>(part: Option<T>) -> Result<T, Problem> {
    part.ok_or_else(|| {
        tracing::error!(part = std::any::type_name::<T>(), "missing in a reply");
        Problem::internal()
    })
}

/// An amount, as read and as written.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Money {
    currency: String,
    minor_units: i64,
}

impl From<Money> for money::Money {
    fn from(money: Money) -> Self {
        Self { currency: money.currency, minor_units: money.minor_units }
    }
}

/// An amount in a reply.
#[derive(Serialize)]
pub(crate) struct Amount<'a> {
    pub(crate) currency: &'a str,
    pub(crate) minor_units: i64,
}

/// What the problem `total_changed` says more.
#[derive(Serialize)]
pub(crate) struct TotalChanged<'a> {
    total: Option<Amount<'a>>,
    lines: Vec<MovedLine<'a>>,
}

#[derive(Serialize)]
struct MovedLine<'a> {
    product_id: &'a str,
    name: &'a str,
    quantity: i64,
    unit_price: Option<Amount<'a>>,
    previous_unit_price: Option<Amount<'a>>,
}

impl<'a> From<&'a order::TotalChanged> for TotalChanged<'a> {
    fn from(changed: &'a order::TotalChanged) -> Self {
        let line = |line: &'a order::total_changed::Line| MovedLine {
            product_id: &line.product_id,
            name: &line.name,
            quantity: line.quantity,
            unit_price: amount(&line.unit_price),
            previous_unit_price: amount(&line.previous_unit_price),
        };
        Self { total: amount(&changed.total), lines: changed.lines.iter().map(line).collect() }
    }
}

pub(crate) fn amount(money: &Option<money::Money>) -> Option<Amount<'_>> {
    let money = money.as_ref()?;
    Some(Amount { currency: &money.currency, minor_units: money.minor_units })
}

#[derive(Serialize)]
pub(crate) struct Product<'a> {
    product_id: &'a str,
    sku: &'a str,
    name: &'a str,
    description: &'a str,
    category: &'a str,
    price: Option<Amount<'a>>,
    version: i64,
    retired: bool,
    available: i64,
}

impl<'a> From<&'a product::Product> for Product<'a> {
    fn from(product: &'a product::Product) -> Self {
        Self {
            product_id: &product.product_id,
            sku: &product.sku,
            name: &product.name,
            description: &product.description,
            category: &product.category,
            price: amount(&product.price),
            version: product.version,
            retired: product.retired,
            available: product.available,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Stock<'a> {
    product_id: &'a str,
    received: i64,
    on_hand: i64,
    reserved: i64,
    shipped: i64,
}

impl<'a> From<&'a product::Stock> for Stock<'a> {
    fn from(stock: &'a product::Stock) -> Self {
        Self {
            product_id: &stock.product_id,
            received: stock.received,
            on_hand: stock.on_hand,
            reserved: stock.reserved,
            shipped: stock.shipped,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct User<'a> {
    user_id: &'a str,
    email: &'a str,
    name: &'a str,
    role: &'static str,
    addresses: Vec<Address<'a>>,
}

impl<'a> From<&'a user::User> for User<'a> {
    fn from(user: &'a user::User) -> Self {
        Self {
            user_id: &user.user_id,
            email: &user.email,
            name: &user.name,
            role: match user.role() {
                user::Role::Staff => "staff",
                user::Role::Customer => "customer",
                user::Role::Unspecified => "unknown",
            },
            addresses: user.addresses.iter().map(Address::from).collect(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Address<'a> {
    address_id: &'a str,
    recipient: &'a str,
    line1: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    line2: &'a str,
    city: &'a str,
    postcode: &'a str,
    country: &'a str,
}

impl<'a> From<&'a user::Address> for Address<'a> {
    fn from(address: &'a user::Address) -> Self {
        Self {
            address_id: &address.address_id,
            recipient: &address.recipient,
            line1: &address.line1,
            line2: &address.line2,
            city: &address.city,
            postcode: &address.postcode,
            country: &address.country,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Order<'a> {
    order_id: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<&'static str>,
    total: Option<Amount<'a>>,
    refunded: Option<Amount<'a>>,
    version: i64,
    payment_method_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<Line<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    returns: Option<Vec<Return<'a>>>,
    steps: Vec<Step>,
}

impl<'a> Order<'a> {
    /// As in a list: without lines and returns.
    pub(crate) fn brief(order: &'a order::Order) -> Self {
        let nothing = |total: Amount<'a>| Amount { minor_units: 0, ..total };
        Self {
            order_id: &order.order_id,
            state: state(order.state()),
            cancel_reason: cancel_reason(order.cancel_reason()),
            total: amount(&order.total),
            refunded: amount(&order.refunded).or_else(|| amount(&order.total).map(nothing)),
            version: order.version,
            payment_method_id: &order.payment_method_id,
            lines: None,
            returns: None,
            steps: order.steps.iter().map(Step::from).collect(),
        }
    }
}

impl<'a> From<&'a order::Order> for Order<'a> {
    fn from(order: &'a order::Order) -> Self {
        let lines = order.lines.iter().map(Line::from).collect();
        let returns = order.returns.iter().map(Return::from).collect();
        Self { lines: Some(lines), returns: Some(returns), ..Self::brief(order) }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    product_id: &'a str,
    sku: &'a str,
    name: &'a str,
    quantity: i64,
    unit_price: Option<Amount<'a>>,
    returned: i64,
    return_requested: i64,
}

impl<'a> From<&'a order::Line> for Line<'a> {
    fn from(line: &'a order::Line) -> Self {
        Self {
            product_id: &line.product_id,
            sku: &line.sku,
            name: &line.name,
            quantity: line.quantity,
            unit_price: amount(&line.unit_price),
            returned: line.returned,
            return_requested: line.return_requested,
        }
    }
}

#[derive(Serialize)]
struct Step {
    state: &'static str,
    at_unix_ms: i64,
}

impl From<&order::Step> for Step {
    fn from(step: &order::Step) -> Self {
        Self { state: state(step.state()), at_unix_ms: step.at_unix_ms }
    }
}

fn state(state: order::State) -> &'static str {
    match state {
        order::State::Placed => "placed",
        order::State::StockHeld => "stock_held",
        order::State::Confirmed => "confirmed",
        order::State::Cancelled => "cancelled",
        order::State::Unspecified => "unknown",
    }
}

fn cancel_reason(reason: order::CancelReason) -> Option<&'static str> {
    match reason {
        order::CancelReason::OutOfStock => Some("out_of_stock"),
        order::CancelReason::PaymentDeclined => Some("payment_declined"),
        order::CancelReason::Deadline => Some("deadline"),
        order::CancelReason::Customer => Some("customer"),
        order::CancelReason::Unspecified => None,
    }
}

#[derive(Serialize)]
pub(crate) struct PaymentMethod<'a> {
    payment_method_id: &'a str,
    label: &'a str,
}

impl<'a> From<&'a payment::PaymentMethod> for PaymentMethod<'a> {
    fn from(method: &'a payment::PaymentMethod) -> Self {
        Self { payment_method_id: &method.payment_method_id, label: &method.label }
    }
}

#[derive(Serialize)]
pub(crate) struct Payment<'a> {
    order_id: &'a str,
    state: &'static str,
    amount: Option<Amount<'a>>,
    refunded: Option<Amount<'a>>,
}

impl<'a> From<&'a payment::Payment> for Payment<'a> {
    fn from(payment: &'a payment::Payment) -> Self {
        Self {
            order_id: &payment.order_id,
            state: match payment.state() {
                payment::State::Pending => "pending",
                payment::State::Captured => "captured",
                payment::State::Declined => "declined",
                payment::State::Voided => "voided",
                payment::State::Refunded => "refunded",
                payment::State::Unspecified => "unknown",
            },
            amount: amount(&payment.amount),
            refunded: amount(&payment.refunded),
        }
    }
}

/// A refund as staff see it.
#[derive(Serialize)]
pub(crate) struct Refund<'a> {
    refund_id: &'a str,
    order_id: &'a str,
    amount: Option<Amount<'a>>,
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    refusal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_at_unix_ms: Option<i64>,
    decisions: Vec<Decision<'a>>,
}

#[derive(Serialize)]
struct Decision<'a> {
    decision: &'static str,
    user_id: &'a str,
    note: &'a str,
    refusal: &'a str,
    at_unix_ms: i64,
}

impl<'a> From<&'a payment::Refund> for Refund<'a> {
    fn from(refund: &'a payment::Refund) -> Self {
        Self {
            refund_id: &refund.refund_id,
            order_id: &refund.order_id,
            amount: amount(&refund.amount),
            state: match refund.state() {
                payment::RefundState::Owed => "owed",
                payment::RefundState::Refused => "refused",
                payment::RefundState::Refunded => "refunded",
                payment::RefundState::SettledByHand => "settled_by_hand",
                payment::RefundState::Unspecified => "unknown",
            },
            refusal: &refund.refusal,
            refused_at_unix_ms: Some(refund.refused_at_unix_ms).filter(|at| *at > 0),
            decisions: refund.decisions.iter().map(Decision::from).collect(),
        }
    }
}

impl<'a> From<&'a payment::refund::Decision> for Decision<'a> {
    fn from(decision: &'a payment::refund::Decision) -> Self {
        Self {
            decision: match decision.decision() {
                payment::RefundDecision::Retry => "retry",
                payment::RefundDecision::SettledByHand => "settled_by_hand",
                payment::RefundDecision::Unspecified => "unknown",
            },
            user_id: &decision.user_id,
            note: &decision.note,
            refusal: &decision.refusal,
            at_unix_ms: decision.at_unix_ms,
        }
    }
}
