//! Between the words of the protocol and those of the domain.

#![deny(clippy::wildcard_enum_match_arm)]

use std::str::FromStr;

use kernel::CartId;
use proto::cart::v1 as pb;
use rpc::status::{internal, invalid, refusal, unavailable};
use tonic::{Code, Status};

use crate::app::Error;
use crate::domain::{Cart, Command, Key, Line, Rejection};

/// A cart as callers see it. The version of a guest's cart may skip numbers.
pub(crate) fn cart(key: Key, cart: &Cart) -> pb::Cart {
    let items = cart.lines.iter().map(item).collect();
    pb::Cart { cart_id: key.id.to_string(), version: cart.version, items }
}

fn item(line: &Line) -> pb::Item {
    pb::Item { product_id: line.product.to_string(), quantity: line.quantity }
}

/// What `PutItem` asks for.
pub(crate) fn put(request: &pb::PutItemRequest) -> Result<Command, Status> {
    Ok(Command::Put(id("product_id", &request.product_id)?, request.quantity))
}

/// What `RemoveItem` asks for.
pub(crate) fn remove(request: &pb::RemoveItemRequest) -> Result<Command, Status> {
    Ok(Command::Remove(id("product_id", &request.product_id)?))
}

/// A cart that may be left unnamed.
pub(crate) fn named(cart_id: &str) -> Result<Option<CartId>, Status> {
    if cart_id.is_empty() { Ok(None) } else { id("cart_id", cart_id).map(Some) }
}

/// An id in the field of this name.
pub(crate) fn id<T: FromStr>(field: &'static str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|_| invalid([(field, "is not an id")]))
}

impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let refuse = |code| refusal(code, rejection.code(), rejection.to_string());
        match rejection {
            Rejection::QuantityOutOfRange => invalid([("quantity", rejection.to_string())]),
            Rejection::CartUnnamed => invalid([("cart_id", rejection.to_string())]),
            Rejection::NotYours => refuse(Code::PermissionDenied),
            Rejection::TooManyLines | Rejection::AccountErased => refuse(Code::FailedPrecondition),
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Rejected(rejection) => rejection.into(),
            Error::Busy => refusal(Code::Unavailable, "cart_busy", error.to_string()),
            Error::Database(error) if database::is_transient(&error) => unavailable(error),
            Error::Database(error) => internal(error),
        }
    }
}
