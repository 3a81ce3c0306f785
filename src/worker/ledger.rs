//! A user's money as its owner and operators see it: where each token went, in words.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::error_params::ErrorParams;
use super::pages::{Language, Parameter};
use crate::rules::Timestamp;
use crate::store::{self, ArchivedMoney, DatabaseError, LedgerPart, LedgerPlace, LedgerRow, Row};
use crate::texts;

/// An entry of a user's ledger: what `GET /api/ledger` lists.
#[derive(Clone, Debug, Serialize)]
pub struct EntryView {
    /// Its key, which names it for ever.
    pub entry_key: String,
    /// `grant`, `charge`, `refund`, `restore`, or what a later version adds.
    #[serde(rename = "type")]
    pub kind_of_entry: String,
    /// Below zero if the owner paid.
    pub tokens: i64,
    /// When, in epoch milliseconds.
    pub created_at: i64,
    /// The creation that it is about.
    pub creation_id: Option<String>,
    /// That creation's kind.
    pub kind: Option<String>,
    /// What was asked for, at most 200 characters; empty if its owner has deleted it.
    pub prompt: Option<String>,
    /// Whether its owner has deleted it.
    pub deleted: bool,
    /// The sweep that refunded.
    pub sweep_id: Option<String>,
    /// Why, in words.
    pub message: String,
    /// The same as a stable code.
    pub message_code: &'static str,
    /// What the message says beside its code.
    pub message_params: Map<String, Value>,
}

impl EntryView {
    fn new(part: &LedgerPart, entry: &LedgerRow) -> Self {
        let movement = part.movement(entry);
        let mut params = Map::new();
        if let Some((name, value)) = movement.parameter() {
            params.insert(name.to_owned(), value.into());
        }
        // An error is said in other languages by its own code.
        if let Some(ended) = part.ended(entry).filter(|_| params.contains_key("error")) {
            params.insert(String::from("error_code"), ended.error_code.clone().into());
            let of_error = serde_json::to_value(ErrorParams::ended(ended));
            params.insert(String::from("error_params"), of_error.unwrap_or_default());
        }
        EntryView {
            entry_key: entry.entry_key.clone(),
            kind_of_entry: entry.kind.clone(),
            tokens: entry.tokens,
            created_at: entry.created_at,
            creation_id: part.creation_id.clone(),
            kind: part.kind.clone(),
            prompt: part.prompt.clone(),
            deleted: part.is_deleted(),
            sweep_id: entry.sweep_id.clone(),
            message: movement.to_string(),
            message_code: movement.code(),
            message_params: params,
        }
    }

    /// What the app calls the purchase that tokens came in by.
    pub fn purchase(&self) -> Option<&str> {
        self.message_params.get("key").and_then(Value::as_str)
    }
}

/// A page of a user's ledger: the JSON of `GET /api/ledger`, and what the page is made from.
#[derive(Clone, Debug, Serialize)]
pub struct LedgerView {
    /// The server's clock, in epoch milliseconds.
    pub now: u64,
    /// Whose ledger it is.
    pub user_id: String,
    /// The user's balance, in tokens: the sum of all entries, and of what is archived.
    pub balance: u64,
    /// By creation, the newest first, with each one's entries the newest first; what is of no creation by its own time.
    pub entries: Vec<EntryView>,
    /// What to give as `?cursor=` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
    /// Whether the sweep before did all that it met; `null` for an operator, who asks without one.
    pub swept: Option<bool>,
    /// At the end: what is archived, and no longer among the entries; `null` if nothing is.
    pub archived: Option<ArchivedMoneyView>,
}

impl LedgerView {
    /// From the results of a batch that asks for the balance, for one part more than `limit`, to know whether there is a next page, and
    /// for what is archived.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(
        results: &[Vec<Row>],
        limit: u32,
        user_id: String,
        now: Timestamp,
        swept: Option<bool>,
    ) -> Result<Self, DatabaseError> {
        let [balance, page, archived] = results else {
            return Err(DatabaseError::new("expected three results"));
        };
        let archived = store::archived_money_of(archived.clone())?;
        let balance = balance.first().and_then(|row| row.get("tokens")).and_then(Value::as_u64);
        let mut parts = store::ledger_parts(page)?;
        let more = parts.len() > limit as usize;
        parts.truncate(limit as usize);
        let last = parts.last().filter(|_| more);
        let next_cursor = last.map(|part| LedgerCursor(part.place()).to_string());
        let of_part = |part: &LedgerPart| -> Vec<_> {
            part.entries().into_iter().map(|entry| EntryView::new(part, entry)).collect()
        };
        Ok(LedgerView {
            now: now.as_millis(),
            user_id,
            balance: balance.unwrap_or(0),
            entries: parts.iter().flat_map(of_part).collect(),
            archived: archived.filter(|_| next_cursor.is_none()).map(ArchivedMoneyView::new),
            next_cursor,
            swept,
        })
    }
}

/// What of a user's money is archived, at the end of the ledger.
#[derive(Clone, Debug, Serialize)]
pub struct ArchivedMoneyView {
    #[serde(flatten)]
    archived: ArchivedMoney,
    /// The same in words.
    pub message: String,
}

impl ArchivedMoneyView {
    fn new(archived: ArchivedMoney) -> Self {
        let message = in_words(&archived, &Language::english());
        ArchivedMoneyView { archived, message }
    }

    /// The message in the language of a page.
    pub(super) fn said(&self, language: &Language) -> String {
        in_words(&self.archived, language)
    }
}

fn in_words(archived: &ArchivedMoney, language: &Language) -> String {
    let parameters =
        [("count", Parameter::Number(archived.creations)), ("tokens", Parameter::Signed(archived.tokens))];
    let text = if archived.carried == 0 { &texts::ARCHIVED_TOKENS } else { &texts::ARCHIVED_TOKENS_BESIDE };
    language.say_with(text, &parameters)
}

/// A place in the ledger, as text that is safe in a URL: what is given as `?cursor=` for the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerCursor(pub LedgerPlace);

impl fmt::Display for LedgerCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LedgerPlace { at, of_creation, key } = &self.0;
        let sort = if *of_creation { "c" } else { "e" };
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{at}.{sort}.{key}")))
    }
}

impl LedgerCursor {
    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (at, rest) = text.split_once('.')?;
        let (sort, key) = rest.split_once('.')?;
        let of_creation = match sort {
            "c" => true,
            "e" => false,
            _ => return None,
        };
        Some(LedgerCursor(LedgerPlace { at: at.parse().ok()?, of_creation, key: key.to_owned() }))
    }
}

impl<'de> Deserialize<'de> for LedgerCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "the `next_cursor` of the page before";
        LedgerCursor::parse(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}
