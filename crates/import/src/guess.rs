//! A mapping that is likely, from the names and values of the documents. It is shown, and used only if somebody accepts it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use stale_drafts::rules::Status;

use crate::document::{Document, Item, Value};
use crate::mapping::{Field, Mapping, Unit, Word, Zone};
use crate::sources::{SourceError, Sources};
use crate::time;

/// What a field is called elsewhere, in small letters and without `_` and `-`; the likeliest name first.
const NAMES: [(Field, &[&str]); 13] = [
    (
        Field::UserId,
        &["userid", "uid", "ownerid", "owner", "user", "userref", "creatorid", "createdby", "authorid"],
    ),
    (Field::Kind, &["creationtype", "kind", "mediatype", "type", "contenttype", "generationtype"]),
    (Field::Prompt, &["prompt", "inputprompt", "textprompt", "description"]),
    (Field::Status, &["status", "state", "creationstatus"]),
    (
        Field::Tokens,
        &["tokensused", "tokens", "tokencost", "tokenscharged", "creditsused", "credits", "cost"],
    ),
    (Field::CreatedAt, &["createdat", "created", "creationtime", "datecreated", "createdon", "timestamp"]),
    (Field::StartedAt, &["startedat", "processingstartedat", "processingat", "starttime"]),
    (Field::HeartbeatAt, &["heartbeatat", "lastheartbeatat", "lastheartbeat", "heartbeat"]),
    (Field::FinishedAt, &["completedat", "finishedat", "endedat", "completiontime", "failedat"]),
    (Field::Error, &["error", "errormessage", "failurereason"]),
    (Field::ErrorCode, &["errorcode", "failurecode"]),
    (Field::ResultUrl, &["resulturl", "mediaurl", "outputurl", "imageurl", "videourl", "url"]),
    (Field::Refunded, &["refunded", "tokensrefunded", "isrefunded"]),
];
/// What a user's balance is called.
const BALANCES: [&str; 9] = [
    "tokenbalance",
    "tokensbalance",
    "balance",
    "tokens",
    "tokensremaining",
    "credits",
    "creditbalance",
    "tokencount",
    "tokensleft",
];
/// Words for our statuses.
const WORDS: [(&str, Status); 24] = [
    ("pending", Status::Pending),
    ("queued", Status::Pending),
    ("waiting", Status::Pending),
    ("created", Status::Pending),
    ("processing", Status::Processing),
    ("running", Status::Processing),
    ("started", Status::Processing),
    ("generating", Status::Processing),
    ("inprogress", Status::Processing),
    ("draft", Status::Draft),
    ("completed", Status::Draft),
    ("complete", Status::Draft),
    ("done", Status::Draft),
    ("success", Status::Draft),
    ("succeeded", Status::Draft),
    ("ready", Status::Draft),
    ("generated", Status::Draft),
    ("published", Status::Published),
    ("public", Status::Published),
    ("failed", Status::Failed),
    ("failure", Status::Failed),
    ("error", Status::Failed),
    ("timeout", Status::Failed),
    ("timedout", Status::Failed),
];
/// How many different words of a field are remembered, and how long one is.
const WORDS_KEPT: usize = 30;
const WORD: usize = 60;

/// What a mapping was guessed from.
#[derive(Debug)]
pub struct Guess {
    /// The mapping. It may lack what nothing was found for: [`Mapping::check`] says so.
    pub mapping: Mapping,
    /// What to look at before it is accepted.
    pub notes: Vec<String>,
}

/// Reads all documents, and guesses.
///
/// # Errors
///
/// [`SourceError`] if a source can't be read to its end.
pub fn guess(sources: &Sources, progress: &mut dyn FnMut()) -> Result<Guess, SourceError> {
    let mut collections = BTreeMap::<String, Collection>::new();
    sources.read(&mut |item| {
        if let Item::Document(document) = item {
            collections.entry(pattern(document.collection())).or_default().add(&document);
        }
        progress();
        ControlFlow::Continue(())
    })?;
    Ok(from(&collections))
}

/// A collection's path with `{}` for each id in it.
fn pattern(collection: &str) -> String {
    let parts = collection.split('/').enumerate();
    parts.map(|(at, part)| if at.is_multiple_of(2) { part } else { "{}" }).collect::<Vec<_>>().join("/")
}

#[derive(Default)]
struct Collection {
    documents: u64,
    fields: BTreeMap<String, Seen>,
}

/// What values a field has.
#[derive(Default)]
struct Seen {
    names: bool,
    amounts: bool,
    times: bool,
    booleans: bool,
    texts: bool,
    numbers: Option<(f64, f64)>,
    without_offset: bool,
    words: BTreeSet<String>,
    many_words: bool,
}

impl Collection {
    fn add(&mut self, document: &Document) {
        self.documents = self.documents.saturating_add(1);
        for (name, value) in &document.fields {
            self.fields.entry(name.clone()).or_default().add(value);
        }
    }

    /// The field that has one of these names, the likeliest first, and values that fit.
    fn find(&self, names: &[&str], fits: impl Fn(&Seen) -> bool) -> Option<(&String, &Seen)> {
        let named =
            |wanted: &str| self.fields.iter().find(|(name, seen)| simple(name) == wanted && fits(seen));
        names.iter().find_map(|name| named(name))
    }
}

impl Seen {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Map(_) | Value::Other(_) => {}
            Value::Bool(_) => self.booleans = true,
            Value::Integer(integer) => {
                #[expect(clippy::cast_precision_loss, reason = "it tells seconds from milliseconds")]
                self.number(*integer as f64);
                self.names = true;
                self.amounts = true;
            }
            Value::Double(double) => {
                self.number(*double);
                self.amounts = true;
            }
            Value::Timestamp(_) => self.times = true,
            Value::Reference(_) => self.names = true,
            Value::Text(text) => {
                self.names = true;
                self.texts = true;
                let without_offset = time::without_offset(text).is_some();
                self.times |= without_offset || time::instant(text).is_some();
                self.without_offset |= without_offset;
                self.amounts |= !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                if self.words.len() < WORDS_KEPT {
                    self.words.insert(text.chars().take(WORD).collect());
                } else if !self.words.contains(text) {
                    self.many_words = true;
                }
            }
        }
    }

    fn number(&mut self, number: f64) {
        let (least, most) = self.numbers.unwrap_or((number, number));
        self.numbers = Some((least.min(number), most.max(number)));
    }

    /// The unit, if all its numbers are times of one: after September 2001, and before 2286 in seconds.
    fn unit(&self) -> Option<Unit> {
        let (least, most) = self.numbers?;
        if (1e9..1e10).contains(&least) && (1e9..1e10).contains(&most) {
            Some(Unit::Seconds)
        } else if (1e12..1e13).contains(&least) && (1e12..1e13).contains(&most) {
            Some(Unit::Milliseconds)
        } else {
            None
        }
    }

    fn fits(&self, field: Field) -> bool {
        match field {
            Field::Tokens | Field::Balance => self.amounts,
            Field::CreatedAt | Field::StartedAt | Field::HeartbeatAt | Field::FinishedAt => {
                self.times || self.unit().is_some()
            }
            Field::Refunded => self.booleans,
            Field::Id | Field::UserId | Field::Kind | Field::Status => self.names,
            Field::Prompt | Field::Error | Field::ErrorCode | Field::ResultUrl => self.texts,
        }
    }
}

fn simple(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

fn from(collections: &BTreeMap<String, Collection>) -> Guess {
    let mut mapping = Mapping::default();
    let mut notes = Vec::new();
    let found = |collection: &Collection| {
        NAMES
            .iter()
            .filter(|(field, names)| collection.find(names, |seen| seen.fits(*field)).is_some())
            .count()
    };
    let has_status = |collection: &Collection| {
        collection.find(&["status", "state", "creationstatus"], |seen| seen.names).is_some()
    };
    let creations = collections
        .iter()
        .filter(|(_, collection)| has_status(collection))
        .max_by_key(|(_, collection)| (found(collection), collection.documents));
    match creations {
        Some((path, collection)) => creations_of(path, collection, &mut mapping, &mut notes),
        None => notes.push(format!(
            "no collection looks like creations, for none has a `status`: there are {}",
            list(collections)
        )),
    }
    let chosen = creations.map(|(path, _)| path);
    let users = collections
        .iter()
        .filter(|(path, _)| Some(*path) != chosen)
        .filter_map(|(path, collection)| {
            let (field, _) = collection.find(&BALANCES, |seen| seen.fits(Field::Balance))?;
            Some((path, collection, field))
        })
        .max_by_key(|(path, collection, _)| (path.rsplit('/').next() == Some("users"), collection.documents));
    match users {
        Some((path, _, field)) => {
            mapping.users = Some(path.clone());
            mapping.fields.insert(Field::Balance, field.clone());
        }
        None => notes.push(String::from(
            "no collection looks like users with a balance: name it by `users`, or a file by `balances`",
        )),
    }
    Guess { mapping, notes }
}

fn creations_of(path: &str, collection: &Collection, mapping: &mut Mapping, notes: &mut Vec<String>) {
    mapping.collection = Some(path.to_owned());
    let mut units = BTreeMap::new();
    for (field, names) in NAMES {
        let Some((name, seen)) = collection.find(names, |seen| seen.fits(field)) else { continue };
        mapping.fields.insert(field, name.clone());
        let is_time =
            matches!(field, Field::CreatedAt | Field::StartedAt | Field::HeartbeatAt | Field::FinishedAt);
        if is_time && let Some(unit) = seen.unit() {
            units.insert(name.clone(), unit);
        }
        if is_time && seen.without_offset {
            mapping.times_without_offset = Some(Zone::Utc);
            notes.push(format!("`{name}` has times without an offset: they are taken for UTC"));
        }
        if field == Field::Status {
            statuses(name, seen, mapping, notes);
        }
    }
    if let Some(unit) = units.values().next() {
        if units.values().all(|other| other == unit) {
            mapping.times = Some(*unit);
            let names = units.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let word = if *unit == Unit::Seconds { "seconds" } else { "milliseconds" };
            notes.push(format!("the numbers in {names} are taken for {word}"));
        } else {
            notes.push(String::from(
                "some times are in seconds and others in milliseconds: they can't be imported in one run",
            ));
        }
    }
    if !mapping.fields.contains_key(&Field::UserId) {
        let parts: Vec<_> = path.split('/').collect();
        let above = parts.len().checked_sub(2).filter(|at| parts.get(*at) == Some(&"{}"));
        match above {
            Some(at) => {
                let named =
                    parts.iter().enumerate().map(|(each, part)| if each == at { "{user_id}" } else { part });
                mapping.collection = Some(named.collect::<Vec<_>>().join("/"));
                notes.push(String::from("the owner is taken from the path"));
            }
            None => notes
                .push(format!("nothing in `{path}` looks like the owner: name it by `user_id` in `fields`")),
        }
    }
    if mapping.fields.contains_key(&Field::Refunded) {
        notes.push(String::from("what failed and is not `refunded` comes in without a refund"));
    } else {
        notes.push(String::from("what failed is taken to have been refunded in the old system"));
    }
}

fn statuses(name: &str, seen: &Seen, mapping: &mut Mapping, notes: &mut Vec<String>) {
    if seen.many_words {
        notes.push(format!("`{name}` has more than {WORDS_KEPT} words: is it a status?"));
    }
    for word in &seen.words {
        let known = WORDS.iter().find(|(theirs, _)| *theirs == simple(word));
        match known {
            Some((_, status)) if status.as_str() == word => {}
            Some((_, status)) => {
                mapping.statuses.insert(word.clone(), Word(*status));
                notes.push(format!("the {name} `{word}` is taken for {}", status.as_str()));
            }
            None => notes.push(format!("the {name} `{word}` is not known: name ours for it in `statuses`")),
        }
    }
}

fn list(collections: &BTreeMap<String, Collection>) -> String {
    let names: Vec<_> = collections.keys().map(|path| format!("`{path}`")).collect();
    if names.is_empty() { String::from("no documents at all") } else { names.join(", ") }
}
