use std::process::ExitCode;

/// How the command ended, for scripts and monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done, or nothing to do; for `doctor`: healthy.
    Done = 0,
    /// The Worker answered with an error, or the output could not be written.
    Failed = 1,
    /// An argument, a file or a value in it is invalid, or names what is not there.
    InvalidInput = 2,
    /// A dry run found stale creations.
    StaleFound = 3,
    /// The credential is missing, or was refused.
    Refused = 4,
    /// The Worker can't be reached.
    Unreachable = 5,
    /// Some of the work was done.
    PartlyDone = 6,
    /// `doctor` found something critical, or a database does not answer, and what it has is missing.
    Unhealthy = 7,
    /// `import verify` found a difference.
    Differs = 8,
    /// Ctrl-C stopped a move of buckets.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// Why the command could not do what it was asked to do.
#[derive(Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// Whether it is since something named is not there.
    pub is_absent: bool,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), is_absent: false }
    }
}
