//! The log: one line each.

/// A line of what is as it should be.
pub(super) fn log(line: &str) {
    web_sys::console::log_1(&line.into());
}

/// A line of what is not.
pub(super) fn error(line: &str) {
    web_sys::console::error_1(&line.into());
}
