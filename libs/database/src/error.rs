//! What kind of failure it was.

use sqlx::Error;

/// The name of the constraint that the statement would have violated (unique violation, foreign key, check). The
/// database keeps the invariants and a context maps their names to its rejections.
pub fn constraint(error: &Error) -> Option<&str> {
    error.as_database_error().and_then(|error| error.constraint())
}

/// Whether the same work may succeed later: connection trouble, a full pool, a lock or
/// statement timeout, a deadlock, a server that is shutting down or out of resources.
/// Everything else is deterministic: the same input would fail again.
pub fn is_transient(error: &Error) -> bool {
    match error {
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

/// Whether the statement and the database do not belong together: a missing grant, table or column, or a plan that a
/// migration has made stale (SQLSTATE class 42, and 0A000). The input is not to blame: once the deployment is mended the
/// same work succeeds.
pub fn is_misdeployed(error: &Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code.starts_with("42") || code == "0A000")
}

/// Transient: the next try may be answered.
pub(crate) fn timed_out() -> Error {
    Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database has not answered in time",
    ))
}
