use std::fmt;

use super::text::{Sink, Words, display};

/// What became of an attempt that is over: why what it had not used went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// It has a result.
    Done,
    /// It failed.
    Failed {
        /// Why, in words.
        error: Option<&'a str>,
        /// Whether somebody cancelled it.
        cancelled: bool,
        /// What of its charge it had used all the same.
        used: Used,
    },
}

/// What a failure had used of its charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// Nothing, so all of it came back.
    Nothing,
    /// A part.
    Part,
    /// All of it, so nothing came back.
    All,
}

/// Why tokens went or came: what an entry of the ledger says to its owner.
///
/// ```
/// use stale_drafts::rules::{End, Movement, Used};
///
/// let failed = End::Failed { error: Some("the model was overloaded"), cancelled: false, used: Used::Nothing };
/// let refund = Movement::of("refund", "refund2:c1", Some(failed));
/// assert_eq!(refund.code(), "refunded");
/// assert_eq!(refund.to_string(), "Refunded, since it failed: the model was overloaded");
/// assert_eq!(Movement::charge_of("refund", "refund2:c1"), 2);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement<'a> {
    /// A creation was asked for.
    Charged,
    /// It had failed, and was asked for once more.
    Retried,
    /// Somebody cancelled it after its work had begun, and the policy keeps what was charged.
    Kept,
    /// It failed, for this reason, and had used all of its charge.
    UsedUp(Option<&'a str>),
    /// It failed, for this reason.
    Refunded(Option<&'a str>),
    /// It failed, for this reason, and had used a part of its charge.
    RefundedInPart(Option<&'a str>),
    /// Somebody cancelled it.
    Cancelled,
    /// It is done, and has used less than its charge.
    NotUsed,
    /// A result that came after the refund was restored.
    Restored,
    /// Tokens came in; the key names the purchase, beside the sentence.
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
    /// What an entry of this type and key says. `end` is that of the attempt whose charge it is about.
    pub fn of(kind: &'a str, key: &'a str, end: Option<End<'a>>) -> Self {
        match kind {
            "charge" => match end {
                Some(End::Failed { cancelled: true, used: Used::Part | Used::All, .. }) => Movement::Kept,
                Some(End::Failed { error, used: Used::All, .. }) => Movement::UsedUp(error),
                _ if Movement::charge_of(kind, key) > 1 => Movement::Retried,
                _ => Movement::Charged,
            },
            "refund" => match end {
                None => Movement::Refunded(None),
                Some(End::Done) => Movement::NotUsed,
                Some(End::Failed { cancelled: true, .. }) => Movement::Cancelled,
                Some(End::Failed { error, used: Used::Nothing, .. }) => Movement::Refunded(error),
                Some(End::Failed { error, .. }) => Movement::RefundedInPart(error),
            },
            "restore" => Movement::Restored,
            "grant" if key.starts_with("import") => Movement::Imported,
            "grant" if key.starts_with("app:restore:") => Movement::PaidElsewhere,
            "grant" => Movement::Granted(key.strip_prefix("grant:").unwrap_or(key)),
            // `carry:<user>:<month>`
            "carry" => Movement::Carried(key.rsplit(':').next().unwrap_or(key)),
            other => Movement::Other(other),
        }
    }

    /// Which charge of its creation an entry is about: `charge:c1` the first, `charge2:c1` the second, by a retry.
    pub fn charge_of(kind: &str, key: &str) -> u32 {
        let number = key.strip_prefix(kind).and_then(|rest| rest.split_once(':')).map(|(number, _)| number);
        number.and_then(|number| number.parse().ok()).unwrap_or(1)
    }

    /// A stable code for JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Movement::Charged => "charged",
            Movement::Retried => "retried",
            Movement::Kept => "kept",
            Movement::UsedUp(Some(_)) => "used_up",
            Movement::UsedUp(None) => "used_up_without_reason",
            Movement::Refunded(Some(_)) => "refunded",
            Movement::Refunded(None) => "refunded_without_reason",
            Movement::RefundedInPart(Some(_)) => "refunded_in_part",
            Movement::RefundedInPart(None) => "refunded_in_part_without_reason",
            Movement::Cancelled => "cancelled",
            Movement::NotUsed => "not_used",
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
            Movement::UsedUp(Some(error))
            | Movement::Refunded(Some(error))
            | Movement::RefundedInPart(Some(error)) => Some(("error", error)),
            Movement::Granted(key) => Some(("key", key)),
            Movement::Carried(month) => Some(("month", month)),
            Movement::Other(kind) => Some(("type", kind)),
            Movement::Charged
            | Movement::Retried
            | Movement::Kept
            | Movement::UsedUp(None)
            | Movement::Refunded(None)
            | Movement::RefundedInPart(None)
            | Movement::Cancelled
            | Movement::NotUsed
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
            Movement::Retried => "Charged again, as it was retried after its failure",
            Movement::Kept => "Charged, and not refunded: it was cancelled after its work had begun",
            Movement::UsedUp(Some(_)) => "Charged, and not refunded: it failed, and had used all of it: ",
            Movement::UsedUp(None) => "Charged, and not refunded: it failed, and had used all of it",
            Movement::Refunded(Some(_)) => "Refunded, since it failed: ",
            Movement::Refunded(None) => "Refunded, since it failed",
            Movement::RefundedInPart(Some(_)) => "It failed, and what was not used came back: ",
            Movement::RefundedInPart(None) => "It failed, and what was not used came back",
            Movement::Cancelled => "Refunded, since it was cancelled",
            Movement::NotUsed => "What was not used came back",
            Movement::Restored => "Charged again: its result came after the refund, and was restored",
            Movement::Granted(_) => "Added to the balance",
            Movement::Imported => "Brought in from another system",
            Movement::PaidElsewhere => "Paid from the app's own balance",
            Movement::Carried(_) => "The sum of earlier entries, up to ",
            Movement::Other(_) => "An entry of the type ",
        });
        // The app chose the key of a grant: it is for machines, and has no place in a sentence.
        if let (Some((_, value)), false) = (self.parameter(), matches!(self, Movement::Granted(_))) {
            to.text(value);
        }
    }
}

impl fmt::Display for Movement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display(self, f)
    }
}
