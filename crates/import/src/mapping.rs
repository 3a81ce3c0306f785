//! Which collections, fields and words of the old system mean what.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value as Json;
use stale_drafts::rules::Status;

/// What a mapping file holds, and the options that replace its parts.
///
/// ```
/// use stale_drafts_import::mapping::Mapping;
///
/// let mapping: Mapping = r#"{
///   "collection": "users/{user_id}/creations",
///   "fields": { "kind": "creationType", "prompt": "prompt", "status": "status", "tokens": "tokensUsed",
///               "created_at": "createdAt", "balance": "tokenBalance" },
///   "statuses": { "completed": "draft" },
///   "users": "users"
/// }"#.parse()?;
/// assert_eq!(mapping.users.as_deref(), Some("users"));
/// assert!("{}".parse::<Mapping>().is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Where creations are: a collection's name, at any depth, or a path from the top with names or `{…}` for ids. `{user_id}` is the
    /// owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// Where users with a balance are, in the same way. The id is the user's, unless the path has `{user_id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<String>,
    /// A file of JSON with each user's balance instead: `{"ada": 80}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balances: Option<PathBuf>,
    /// Our fields, and theirs.
    pub fields: BTreeMap<Field, String>,
    /// What stands for a field that a document does not have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Field, Json>,
    /// Their words, and our statuses. Ours need none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<String, Word>,
    /// The unit of times that are numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<Unit>,
    /// What times in text mean that name no offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_without_offset: Option<Zone>,
}

/// What we need to know of a creation, and the balance of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the columns of docs/import.md")]
pub enum Field {
    Id,
    UserId,
    Kind,
    Prompt,
    Status,
    Tokens,
    CreatedAt,
    StartedAt,
    HeartbeatAt,
    FinishedAt,
    Error,
    ErrorCode,
    ResultUrl,
    /// Whether the tokens of what failed have been given back. Without it they have.
    Refunded,
    /// What a user has.
    Balance,
}

impl Field {
    /// Its name in a mapping.
    pub fn name(self) -> &'static str {
        match self {
            Field::Id => "id",
            Field::UserId => "user_id",
            Field::Kind => "kind",
            Field::Prompt => "prompt",
            Field::Status => "status",
            Field::Tokens => "tokens",
            Field::CreatedAt => "created_at",
            Field::StartedAt => "started_at",
            Field::HeartbeatAt => "heartbeat_at",
            Field::FinishedAt => "finished_at",
            Field::Error => "error",
            Field::ErrorCode => "error_code",
            Field::ResultUrl => "result_url",
            Field::Refunded => "refunded",
            Field::Balance => "balance",
        }
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into()).map_err(|_| {
            format!(
                "unknown field `{text}`: expected id, user_id, kind, prompt, status, tokens, created_at, started_at, \
                 heartbeat_at, finished_at, error, error_code, result_url, refunded or balance"
            )
        })
    }
}

/// One of our statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(pub Status);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Status::ALL.into_iter().find(|status| status.as_str() == text).map(Word).ok_or_else(|| {
            format!("unknown status `{text}`: expected pending, processing, draft, published or failed")
        })
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The unit of times that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Since the Unix epoch, in seconds.
    Seconds,
    /// In milliseconds.
    Milliseconds,
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into())
            .map_err(|_| format!("unknown unit `{text}`: expected seconds or milliseconds"))
    }
}

/// A zone that can be meant without saying so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// As Python's `utcnow` has it.
    Utc,
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        serde_json::from_value(text.into()).map_err(|_| format!("unknown zone `{text}`: expected utc"))
    }
}

impl FromStr for Mapping {
    type Err = String;

    /// Reads a mapping file, and checks it.
    fn from_str(text: &str) -> Result<Self, String> {
        let mapping: Mapping = serde_json::from_str(text).map_err(|error| error.to_string())?;
        mapping.check()?;
        Ok(mapping)
    }
}

impl Mapping {
    /// Checks that nothing is missing.
    ///
    /// # Errors
    ///
    /// In words, if it is.
    pub fn check(&self) -> Result<(), String> {
        for (option, path) in [("collection", &self.collection), ("users", &self.users)] {
            if path.as_ref().is_some_and(|path| {
                path.split('/').count().is_multiple_of(2) || path.split('/').any(str::is_empty)
            }) {
                let path = path.as_deref().unwrap_or_default();
                return Err(format!(
                    "`{option}` is `{path}`, which is not a collection: expected for example `creations` or `users/{{user_id}}/creations`"
                ));
            }
        }
        let known = |field: Field| self.fields.contains_key(&field) || self.values.contains_key(&field);
        if let Some(collection) = &self.collection {
            for field in [Field::Kind, Field::Status, Field::Tokens] {
                if !known(field) {
                    return Err(format!(
                        "`fields` has no `{}`: expected the name that it has in `{collection}`",
                        field.name()
                    ));
                }
            }
            if !known(Field::UserId) && !collection.contains("{user_id}") {
                return Err(format!(
                    "nothing says who owns a creation: expected `user_id` in `fields`, or `{{user_id}}` in the path `{collection}`"
                ));
            }
        }
        if self.users.is_some() && !known(Field::Balance) {
            return Err(String::from("`fields` has no `balance`: expected the name that it has in `users`"));
        }
        if self.users.is_some() && self.balances.is_some() {
            return Err(String::from(
                "`users` and `balances` both say what a user has: expected one of them",
            ));
        }
        if self.collection.is_none() && self.users.is_none() && self.balances.is_none() {
            return Err(String::from(
                "it names nothing to import: expected `collection`, `users` or `balances`",
            ));
        }
        Ok(())
    }
}

/// Whether documents of `collection` are meant by `pattern`, and which id stands where the pattern has `{user_id}`.
pub fn matches<'a>(pattern: &str, collection: &'a str) -> Option<Option<&'a str>> {
    if !pattern.contains('/') {
        return (collection.rsplit('/').next() == Some(pattern)).then_some(None);
    }
    let mut owner = None;
    let mut parts = collection.split('/');
    for wanted in pattern.split('/') {
        let part = parts.next()?;
        if wanted == "{user_id}" {
            owner = Some(part);
        } else if !(wanted.starts_with('{') && wanted.ends_with('}')) && wanted != part {
            return None;
        }
    }
    parts.next().is_none().then_some(owner)
}
