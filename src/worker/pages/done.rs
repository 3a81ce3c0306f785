use serde::{Deserialize, Serialize};

use super::layout::{count, minute, tokens};

/// What an operator has just done, as the address says it after the redirect: one of these words, numbers, and the kind. An address is
/// anybody's to make, so the page's own words never come from it, and a kind is only looked for on record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    done: Option<Act>,
    tokens: Option<u64>,
    until: Option<u64>,
    failed: Option<u64>,
    retried: Option<u64>,
    creations: Option<u64>,
    unreached: Option<u64>,
    more: Option<bool>,
    kind: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Act {
    Retried,
    Cancelled,
    Failed,
    Restored,
    Extended,
    KindExtended,
    KindEnded,
    Noted,
    Swept,
    Paused,
    Resumed,
}

impl Done {
    /// From the query of an address; nothing, where that is not one that [`Done::at`] gives.
    pub fn read(query: &str) -> Self {
        serde_urlencoded::from_str(query).unwrap_or_default()
    }

    /// Another attempt begins, for so many tokens.
    pub fn retried(tokens: u64) -> Self {
        Done { tokens: Some(tokens), ..Done::only(Act::Retried) }
    }

    /// It is cancelled, and so many tokens went back.
    pub fn cancelled(tokens: u64) -> Self {
        Done { tokens: Some(tokens), ..Done::only(Act::Cancelled) }
    }

    /// It is failed, and so many tokens went back.
    pub fn failed(tokens: u64) -> Self {
        Done { tokens: Some(tokens), ..Done::only(Act::Failed) }
    }

    /// The late result is restored, for so many tokens.
    pub fn restored(tokens: u64) -> Self {
        Done { tokens: Some(tokens), ..Done::only(Act::Restored) }
    }

    /// It has time until then, in epoch milliseconds.
    pub fn extended(until: u64) -> Self {
        Done { until: Some(until), ..Done::only(Act::Extended) }
    }

    /// A kind has time until then, given to so many of what is active; with `more`, some are left.
    pub fn kind_extended(kind: &str, until: u64, creations: u64, more: bool) -> Self {
        Done {
            kind: Some(kind.to_owned()),
            until: Some(until),
            creations: Some(creations),
            more: Some(more),
            ..Done::only(Act::KindExtended)
        }
    }

    /// A kind has no more time than its limits give; with `more`, some of what is active has.
    pub fn kind_ended(kind: &str, more: bool) -> Self {
        Done { kind: Some(kind.to_owned()), more: Some(more), ..Done::only(Act::KindEnded) }
    }

    /// A note is added.
    pub fn noted() -> Self {
        Done::only(Act::Noted)
    }

    /// A plan was carried out, without so many databases.
    pub fn swept(failed: u64, retried: u64, unreached: u64) -> Self {
        Done {
            failed: Some(failed),
            retried: Some(retried),
            unreached: Some(unreached),
            ..Done::only(Act::Swept)
        }
    }

    /// Sweeping is paused.
    pub fn paused() -> Self {
        Done::only(Act::Paused)
    }

    /// Sweeping goes on.
    pub fn resumed() -> Self {
        Done::only(Act::Resumed)
    }

    /// Of what kind some are left, and the end that was given to it; none, where its own was ended.
    pub fn left(&self) -> Option<(&str, Option<u64>)> {
        let kind = self.kind.as_deref().filter(|_| self.more == Some(true))?;
        match self.done? {
            Act::KindExtended => Some((kind, Some(self.until?))),
            Act::KindEnded => Some((kind, None)),
            _ => None,
        }
    }

    fn only(done: Act) -> Self {
        Done { done: Some(done), ..Done::default() }
    }

    /// The address of the page that says so.
    pub fn at(&self, address: &str) -> String {
        let joint = if address.contains('?') { '&' } else { '?' };
        format!("{address}{joint}{}", serde_urlencoded::to_string(self).unwrap_or_default())
    }

    /// In words; `None` where nothing was done, or a number of it is missing.
    pub fn words(&self) -> Option<String> {
        Some(match self.done? {
            Act::Retried => format!("another attempt begins, for {}", tokens(self.tokens?)),
            Act::Cancelled => format!("it is cancelled, refunded: {}", tokens(self.tokens?)),
            Act::Failed => format!("it is failed, refunded: {}", tokens(self.tokens?)),
            Act::Restored => format!("the late result is restored, for {}", tokens(self.tokens?)),
            Act::Extended => format!("it has time until {} UTC", minute(self.until?)),
            Act::KindExtended => {
                let (until, creations, left) =
                    (minute(self.until?), count(self.creations?), some_left(self.more?));
                format!(
                    "the kind has time until {until} UTC, given now to {creations} of what is active{left}"
                )
            }
            Act::KindEnded => {
                format!("the kind has no more time than its limits give{}", some_left(self.more?))
            }
            Act::Noted => String::from("the note is added"),
            Act::Swept => {
                let unreached = match self.unreached? {
                    0 => String::new(),
                    1 => String::from("; 1 database was not reached"),
                    many => format!("; {} databases were not reached", count(many)),
                };
                format!("{} failed, {} retried{unreached}", count(self.failed?), count(self.retried?))
            }
            Act::Paused => String::from("sweeping is paused"),
            Act::Resumed => String::from("sweeping goes on"),
        })
    }
}

const fn some_left(more: bool) -> &'static str {
    if more { "; some are left" } else { "" }
}
