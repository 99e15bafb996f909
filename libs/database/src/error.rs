//! What kind of failure it was.

use std::sync::Arc;

use sqlx::Error;

/// One failure for all who shared what failed: an error for each, which is judged as this one.
pub fn shared(error: Error) -> impl Fn() -> Error {
    let error = Arc::new(error);
    move || again(&error)
}

/// A failure once more, which is judged as it is.
pub fn again(error: &Arc<Error>) -> Error {
    Error::AnyDriverError(Box::new(Arc::clone(error)))
}

/// The error that [`shared`] was given.
fn original(error: &Error) -> &Error {
    match error {
        Error::AnyDriverError(shared) => match shared.downcast_ref::<Arc<Error>>() {
            Some(error) => original(error),
            None => error,
        },
        _ => error,
    }
}

/// The name of the constraint that the statement would have violated (unique violation, foreign key, check). The
/// database keeps the invariants and a context maps their names to its rejections.
pub fn constraint(error: &Error) -> Option<&str> {
    original(error).as_database_error().and_then(|error| error.constraint())
}

/// Whether the same work may succeed later: connection trouble, a full pool, a lock or
/// statement timeout, a deadlock, a server that is shutting down or out of resources.
/// Everything else is deterministic: the same input would fail again.
pub fn is_transient(error: &Error) -> bool {
    match original(error) {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::BeginFailed => true,
        Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        // Class 08 connection, 40 rollback, 53 resources, 55 object state, 57 operator, 58 system.
        // 25006: it reads only, for now. 25P03: the transaction was idle while we were stopped.
        Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "55", "57", "58"].contains(&&code[..2])
                || ["25006", "25P03"].contains(&&*code)
        }),
        _ => false,
    }
}

/// Whether others were in the way: a deadlock, or a lock that was not had in time. Transient, and perhaps because of one row of
/// many.
pub fn is_contended(error: &Error) -> bool {
    let code = original(error).as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["40P01", "40001", "55P03"].contains(&&*code))
}

/// Whether the statement and the database do not belong together: a missing grant, table or column, or a plan that a
/// migration has made stale (SQLSTATE class 42, and 0A000). The input is not to blame: once the deployment is mended the
/// same work succeeds.
pub fn is_misdeployed(error: &Error) -> bool {
    let code = original(error).as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("42") || code == "0A000")
}

/// Transient: the next try may be answered.
pub(crate) fn timed_out() -> Error {
    Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database has not answered in time",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_is_shared_is_judged_as_the_one_it_was() {
        let transient = shared(shared(timed_out())());
        assert!(is_transient(&transient()) && is_transient(&transient()));
        assert!(transient().to_string().contains("has not answered in time"));
        let deterministic = shared(Error::RowNotFound);
        assert!(!is_transient(&deterministic()) && !is_misdeployed(&deterministic()));
    }
}
