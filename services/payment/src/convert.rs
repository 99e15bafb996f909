//! The only file that knows both the protocol and the domain.

#![warn(clippy::wildcard_enum_match_arm)]

use kernel::clock::unix_ms;
use kernel::{Currency, Money, OrderId, UserId};
use proto::money::v1::Money as ProtoMoney;
use proto::payment::v1 as wire;
use rpc::status::{internal, invalid, refusal, unavailable};
use tonic::{Code, Status};

use crate::app::{Decided, Error};
use crate::domain::payment::State;
use crate::domain::refund::{self, Choice, Note};
use crate::domain::{CardToken, Label, Payment, Rejection};
use crate::store::{Decision, Method, Page, Seen};

const PAGE_DEFAULT: u32 = 50;
const PAGE_MAX: u32 = 100;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
            Error::Unanswered(error) => internal(error),
        }
    }
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match &rejection {
            Rejection::PaymentNotFound => Code::NotFound,
            Rejection::TooManyMethods { .. } => Code::FailedPrecondition,
            Rejection::BadSignature => Code::Unauthenticated,
            Rejection::RefundExceedsPayment => Code::InvalidArgument,
            Rejection::RefundNotFound => Code::NotFound,
            Rejection::RefundUnderWay | Rejection::RefundEnded => Code::FailedPrecondition,
        };
        refusal(code, rejection.code(), rejection.to_string())
    }
}

pub(crate) fn method(
    request: &wire::AddPaymentMethodRequest,
) -> Result<(CardToken, Label), Status> {
    let card = CardToken::parse(&request.card_token);
    let label = Label::parse(&request.label);
    match (card, label) {
        (Some(card), Some(label)) => Ok((card, label)),
        (card, label) => {
            let token = card.is_none().then_some(("card_token", "tok_ and 1 to 60 of [a-z0-9_]"));
            let text = label.is_none().then_some(("label", "one line of at most 100 characters"));
            Err(invalid(token.into_iter().chain(text)))
        }
    }
}

pub(crate) fn payment_method(method: Method) -> wire::PaymentMethod {
    wire::PaymentMethod { payment_method_id: method.id.to_string(), label: method.label }
}

pub(crate) fn order_id(text: &str) -> Result<OrderId, Status> {
    text.parse().map_err(|_| Rejection::PaymentNotFound.into())
}

pub(crate) fn payment(payment: &Payment) -> wire::Payment {
    let amount = payment.wish.map(|wish| wish.amount);
    let refunded = amount.map(|amount| Money { minor: payment.refunded_minor(), ..amount });
    wire::Payment {
        order_id: payment.order.to_string(),
        state: state(payment.state).into(),
        amount: amount.map(money),
        refunded: refunded.map(money),
    }
}

/// Which refunds are asked for.
pub(crate) fn refunds_page(request: &wire::ListRefundsRequest) -> Result<Page, Status> {
    let limit = match request.page_size {
        0 => PAGE_DEFAULT,
        size @ 1..=PAGE_MAX => size,
        _ => return Err(invalid([("page_size", "at most 100")])),
    };
    let order = match &*request.order_id {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid([("order_id", "not an id")]))?),
    };
    let after = match &*request.page_token {
        "" => None,
        token => {
            let last = refund::parse_key(token);
            Some(last.ok_or_else(|| invalid([("page_token", "not of a page of refunds")]))?)
        }
    };
    Ok(Page { order, after, limit: limit.into() })
}

pub(crate) fn refunds(refunds: &[Seen], page: &Page) -> wire::ListRefundsResponse {
    let refunds: Vec<_> = refunds.iter().map(refund).collect();
    let last = refunds.last().filter(|_| refunds.len() as i64 == page.limit);
    let next_page_token = last.map(|last| last.refund_id.clone()).unwrap_or_default();
    wire::ListRefundsResponse { refunds, next_page_token }
}

pub(crate) fn decided(
    refund_id: &str,
    note: &str,
    by: UserId,
    choice: Choice,
) -> Result<Decided, Status> {
    let id = refund::parse_key(refund_id);
    let (order, refund) = id.ok_or_else(|| Status::from(Rejection::RefundNotFound))?;
    let note = Note::parse(note);
    let note = note.ok_or_else(|| invalid([("note", "one line of 1 to 500 characters")]))?;
    Ok(Decided { order, refund, by, choice, note })
}

pub(crate) fn refund(seen: &Seen) -> wire::Refund {
    wire::Refund {
        refund_id: refund::key(seen.order, seen.refund.id),
        order_id: seen.order.to_string(),
        amount: Some(money(seen.refund.amount)),
        state: refund_state(seen.refund.state).into(),
        refusal: seen.refusal.clone().unwrap_or_default(),
        refused_at_unix_ms: seen.refused_at.map(unix_ms).unwrap_or_default(),
        decisions: seen.decisions.iter().map(decision).collect(),
    }
}

fn decision(decision: &Decision) -> wire::refund::Decision {
    let code = match decision.choice {
        Choice::Retry => wire::RefundDecision::Retry,
        Choice::SettleByHand => wire::RefundDecision::SettledByHand,
    };
    wire::refund::Decision {
        decision: code.into(),
        user_id: decision.by.to_string(),
        note: decision.note.clone(),
        refusal: decision.refusal.clone(),
        at_unix_ms: unix_ms(decision.at),
    }
}

fn refund_state(state: refund::State) -> wire::RefundState {
    match state {
        refund::State::Owed => wire::RefundState::Owed,
        refund::State::Refused => wire::RefundState::Refused,
        refund::State::Refunded => wire::RefundState::Refunded,
        refund::State::Settled => wire::RefundState::SettledByHand,
    }
}

fn state(state: State) -> wire::State {
    match state {
        State::New | State::Pending | State::Cancelling => wire::State::Pending,
        State::Captured | State::Refunding => wire::State::Captured,
        State::Declined => wire::State::Declined,
        State::Voided => wire::State::Voided,
        State::Refunded => wire::State::Refunded,
    }
}

pub(crate) fn money(money: Money) -> ProtoMoney {
    ProtoMoney { currency: money.currency.code().to_owned(), minor_units: money.minor }
}

/// `None`: the currency is none.
pub(crate) fn read_money(money: &ProtoMoney) -> Option<Money> {
    let currency = Currency::parse(&money.currency).ok()?;
    Some(Money { currency, minor: money.minor_units })
}
