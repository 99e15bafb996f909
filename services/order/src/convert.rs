//! The only file that knows both the protocol and the domain.

#![warn(clippy::wildcard_enum_match_arm)]

use kernel::clock::unix_ms;
use kernel::{AddressId, Currency, Money, OrderId, PaymentMethodId, ProductId};
use proto::cart::v1::CheckoutOutcome;
use proto::money::v1::Money as ProtoMoney;
use proto::order::v1 as wire;
use rpc::status::{internal, invalid, refusal, unavailable, with_detail};
use time::OffsetDateTime;
use tonic::{Code, Status};

use crate::app::returns::{Inspection, Request};
use crate::app::{Checkout, Error};
use crate::domain::checkout::{Reason, State};
use crate::domain::returns::{self, Pieces, Return, pieces};
use crate::domain::{Line, Order, Rejection, TotalChanged};
use crate::peers::PeerError;
use crate::store::returns::Cursor;

const KEY_MAX: usize = 128;
const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;
const RETURN_ITEMS_MAX: usize = 2_000;
const REASON_MAX: usize = 200;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Unauthenticated(refused) => refused.into(),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
            Error::Unanswered(unanswered) => internal(unanswered),
            Error::Peer(PeerError::Rejected(rejection)) => rejection.into(),
            Error::Peer(PeerError::Status(status)) => status,
            Error::Peer(PeerError::Malformed(peer)) => internal(format!("malformed: {peer}")),
        }
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match &rejection {
            Rejection::OrderNotFound | Rejection::ReturnNotFound => Code::NotFound,
            Rejection::OrderEnded => Code::OutOfRange,
            Rejection::TooManyStreams { .. } => Code::ResourceExhausted,
            Rejection::OrderConfirmed
            | Rejection::OrderNotConfirmed
            | Rejection::CartEmpty
            | Rejection::TooManyLines { .. }
            | Rejection::ProductUnavailable(_)
            | Rejection::AddressMissing
            | Rejection::KeyReused
            | Rejection::NotReturnable { .. }
            | Rejection::NotRequested { .. }
            | Rejection::ReturnReceived
            | Rejection::ReturnRefused => Code::FailedPrecondition,
            Rejection::TotalChanged(changed) => return total_changed(&rejection, changed),
            Rejection::ExpectedCurrency => {
                return invalid([("expected_total", rejection.to_string())]);
            }
            Rejection::CartAlreadyOrdered | Rejection::CartChanged | Rejection::KeyInFlight => {
                Code::Aborted
            }
            Rejection::AmountOutOfRange
            | Rejection::AddressNotFound
            | Rejection::NothingToReturn
            | Rejection::NothingReceived
            | Rejection::ReasonMissing => Code::InvalidArgument,
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
    let before = match &*request.page_token {
        "" => None,
        token => Some(id("page_token", token)?),
    };
    Ok((page_size(request.page_size)?, before))
}

fn page_size(size: u32) -> Result<i64, Status> {
    match size {
        0 => Ok(PAGE_DEFAULT.into()),
        1..=PAGE_MAX => Ok(size.into()),
        _ => Err(invalid([("page_size", "at most 100")])),
    }
}

pub(crate) fn return_items(request: wire::ReturnItemsRequest) -> Result<Request, Status> {
    let items = request.items.iter().map(|item| (&*item.product_id, item.quantity));
    Ok(Request {
        order: order_id(&request.order_id)?,
        id: id("return_id", &request.return_id)?,
        pieces: items_to_pieces(items, 1)?,
    })
}

pub(crate) fn receipt(request: wire::ReceiveReturnRequest) -> Result<Inspection, Status> {
    let items = request.items.iter().map(|item| (&*item.product_id, item.quantity));
    let received = items_to_pieces(items, 0)?;
    if received.is_empty() {
        return Err(Rejection::NothingReceived.into());
    }
    inspection(&request.order_id, &request.return_id, received, &request.reason)
}

pub(crate) fn refusal_of_return(request: &wire::RefuseReturnRequest) -> Result<Inspection, Status> {
    inspection(&request.order_id, &request.return_id, Pieces::new(), &request.reason)
}

fn inspection(order: &str, id: &str, received: Pieces, reason: &str) -> Result<Inspection, Status> {
    let reason = reason.trim();
    if reason.chars().count() > REASON_MAX || reason.contains('\0') {
        return Err(invalid([("reason", "at most 200 characters")]));
    }
    let id = id.parse().map_err(|_| Rejection::ReturnNotFound)?;
    Ok(Inspection { order: order_id(order)?, id, received, reason: reason.to_owned() })
}

fn items_to_pieces<'a>(
    items: impl ExactSizeIterator<Item = (&'a str, i64)>,
    least: i64,
) -> Result<Pieces, Status> {
    if items.len() > RETURN_ITEMS_MAX {
        return Err(invalid([("items", "at most 2000")]));
    }
    let items = items.enumerate().map(|(at, (product, quantity))| {
        let product: ProductId = id(&format!("items[{at}].product_id"), product)?;
        if quantity < least {
            let (field, fault) = (format!("items[{at}].quantity"), format!("at least {least}"));
            return Err(invalid([(field, fault)]));
        }
        Ok((product, quantity))
    });
    Ok(pieces(items.collect::<Result<Vec<_>, Status>>()?))
}

/// The page size, and the return after which the page begins.
pub(crate) fn returns_page(
    request: &wire::ListReturnsRequest,
) -> Result<(i64, Option<Cursor>), Status> {
    let after = match &*request.page_token {
        "" => None,
        token => Some(cursor(token).ok_or_else(|| invalid([("page_token", "not a token")]))?),
    };
    Ok((page_size(request.page_size)?, after))
}

fn cursor(token: &str) -> Option<Cursor> {
    let mut parts = token.split('.');
    let nanos = parts.next()?.parse().ok()?;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    Some((at, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Reads as [`cursor`]; of a page that is not full there is none.
pub(crate) fn returns_reply(page: &[(OrderId, Return)], limit: i64) -> wire::ListReturnsResponse {
    let last = page.last().filter(|_| page.len() as i64 == limit);
    let token = last.map(|(order, last)| {
        format!("{}.{order}.{}", last.requested_at.unix_timestamp_nanos(), last.id)
    });
    wire::ListReturnsResponse {
        returns: page.iter().map(|(order, found)| return_for_staff(*order, found)).collect(),
        next_page_token: token.unwrap_or_default(),
    }
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
        returns: order.returns.iter().map(|found| return_(order.id, found)).collect(),
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
        return_requested: line.return_requested,
    }
}

/// A return as its customer sees it.
fn return_(order: OrderId, found: &Return) -> wire::Return {
    let decision = found.decision.as_ref();
    // One that was accepted before there were receipts has come back as it was requested.
    let received = decision.map(|made| &made.received);
    let received =
        received.or((found.state != returns::State::Requested).then_some(&found.requested));
    let item = |(product, quantity): (&ProductId, &i64)| wire::r#return::Item {
        product_id: product.to_string(),
        quantity: *quantity,
        received: received.and_then(|received| received.get(product)).copied().unwrap_or_default(),
    };
    wire::Return {
        return_id: found.id.to_string(),
        order_id: order.to_string(),
        state: return_state(found.state).into(),
        items: found.requested.iter().map(item).collect(),
        refund: Some(money(found.refund)),
        requested_at_unix_ms: unix_ms(found.requested_at),
        decided_at_unix_ms: decision.map(|made| unix_ms(made.at)).unwrap_or_default(),
        decided_by: String::new(),
        reason: decision.map(|made| made.reason.clone()).unwrap_or_default(),
        refunded_at_unix_ms: found.refunded_at.map(unix_ms).unwrap_or_default(),
    }
}

/// The same with who decided about it.
pub(crate) fn return_for_staff(order: OrderId, found: &Return) -> wire::Return {
    let decided_by = found.decision.as_ref().map(|made| made.by.to_string()).unwrap_or_default();
    wire::Return { decided_by, ..return_(order, found) }
}

fn return_state(state: returns::State) -> wire::ReturnState {
    match state {
        returns::State::Requested => wire::ReturnState::Requested,
        returns::State::Received => wire::ReturnState::Received,
        returns::State::Refused => wire::ReturnState::Refused,
        returns::State::Refunded => wire::ReturnState::Refunded,
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
            Some(wire::Step { state: state(step).into(), at_unix_ms: unix_ms(at?) })
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
