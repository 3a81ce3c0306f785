/// The stable code that stands beside the error text of what was cancelled, as `error_code`.
pub const CANCELLED: &str = "cancelled";

/// The error text of what was cancelled.
pub const CANCELLED_TEXT: &str = "Cancelled before it was finished";

/// What cancelling does while a worker is at it. What no worker has begun can always be cancelled, and all of its tokens go back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cancellation {
    /// All tokens go back.
    #[default]
    Refund,
    /// They are used up: the work has been paid for.
    Keep,
    /// It is refused: the worker ends what it has begun.
    Never,
}

impl Cancellation {
    /// The word that a policy uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cancellation::Refund => "refund",
            Cancellation::Keep => "keep",
            Cancellation::Never => "never",
        }
    }
}

/// The stable code of what an operator failed by hand, as `error_code`. The text beside it is the operator's.
pub const FAILED_BY_OPERATOR: &str = "failed_by_operator";
