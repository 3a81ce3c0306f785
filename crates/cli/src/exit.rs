use std::process::ExitCode;

/// How the command ended, for scripts and monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done, or nothing to do; for `doctor`: healthy.
    Done = 0,
    /// The Worker answered with an error.
    Failed = 1,
    /// The input is not understood.
    BadInput = 2,
    /// A dry run found stale creations.
    StaleFound = 3,
    /// The credential was refused, or there is none.
    Refused = 4,
    /// The Worker can't be reached.
    Unreachable = 5,
    /// Some was done, and some was not.
    PartlyDone = 6,
    /// `doctor` found something critical.
    NotHealthy = 7,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        ExitCode::from(code as u8)
    }
}

/// Why the command could not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
}
