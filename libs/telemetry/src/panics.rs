//! Panics as log lines: one line with the trace id, instead of a few without a timestamp.

use std::panic::PanicHookInfo;

/// Replaces the process's panic hook.
pub(crate) fn log() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            location,
            thread = std::thread::current().name(),
            "panicked: {}",
            message(panic)
        );
    }));
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    panic.payload_as_str().unwrap_or("(no message)")
}
