use std::fmt;

use super::text::{Sink, Words, display};

/// Why tokens went or came: what an entry of the ledger says to its owner.
///
/// ```
/// use stale_drafts::rules::Movement;
///
/// let refund = Movement::of("refund", "refund:c1", Some("the model was overloaded"));
/// assert_eq!(refund.code(), "refunded");
/// assert_eq!(refund.to_string(), "Refunded, since it failed: the model was overloaded");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement<'a> {
    /// A creation was asked for.
    Charged,
    /// It failed, for this reason.
    Refunded(Option<&'a str>),
    /// A result that came after the refund was restored.
    Restored,
    /// Tokens came in; the key names the purchase.
    Granted(&'a str),
    /// They came in from another system, or were set to what it has.
    Imported,
    /// The app's own balance has paid, and the ledger only notes it.
    PaidElsewhere,
    /// The sum of entries up to this month.
    Carried(&'a str),
    /// An entry of a type that has no words of its own.
    Other(&'a str),
}

impl<'a> Movement<'a> {
    /// What an entry of this type and key says. `error` is why its creation failed.
    pub fn of(kind: &'a str, key: &'a str, error: Option<&'a str>) -> Self {
        match kind {
            "charge" => Movement::Charged,
            "refund" => Movement::Refunded(error),
            "restore" => Movement::Restored,
            "grant" if key.starts_with("import") => Movement::Imported,
            "grant" if key.starts_with("app:restore:") => Movement::PaidElsewhere,
            "grant" => Movement::Granted(key.strip_prefix("grant:").unwrap_or(key)),
            // `carry:<user>:<month>`
            "carry" => Movement::Carried(key.rsplit(':').next().unwrap_or(key)),
            other => Movement::Other(other),
        }
    }

    /// A stable code for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Movement::Charged => "charged",
            Movement::Refunded(Some(_)) => "refunded",
            Movement::Refunded(None) => "refunded_without_reason",
            Movement::Restored => "restored",
            Movement::Granted(_) => "granted",
            Movement::Imported => "imported",
            Movement::PaidElsewhere => "paid_elsewhere",
            Movement::Carried(_) => "carried",
            Movement::Other(_) => "other",
        }
    }

    /// What the sentence says beside its code: a name and a value.
    pub const fn parameter(&self) -> Option<(&'static str, &'a str)> {
        match *self {
            Movement::Refunded(Some(error)) => Some(("error", error)),
            Movement::Granted(key) => Some(("key", key)),
            Movement::Carried(month) => Some(("month", month)),
            Movement::Other(kind) => Some(("type", kind)),
            Movement::Charged
            | Movement::Refunded(None)
            | Movement::Restored
            | Movement::Imported
            | Movement::PaidElsewhere => None,
        }
    }
}

impl Words for Movement<'_> {
    fn write(&self, to: &mut impl Sink) {
        to.text(match self {
            Movement::Charged => "Charged when it was asked for",
            Movement::Refunded(Some(_)) => "Refunded, since it failed: ",
            Movement::Refunded(None) => "Refunded, since it failed",
            Movement::Restored => "Charged again: its result came after the refund, and was restored",
            Movement::Granted(_) => "Granted: ",
            Movement::Imported => "Brought in from another system",
            Movement::PaidElsewhere => "Paid from the app's own balance",
            Movement::Carried(_) => "The sum of earlier entries, up to ",
            Movement::Other(_) => "An entry of the type ",
        });
        if let Some((_, value)) = self.parameter() {
            to.text(value);
        }
    }
}

impl fmt::Display for Movement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}
