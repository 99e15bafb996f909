//! Refusals: a gRPC code, a stable reason for programs (`google.rpc.ErrorInfo`), a sentence for
//! people, and for bad input the fields at fault (`google.rpc.BadRequest`). What went wrong
//! inside is logged here, once, and never sent.

use std::collections::HashMap;
use std::error::Error;

use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _, pb};

/// The `domain` of our reasons.
pub const DOMAIN: &str = "souk";

/// What stands before the name of a message in `google.protobuf.Any`.
const TYPE_URL: &str = "type.googleapis.com/";

/// Any error, as [`internal`] and [`unavailable`] take it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A refusal with a stable `reason` in snake case, such as `out_of_stock`.
pub fn refusal(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// INVALID_ARGUMENT, reason `invalid`, with a description for every field at fault.
pub fn invalid(fields: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>) -> Status {
    let fields: Vec<_> =
        fields.into_iter().map(|(field, fault)| FieldViolation::new(field, fault)).collect();
    let message = match fields.first() {
        Some(first) => format!("{}: {}", first.field, first.description),
        None => "invalid request".to_owned(),
    };
    let mut details = ErrorDetails::with_error_info("invalid", DOMAIN, HashMap::new());
    details.set_bad_request(fields);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// The refusal with a message of ours beside the reason, for programs that can do something about it.
/// `name` is the message's full name, such as `souk.order.v1.TotalChanged`.
pub fn with_detail(refusal: Status, name: &str, detail: &impl Message) -> Status {
    let mut details = pb::Status::decode(refusal.details()).unwrap_or_default();
    let (type_url, value) = (format!("{TYPE_URL}{name}"), detail.encode_to_vec());
    details.details.push(prost_types::Any { type_url, value });
    let (code, message) = (refusal.code(), refusal.message().to_owned());
    Status::with_details(code, message, details.encode_to_vec().into())
}

/// What [`with_detail`] put beside the reason.
pub fn detail<M: Message + Default>(status: &Status, name: &str) -> Option<M> {
    let details = pb::Status::decode(status.details()).ok()?.details;
    let is_named = |any: &&prost_types::Any| any.type_url.strip_prefix(TYPE_URL) == Some(name);
    M::decode(&*details.iter().find(is_named)?.value).ok()
}

/// Logs `error` with its sources and returns a bare INTERNAL that says nothing of it.
pub fn internal(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    tracing::error!(error = %Chain(&*error), "internal error");
    Status::internal("internal error")
}

/// Logs `error` with its sources and returns UNAVAILABLE, reason `unavailable`: something we
/// depend on does not answer, and the same call may succeed later.
pub fn unavailable(error: impl Into<BoxError>) -> Status {
    let error = error.into();
    tracing::warn!(error = %Chain(&*error), "unavailable");
    refusal(Code::Unavailable, "unavailable", "temporarily unavailable")
}

/// UNAVAILABLE, reason `unavailable`: a call has got no answer.
pub(crate) fn lost(message: impl Into<String>) -> Status {
    refusal(Code::Unavailable, "unavailable", message)
}

/// With a negative value a server forbids that the call is retried (gRPC proposal A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Marks an UNAVAILABLE that was retried here, or must not be: no caller above retries it.
pub(crate) fn given_up(mut status: Status) -> Status {
    if status.code() == Code::Unavailable {
        status.metadata_mut().insert(PUSHBACK, MetadataValue::from_static("-1"));
    }
    status
}

/// Whether a callee further down has given up on the call.
pub(crate) fn is_given_up(status: &Status) -> bool {
    status.metadata().get(PUSHBACK).is_some_and(|pause| pause.as_encoded_bytes().starts_with(b"-"))
}

/// The reason that [`refusal`] or [`invalid`] gave, when there is one.
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.domain == DOMAIN).then_some(info.reason)
}

/// The fields at fault, each with its description.
pub fn fields(status: &Status) -> Vec<(String, String)> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    violations.unwrap_or_default().into_iter().map(|v| (v.field, v.description)).collect()
}

/// An error and its sources on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_back() {
        let status = refusal(Code::FailedPrecondition, "empty_cart", "the cart is empty");
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(reason(&status).as_deref(), Some("empty_cart"));
        assert!(fields(&status).is_empty());
    }

    #[test]
    fn bad_fields_are_read_back_in_order() {
        let status = invalid([("quantity", "must be positive"), ("sku", "is unknown")]);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "quantity: must be positive");
        assert_eq!(reason(&status).as_deref(), Some("invalid"));
        let expected = [("quantity", "must be positive"), ("sku", "is unknown")];
        assert_eq!(fields(&status), expected.map(|(f, d)| (f.to_owned(), d.to_owned())));
    }

    #[test]
    fn a_detail_is_read_back_beside_the_reason() {
        let moved = prost_types::Duration { seconds: 7, nanos: 1 };
        let status = refusal(Code::Aborted, "moved", "it moved");
        let status = with_detail(status, "test.Moved", &moved);
        assert_eq!((status.code(), status.message()), (Code::Aborted, "it moved"));
        assert_eq!(reason(&status).as_deref(), Some("moved"));
        assert_eq!(detail(&status, "test.Moved"), Some(moved));
        assert_eq!(detail::<prost_types::Duration>(&status, "test.Other"), None);
    }

    #[test]
    fn internals_stay_inside() {
        let status = internal("password=hunter2");
        assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
        assert_eq!(reason(&status), None);
        assert_eq!(reason(&unavailable("10.0.0.7 refused")).as_deref(), Some("unavailable"));
    }
}
