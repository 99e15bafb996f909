//! The only file that knows both the protocol and the domain.

#![warn(clippy::wildcard_enum_match_arm)]

use kernel::{Currency, Money, OrderId};
use proto::money::v1::Money as ProtoMoney;
use proto::payment::v1 as wire;
use rpc::status::{internal, invalid, refusal, unavailable};
use tonic::{Code, Status};

use crate::app::Error;
use crate::domain::payment::State;
use crate::domain::{CardToken, Label, Payment, Rejection};
use crate::store::Method;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
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
