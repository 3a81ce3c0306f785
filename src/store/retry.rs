//! Tries again what the database could not do for the moment. D1 does so itself for what only reads, and never for a write.
//!
//! Every write of this crate is safe to repeat: it repeats what it was decided on, so where the first one was committed and only
//! its answer was lost, the second one changes nothing.

use std::cell::Cell;

use super::DatabaseError;

/// The pauses before each further try, in milliseconds.
pub const PAUSES_MS: [u64; 3] = [100, 400, 1_600];

/// The tries of one invocation.
#[derive(Debug, Default)]
pub struct Retry {
    /// Whether a call has used all of its tries. The next ones have a single one, until one goes through: a database that is
    /// away for long is not waited for at each call.
    exhausted: Cell<bool>,
}

impl Retry {
    /// Calls until it goes through, fails for good, or was tried four times.
    ///
    /// # Errors
    ///
    /// The last try's.
    pub async fn run<T>(
        &self,
        call: impl AsyncFn() -> Result<T, DatabaseError>,
        pause: impl AsyncFn(u64),
    ) -> Result<T, DatabaseError> {
        let mut result = call().await;
        for pause_ms in PAUSES_MS {
            if self.exhausted.get() || !result.as_ref().is_err_and(DatabaseError::is_transient) {
                break;
            }
            pause(pause_ms).await;
            result = call().await;
        }
        self.exhausted.set(result.as_ref().is_err_and(DatabaseError::is_transient));
        result
    }
}
