//! Between the words of the protocol and those of the domain.

#![deny(clippy::wildcard_enum_match_arm)]

use std::str::FromStr;

use kernel::{CartId, OrderId, ProductId, UserId};
use proto::cart::v1 as pb;
use rpc::status::{internal, invalid, refusal, unavailable};
use tonic::{Code, Status};

use crate::app::Error;
use crate::domain::{Cart, Checkout, Command, Key, Line, Outcome, Rejection};

/// A cart as callers see it. The version of a guest's cart may skip numbers.
pub(crate) fn cart(key: Key, cart: &Cart) -> pb::Cart {
    let items = cart.lines.iter().map(|line: &Line| item(line.product, line.quantity)).collect();
    let checkout_order_ids = cart.checkouts.iter().map(OrderId::to_string).collect();
    pb::Cart { cart_id: key.id.to_string(), version: cart.version, items, checkout_order_ids }
}

fn item(product: ProductId, quantity: i64) -> pb::Item {
    pb::Item { product_id: product.to_string(), quantity }
}

/// What an order may be written of.
pub(crate) fn begun(checkout: &Checkout) -> pb::BeginCheckoutResponse {
    let items = checkout.unchanged().map(|(product, quantity)| item(product, quantity));
    pb::BeginCheckoutResponse { cart_version: checkout.cart_version, items: items.collect() }
}

/// The answer to one member of a batch.
pub(crate) fn cart_result(cart: Result<pb::Cart, Status>) -> pb::batch_get_carts_response::Result {
    use pb::batch_get_carts_response::{Result as Answer, result::Result as Entry};
    let result = cart.map_or_else(|it| Entry::Refusal(identity::batch::refusal(&it)), Entry::Cart);
    Answer { result: Some(result) }
}

/// The answer to one member of a batch.
pub(crate) fn begun_result(
    begun: Result<pb::BeginCheckoutResponse, Status>,
) -> pb::batch_begin_checkouts_response::Result {
    use pb::batch_begin_checkouts_response::{Result as Answer, result::Result as Entry};
    let result =
        begun.map_or_else(|it| Entry::Refusal(identity::batch::refusal(&it)), Entry::Checkout);
    Answer { result: Some(result) }
}

/// Checkouts that nobody has heard of for a while.
pub(crate) fn unresolved(checkouts: &[(Key, OrderId)]) -> pb::ListUnresolvedCheckoutsResponse {
    let checkout =
        |(key, order): &(Key, OrderId)| pb::list_unresolved_checkouts_response::Checkout {
            cart_id: key.id.to_string(),
            order_id: order.to_string(),
        };
    let checkouts = checkouts.iter().map(checkout).collect();
    pb::ListUnresolvedCheckoutsResponse { checkouts }
}

/// The checkout that is meant, and what became of it.
pub(crate) fn resolved(
    request: &pb::ResolveCheckoutRequest,
) -> Result<(Key, OrderId, Outcome), Status> {
    let outcome = match request.outcome() {
        pb::CheckoutOutcome::UnderWay => Outcome::UnderWay,
        pb::CheckoutOutcome::Closed => Outcome::Closed,
        pb::CheckoutOutcome::Returned => Outcome::Returned,
        pb::CheckoutOutcome::Unspecified => return Err(invalid([("outcome", "is missing")])),
    };
    let user: UserId = id("cart_id", &request.cart_id)?;
    Ok((Key::user(user), id("order_id", &request.order_id)?, outcome))
}

/// How many checkouts a list may have.
pub(crate) fn limit(limit: u32) -> Result<i64, Status> {
    match limit {
        1..=1_000 => Ok(limit.into()),
        _ => Err(invalid([("limit", "must be 1 to 1,000")])),
    }
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
            Rejection::CartChanged => refuse(Code::Aborted),
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
