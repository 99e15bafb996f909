//! What became of an attempt that has no answer, and whether another one can do harm.

use std::error::Error as _;

use hyper::client::conn::TrySendError;
use tonic::{Code, Status};

use crate::status::{BoxError, Chain, is_given_up, refusal};

/// An attempt without an answer.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    /// No server has seen the request.
    pub(super) unsent: bool,
}

impl Failure {
    pub(super) fn unreachable(service: &str) -> Self {
        Self { status: lost(format!("{service} cannot be reached")), unsent: true }
    }

    pub(super) fn from_send<T>(error: TrySendError<T>) -> Self {
        let returned = error.message().is_some();
        let error = error.into_error();
        let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        // Reset or sent away before a handler saw it, says the server.
        let turned_away = h2.is_some_and(|error| {
            let reason = error.reason();
            (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
                || (error.is_go_away() && error.is_remote() && reason == Some(h2::Reason::NO_ERROR))
        });
        Self { status: Self::from_stream(&error), unsent: returned || turned_away }
    }

    pub(super) fn from_body(error: BoxError) -> Self {
        let status = match error.downcast_ref::<hyper::Error>() {
            Some(error) => Self::from_stream(error),
            None => Status::resource_exhausted("the answer is too large"),
        };
        Self { status, unsent: false }
    }

    /// What a broken connection or stream means to the caller.
    pub(super) fn from_stream(error: &hyper::Error) -> Status {
        tracing::debug!(error = %Chain(error), "a call was lost");
        let h2 = error.source().and_then(|source| source.downcast_ref::<h2::Error>());
        match h2.filter(|error| error.is_reset()).and_then(h2::Error::reason) {
            Some(h2::Reason::REFUSED_STREAM) | None => lost("the connection was lost"),
            Some(h2::Reason::CANCEL) => Status::cancelled("the server cancelled the call"),
            Some(_) => Status::internal("the stream was reset"),
        }
    }

    pub(super) fn is_worth_retrying(&self, idempotent: bool) -> bool {
        let may_pass = self.status.code() == Code::Unavailable && !is_given_up(&self.status);
        may_pass && (self.unsent || idempotent)
    }
}

fn lost(message: impl Into<String>) -> Status {
    refusal(Code::Unavailable, "unavailable", message)
}
