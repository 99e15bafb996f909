//! The only file that knows both the protocol and the domain.

#![warn(clippy::wildcard_enum_match_arm)]

use kernel::{AddressId, Currency, Money, OrderId, PaymentMethodId, ProductId, ReturnId};
use proto::cart::v1::CheckoutOutcome;
use proto::money::v1::Money as ProtoMoney;
use proto::order::v1 as wire;
use rpc::status::{internal, invalid, refusal, unavailable, with_detail};
use tonic::{Code, Status};

use crate::app::{Checkout, Error};
use crate::domain::checkout::{Reason, State};
use crate::domain::{Line, Order, Rejection, TotalChanged};
use crate::peers::PeerError;

const KEY_MAX: usize = 128;
const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;
const RETURN_ITEMS_MAX: usize = 2_000;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Unauthenticated(refused) => refused.into(),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
            Error::Peer(PeerError::Rejected(rejection)) => rejection.into(),
            Error::Peer(PeerError::Status(status)) => status,
            Error::Peer(PeerError::Malformed(peer)) => internal(format!("malformed: {peer}")),
        }
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match &rejection {
            Rejection::OrderNotFound => Code::NotFound,
            Rejection::OrderEnded => Code::OutOfRange,
            Rejection::TooManyStreams { .. } => Code::ResourceExhausted,
            Rejection::OrderConfirmed
            | Rejection::OrderNotConfirmed
            | Rejection::CartEmpty
            | Rejection::TooManyLines { .. }
            | Rejection::ProductUnavailable(_)
            | Rejection::AddressMissing
            | Rejection::KeyReused => Code::FailedPrecondition,
            Rejection::TotalChanged(changed) => return total_changed(&rejection, changed),
            Rejection::ExpectedCurrency => {
                return invalid([("expected_total", rejection.to_string())]);
            }
            Rejection::CartAlreadyOrdered | Rejection::CartChanged | Rejection::KeyInFlight => {
                Code::Aborted
            }
            Rejection::AmountOutOfRange
            | Rejection::AddressNotFound
            | Rejection::NotReturnable { .. }
            | Rejection::NothingToReturn => Code::InvalidArgument,
        };
        refusal(code, rejection.code(), rejection.to_string())
    }
}

fn total_changed(rejection: &Rejection, changed: &TotalChanged) -> Status {
    let line = |(line, before): &(Line, Money)| wire::total_changed::Line {
        product_id: line.product.to_string(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: Some(money(line.unit_price)),
        previous_unit_price: Some(money(*before)),
    };
    let lines = changed.moved.iter().map(line).collect();
    let detail = wire::TotalChanged { total: Some(money(changed.total)), lines };
    let refusal = refusal(Code::Aborted, rejection.code(), rejection.to_string());
    with_detail(refusal, "souk.order.v1.TotalChanged", &detail)
}

pub(crate) fn checkout(request: wire::PlaceOrderRequest) -> Result<Checkout, Status> {
    let key = request.idempotency_key;
    let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
    if key.is_empty() || key.len() > KEY_MAX || !visible {
        return Err(invalid([("idempotency_key", "1 to 128 visible ASCII characters")]));
    }
    let payment_method: PaymentMethodId = id("payment_method_id", &request.payment_method_id)?;
    let address: Option<AddressId> = match &*request.address_id {
        "" => None,
        text => Some(id("address_id", text)?),
    };
    let expected_total = request.expected_total.map(expected_total).transpose()?;
    Ok(Checkout { key, payment_method, address, expected_total })
}

fn expected_total(money: ProtoMoney) -> Result<Money, Status> {
    let wrong = |fault| invalid([("expected_total", fault)]);
    let currency = Currency::parse(&money.currency).map_err(|_| wrong("has no such currency"))?;
    match money.minor_units {
        minor @ 0.. => Ok(Money { currency, minor }),
        _ => Err(wrong("must not be negative")),
    }
}

/// What cart is told of an order; of one that was never written: that its lines go back.
pub(crate) fn outcome(state: Option<State>) -> CheckoutOutcome {
    match state {
        Some(State::Placed | State::StockHeld) => CheckoutOutcome::UnderWay,
        Some(State::Confirmed) => CheckoutOutcome::Closed,
        Some(State::Cancelled(reason)) if !reason.returns_to_cart() => CheckoutOutcome::Closed,
        Some(State::Cancelled(_)) | None => CheckoutOutcome::Returned,
    }
}

pub(crate) fn order_id(text: &str) -> Result<OrderId, Status> {
    text.parse().map_err(|_| Rejection::OrderNotFound.into())
}

/// The page size, and the order below which the page begins.
pub(crate) fn page(request: &wire::ListOrdersRequest) -> Result<(i64, Option<OrderId>), Status> {
    let size = match request.page_size {
        0 => PAGE_DEFAULT,
        size @ 1..=PAGE_MAX => size,
        _ => return Err(invalid([("page_size", "at most 100")])),
    };
    let before = match &*request.page_token {
        "" => None,
        token => Some(id("page_token", token)?),
    };
    Ok((size.into(), before))
}

type Items = Vec<(ProductId, i64)>;

pub(crate) fn return_items(
    request: wire::ReturnItemsRequest,
) -> Result<(OrderId, ReturnId, Items), Status> {
    if request.items.len() > RETURN_ITEMS_MAX {
        return Err(invalid([("items", "at most 2000")]));
    }
    let items = request.items.iter().enumerate().map(|(at, item)| {
        let product = id(&format!("items[{at}].product_id"), &item.product_id)?;
        Ok((product, item.quantity))
    });
    let items = items.collect::<Result<_, Status>>()?;
    Ok((order_id(&request.order_id)?, id("return_id", &request.return_id)?, items))
}

fn id<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|_| invalid([(field, "not an id")]))
}

pub(crate) fn money(money: Money) -> ProtoMoney {
    ProtoMoney { currency: money.currency.code().to_owned(), minor_units: money.minor }
}

/// The reply to a checkout, as it is kept: encoded.
pub(crate) fn place_reply(order: &Order) -> Vec<u8> {
    use prost::Message as _;
    wire::PlaceOrderResponse { order: Some(self::order(order)) }.encode_to_vec()
}

/// Reads what [`place_reply`] wrote.
pub(crate) fn read_place_reply(kept: &[u8]) -> Result<wire::PlaceOrderResponse, Status> {
    prost::Message::decode(kept).map_err(|error: prost::DecodeError| internal(error))
}

pub(crate) fn order(order: &Order) -> wire::Order {
    wire::Order {
        order_id: order.id.to_string(),
        state: state(order.state).into(),
        cancel_reason: reason(order.state.reason()).into(),
        total: Some(money(order.total)),
        refunded: Some(money(order.refunded)),
        lines: order.lines.iter().map(line).collect(),
        version: order.version,
        steps: steps(order),
        payment_method_id: order.payment_method.to_string(),
    }
}

fn line(line: &Line) -> wire::Line {
    wire::Line {
        product_id: line.product.to_string(),
        sku: line.sku.clone(),
        name: line.name.clone(),
        quantity: line.quantity,
        unit_price: Some(money(line.unit_price)),
        returned: line.returned,
    }
}

fn steps(order: &Order) -> Vec<wire::Step> {
    let made = [
        (State::Placed, Some(order.placed_at)),
        (State::StockHeld, order.stock_held_at),
        (order.state, order.ended_at),
    ];
    made.into_iter()
        .filter_map(|(step, at)| {
            let at_unix_ms = i64::try_from(at?.unix_timestamp_nanos() / 1_000_000).ok()?;
            Some(wire::Step { state: state(step).into(), at_unix_ms })
        })
        .collect()
}

fn state(state: State) -> wire::State {
    match state {
        State::Placed => wire::State::Placed,
        State::StockHeld => wire::State::StockHeld,
        State::Confirmed => wire::State::Confirmed,
        State::Cancelled(_) => wire::State::Cancelled,
    }
}

fn reason(reason: Option<Reason>) -> wire::CancelReason {
    match reason {
        None => wire::CancelReason::Unspecified,
        Some(Reason::OutOfStock) => wire::CancelReason::OutOfStock,
        Some(Reason::PaymentDeclined) => wire::CancelReason::PaymentDeclined,
        Some(Reason::Deadline) => wire::CancelReason::Deadline,
        Some(Reason::Customer) => wire::CancelReason::Customer,
    }
}
