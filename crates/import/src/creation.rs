//! Documents into creations and balances. What can't be read is said so; nothing is guessed.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use serde_json::Value as Json;
use stale_drafts::rules::Status;

use crate::document::{Document, Unreadable, Value};
use crate::mapping::{Field, Mapping, Unit, matches};
use crate::time;

/// A row for `stale_drafts_import_creations`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the columns of docs/import.md")]
pub struct Creation {
    pub id: String,
    pub user_id: String,
    pub kind: String,
    pub prompt: String,
    pub status: Status,
    pub tokens: u64,
    pub created_at: Option<i64>,
    pub started_at: Option<i64>,
    pub heartbeat_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub error: Option<String>,
    pub error_code: Option<String>,
    pub result_url: Option<String>,
    pub refunded: bool,
}

/// A row for `stale_drafts_import_users`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Whose it is.
    pub user_id: String,
    /// What is left.
    pub tokens: u64,
}

/// What a document is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// A creation.
    Creation(Box<Creation>),
    /// A user's balance.
    User(User),
    /// It is in another collection.
    Other,
}

/// The most tokens that an amount may have: what every program can hold exactly.
pub const MOST_TOKENS: u64 = 9_007_199_254_740_991;
/// Characters of a text; a longer one is cut.
pub const TEXT: usize = 20_000;
/// Characters of an error code; a longer one is cut.
const CODE: usize = 200;
/// Characters of an address. A part of one is none, so a longer one is not cut.
const URL: usize = 2_048;
/// Bytes of an id, a user and a kind.
const NAME: usize = 200;

/// Reads documents by a mapping, and remembers which it has read.
#[derive(Debug)]
pub struct Reader<'a> {
    mapping: &'a Mapping,
    creations: Seen,
    users: Seen,
}

/// Ids that have been read, as two hashes each: those of a million take 32 MB at most.
#[derive(Debug, Default)]
struct Seen {
    hashes: HashSet<(u64, u64)>,
    by: (RandomState, RandomState),
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        self.hashes.insert((self.by.0.hash_one(id), self.by.1.hash_one(id)))
    }
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing.
    pub fn new(mapping: &'a Mapping) -> Self {
        Reader { mapping, creations: Seen::default(), users: Seen::default() }
    }

    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] with the document's path, what is wrong, and what would be right.
    pub fn read(&mut self, document: &Document) -> Result<Read, Unreadable> {
        let pattern = |pattern: &Option<String>| {
            pattern.as_deref().and_then(|pattern| matches(pattern, document.collection()))
        };
        let reader = One { mapping: self.mapping, document };
        let read = if let Some(owner) = pattern(&self.mapping.collection) {
            reader.creation(owner).and_then(|creation| {
                let is_new = self.creations.is_new(&creation.id);
                let again = || {
                    format!("there was a creation with the id `{}` before: expected each once", creation.id)
                };
                if is_new { Ok(Read::Creation(Box::new(creation))) } else { Err(again()) }
            })
        } else if let Some(owner) = pattern(&self.mapping.users) {
            reader.user(owner).and_then(|user| self.user(user))
        } else {
            Ok(Read::Other)
        };
        read.map_err(|reason| Unreadable { path: document.path.clone(), reason })
    }

    /// Reads a balance from a file of them.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], as by [`Reader::read`].
    pub fn balance(&mut self, user_id: &str, tokens: &Json) -> Result<Read, Unreadable> {
        let tokens = tokens.as_u64().filter(|tokens| *tokens <= MOST_TOKENS);
        let user = name(user_id).map_err(|reason| format!("the user's id {reason}")).and_then(|user_id| {
            let tokens =
                tokens.ok_or("the balance is not a whole number of tokens: expected 0 to 2^53 − 1")?;
            self.user(User { user_id, tokens })
        });
        user.map_err(|reason| Unreadable { path: user_id.to_owned(), reason })
    }

    fn user(&mut self, user: User) -> Result<Read, String> {
        if self.users.is_new(&user.user_id) {
            return Ok(Read::User(user));
        }
        Err(format!("there was a balance of `{}` before: expected one of each user", user.user_id))
    }
}

/// A document, read by a mapping.
struct One<'a> {
    mapping: &'a Mapping,
    document: &'a Document,
}

impl One<'_> {
    fn creation(&self, owner: Option<&str>) -> Result<Creation, String> {
        let id = if self.mapping.fields.contains_key(&Field::Id) {
            self.name(Field::Id)?
        } else {
            name(self.document.id()).map_err(|reason| format!("the id {reason}"))?
        };
        if matches!(id.as_str(), "." | ".." | "active") {
            return Err(format!("`{id}` can't be an id here: it means something else in an address"));
        }
        let in_path =
            owner.or_else(|| self.value(Field::UserId).1.is_none().then(|| self.parent()).flatten());
        let user_id = match in_path {
            Some(owner) => name(owner).map_err(|reason| format!("the owner in the path {reason}"))?,
            None => self.user_by_path(self.name(Field::UserId)?),
        };
        let status = self.status()?;
        Ok(Creation {
            id,
            user_id,
            kind: self.name(Field::Kind)?,
            prompt: self.text(Field::Prompt, TEXT)?.unwrap_or_default(),
            status,
            tokens: self.tokens(Field::Tokens)?,
            created_at: self.time(Field::CreatedAt)?.or(self.document.create_time),
            started_at: self.time(Field::StartedAt)?,
            heartbeat_at: self.time(Field::HeartbeatAt)?,
            finished_at: self.time(Field::FinishedAt)?,
            error: self.text(Field::Error, TEXT)?,
            error_code: self.text(Field::ErrorCode, CODE)?,
            result_url: self.url()?,
            refunded: status != Status::Failed || self.refunded()?,
        })
    }

    /// The user below whom the document is: `ada` of `users/ada/creations/c1`.
    fn parent(&self) -> Option<&str> {
        let (parent, _) = self.document.collection().rsplit_once('/')?;
        let (collection, id) = parent.rsplit_once('/')?;
        matches(self.mapping.users.as_deref()?, collection).map(|_| id)
    }

    /// A reference that a tool has written as its path, `users/ada`: no id of Firestore holds a `/`.
    fn user_by_path(&self, user_id: String) -> String {
        let users = self.mapping.users.as_deref();
        let id = user_id
            .rsplit_once('/')
            .filter(|(collection, _)| users.is_some_and(|users| matches(users, collection).is_some()));
        id.map_or(user_id.clone(), |(_, id)| id.to_owned())
    }

    fn user(&self, owner: Option<&str>) -> Result<User, String> {
        let user_id = match owner {
            Some(owner) => owner,
            None => self.document.id(),
        };
        let user_id = name(user_id).map_err(|reason| format!("the user's id {reason}"))?;
        Ok(User { user_id, tokens: self.tokens(Field::Balance)? })
    }

    /// The value of a field, and what it is called.
    fn value(&self, field: Field) -> (String, Option<Value>) {
        let theirs = self.mapping.fields.get(&field);
        let found = theirs.and_then(|name| self.document.field(name)).cloned();
        let constant = || self.mapping.values.get(&field).map(crate::sources::constant);
        (theirs.map_or_else(|| field.name().to_owned(), Clone::clone), found.or_else(constant))
    }

    /// A name: text, a whole number, or the id of another document.
    fn name(&self, field: Field) -> Result<String, String> {
        let (theirs, value) = self.value(field);
        let text = match value {
            Some(Value::Text(text)) => text,
            Some(Value::Integer(integer)) => integer.to_string(),
            Some(Value::Reference(path)) => path.rsplit('/').next().unwrap_or_default().to_owned(),
            Some(other) => return Err(wrong(&theirs, &other, "a name")),
            None => return Err(missing(&theirs, field)),
        };
        name(&text).map_err(|reason| format!("`{theirs}` {reason}"))
    }

    fn text(&self, field: Field, most: usize) -> Result<Option<String>, String> {
        let (theirs, value) = self.value(field);
        match value {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(cut(&text, most))),
            Some(Value::Integer(integer)) => Ok(Some(integer.to_string())),
            Some(map @ Value::Map(_)) => Err(wrong(
                &theirs,
                &map,
                &format!("text: if it is in the map, map `{theirs}.message` or the like"),
            )),
            Some(other) => Err(wrong(&theirs, &other, "text")),
        }
    }

    fn url(&self) -> Result<Option<String>, String> {
        let (theirs, _) = self.value(Field::ResultUrl);
        let text = self.text(Field::ResultUrl, usize::MAX)?;
        match text {
            Some(url) if url.chars().count() > URL => {
                Err(format!("`{theirs}` has more than {URL} characters: expected an address"))
            }
            other => Ok(other.filter(|url| !url.is_empty())),
        }
    }

    fn status(&self) -> Result<Status, String> {
        let (theirs, value) = self.value(Field::Status);
        let word = match value {
            Some(Value::Text(word)) => word,
            Some(Value::Integer(word)) => word.to_string(),
            Some(other) => return Err(wrong(&theirs, &other, "a word")),
            None => return Err(missing(&theirs, Field::Status)),
        };
        if let Some(ours) = self.mapping.statuses.get(&word) {
            return Ok(ours.0);
        }
        Status::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| {
            format!(
                "`{theirs}` is {}: expected pending, processing, draft, published or failed, or a word in `statuses`",
                Value::Text(word).quoted()
            )
        })
    }

    fn tokens(&self, field: Field) -> Result<u64, String> {
        let (theirs, value) = self.value(field);
        let value = value.ok_or_else(|| missing(&theirs, field))?;
        let tokens = match &value {
            Value::Integer(integer) => u64::try_from(*integer).ok(),
            Value::Double(double) => whole(*double),
            Value::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok()
            }
            _ => None,
        };
        tokens
            .filter(|tokens| *tokens <= MOST_TOKENS)
            .ok_or_else(|| wrong(&theirs, &value, "a whole number of tokens, 0 to 2^53 − 1"))
    }

    fn time(&self, field: Field) -> Result<Option<i64>, String> {
        let (theirs, value) = self.value(field);
        let Some(value) = value else { return Ok(None) };
        let instant = match &value {
            Value::Timestamp(millis) => Some(*millis),
            Value::Text(text) => match (time::instant(text), self.mapping.times_without_offset) {
                (Some(millis), _) => Some(millis),
                (None, Some(_)) => time::without_offset(text),
                (None, None) if time::without_offset(text).is_some() => {
                    return Err(wrong(
                        &theirs,
                        &value,
                        "an offset, or `times_without_offset` in the mapping",
                    ));
                }
                (None, None) => None,
            },
            Value::Integer(_) | Value::Double(_) => match self.mapping.times {
                None => {
                    return Err(wrong(
                        &theirs,
                        &value,
                        "a timestamp, or the unit of numbers as `times` in the mapping",
                    ));
                }
                Some(unit) => in_unit(&value, unit),
            },
            _ => None,
        };
        let instant =
            instant.ok_or_else(|| wrong(&theirs, &value, "a time, such as `2026-11-28T04:05:06Z`"))?;
        // The rules take an earlier time for one in seconds.
        if !(1_000_000_000_000..=8_640_000_000_000_000).contains(&instant) {
            return Err(wrong(&theirs, &value, "a time after September 2001: is its unit another one?"));
        }
        Ok(Some(instant))
    }

    fn refunded(&self) -> Result<bool, String> {
        if !self.mapping.fields.contains_key(&Field::Refunded)
            && !self.mapping.values.contains_key(&Field::Refunded)
        {
            return Ok(true);
        }
        let (theirs, value) = self.value(Field::Refunded);
        match value {
            Some(Value::Bool(refunded)) => Ok(refunded),
            Some(other) => Err(wrong(&theirs, &other, "true or false")),
            None => Err(missing(&theirs, Field::Refunded)),
        }
    }
}

fn wrong(theirs: &str, value: &Value, expected: &str) -> String {
    format!("`{theirs}` is {}: expected {expected}", value.quoted())
}

fn missing(theirs: &str, field: Field) -> String {
    format!(
        "`{theirs}` is missing: expected a value, or one for all such documents as `{}` in `values`",
        field.name()
    )
}

/// A name as the database takes it.
fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(String::from("is empty"));
    }
    if text.len() > NAME {
        return Err(format!("is {}: expected at most {NAME} bytes", Value::Text(text.to_owned()).quoted()));
    }
    if text.chars().any(char::is_control) {
        return Err(String::from("holds control characters"));
    }
    Ok(text.to_owned())
}

/// A text as the database takes it: U+0000 ends it.
fn cut(text: &str, most: usize) -> String {
    text.split('\0').next().unwrap_or_default().chars().take(most).collect()
}

/// A double that is a whole number, exactly.
fn whole(double: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole, and within what a double holds exactly"
    )]
    let exact = || double as u64;
    (double.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(&double)).then(exact)
}

/// A number of seconds or milliseconds, in whole milliseconds.
fn in_unit(value: &Value, unit: Unit) -> Option<i64> {
    match (value, unit) {
        (Value::Integer(seconds), Unit::Seconds) => seconds.checked_mul(1_000),
        (Value::Integer(millis), Unit::Milliseconds) => Some(*millis),
        // As Python's `time.time()` and JavaScript's `performance` have them.
        (Value::Double(seconds), Unit::Seconds) => {
            whole((seconds * 1_000.0).floor()).and_then(|millis| millis.try_into().ok())
        }
        (Value::Double(millis), Unit::Milliseconds) => {
            whole(millis.floor()).and_then(|millis| millis.try_into().ok())
        }
        _ => None,
    }
}
