//! JSON in every form: it is told by its keys, and read as it comes, so that a file may be larger than the memory.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::{Each, SourceError, at, plain, typed};
use crate::document::{Document, Item, Unreadable};

/// What an answer of the REST API has beside its documents.
const BESIDE: [&str; 6] =
    ["nextPageToken", "readTime", "transaction", "skippedResults", "done", "explainMetrics"];

/// Reads a file that begins with `head`.
pub fn read(
    path: &Path,
    head: &[u8],
    rest: &mut dyn Read,
    node_path: Option<&str>,
    each: Each<'_>,
) -> Result<ControlFlow<()>, SourceError> {
    let reader = BufReader::new(Cursor::new(head).chain(rest));
    let mut sink = Sink { each, stopped: false };
    if by_line(head) {
        read_lines(path, reader, &mut sink)
    } else {
        read_values(path, reader, node_path, &mut sink)
    }
}

/// Whether each line is a document. Only then one that can't be read is nothing to the next.
fn by_line(head: &[u8]) -> bool {
    let line = head
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty())
        .unwrap_or_default()
        .trim_ascii();
    // A line that is longer than the head is cut: its first key says what it is.
    let text = String::from_utf8_lossy(line);
    let key = text.strip_prefix('{').map(str::trim_start).unwrap_or_default();
    let of_document = ["\"name\"", "\"document\"", "\"fields\"", "\"createTime\"", "\"readTime\""];
    of_document.iter().any(|name| key.starts_with(name))
}

fn read_lines(
    path: &Path,
    mut reader: impl BufRead,
    sink: &mut Sink<'_>,
) -> Result<ControlFlow<()>, SourceError> {
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        line.clear();
        number = number.saturating_add(1);
        if reader.read_until(b'\n', &mut line).map_err(|error| at(path, error.to_string()))? == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&line);
        let read =
            Top { node_path: None, sink }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
        if sink.stopped {
            return Ok(ControlFlow::Break(()));
        }
        if let Err(error) = read {
            let path = format!("{}:{number}", path.display());
            let unreadable = Unreadable { path, reason: format!("the line is no document: {error}") };
            if (sink.each)(Item::Unreadable(unreadable)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

fn read_values(
    path: &Path,
    reader: impl Read,
    node_path: Option<&str>,
    sink: &mut Sink<'_>,
) -> Result<ControlFlow<()>, SourceError> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    // Pages may follow one another.
    while deserializer.end().is_err() {
        let read = Top { node_path, sink }.deserialize(&mut deserializer);
        if sink.stopped {
            return Ok(ControlFlow::Break(()));
        }
        read.map_err(|error| at(path, error.to_string()))?;
    }
    Ok(ControlFlow::Continue(()))
}

/// Hands documents on, until nobody wants them.
struct Sink<'a> {
    each: Each<'a>,
    stopped: bool,
}

impl Sink<'_> {
    fn give<E: Error>(&mut self, item: Item) -> Result<(), E> {
        self.stopped = (self.each)(item).is_break();
        if self.stopped { Err(E::custom("stopped")) } else { Ok(()) }
    }
}

/// A value at the top, or an element of a list there.
struct Top<'a, 'b> {
    node_path: Option<&'a str>,
    sink: &'a mut Sink<'b>,
}

impl<'de> DeserializeSeed<'de> for Top<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("documents: a page of them, a list, or an export of all collections")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Top { node_path: None, sink: self.sink })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Top { node_path, sink } = self;
        if let Some(path) = node_path {
            return node(path, map, sink);
        }
        let (mut name, mut fields, mut create_time): (Option<String>, Option<Json>, Option<Json>) =
            (None, None, None);
        let mut stray = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => match map.next_value()? {
                    Json::String(text) => name = Some(text),
                    _ => stray = Some(key),
                },
                "fields" => fields = Some(map.next_value()?),
                "createTime" => create_time = Some(map.next_value()?),
                "updateTime" => drop(map.next_value::<IgnoredAny>()?),
                "document" => map.next_value_seed(Top { node_path: None, sink })?,
                "error" => {
                    let error: Json = map.next_value()?;
                    let message = error.get("message").and_then(Json::as_str).unwrap_or("without a message");
                    return Err(A::Error::custom(format!(
                        "it holds an error of Firestore instead of documents: `{message}`"
                    )));
                }
                "__collections__" => map.next_value_seed(Collections { prefix: "", sink })?,
                key if BESIDE.contains(&key) => drop(map.next_value::<IgnoredAny>()?),
                _ => {
                    // What stands beside a document's name, or what is not a collection.
                    if !map.next_value_seed(Collection { path: &key, sink })? {
                        stray = Some(key);
                    }
                }
            }
        }
        if let Some(name) = name {
            sink.give(typed::document(&name, fields.as_ref(), create_time.as_ref()))
        } else if fields.is_some() || create_time.is_some() {
            let reason = String::from("a document without its `name`: its path is not known");
            sink.give(Item::Unreadable(Unreadable { path: String::from("(no name)"), reason }))
        } else if let Some(key) = stray {
            Err(A::Error::custom(format!(
                "`{key}` holds no documents: expected a collection; for a part of a database, pass --node-path"
            )))
        } else {
            Ok(())
        }
    }
}

/// What `node-firestore-import-export` writes of one collection, or of one document.
fn node<'de, A: MapAccess<'de>>(path: &str, map: A, sink: &mut Sink<'_>) -> Result<(), A::Error> {
    if path.split('/').count().is_multiple_of(2) {
        One { path: path.to_owned(), sink }.visit_map(map)
    } else {
        Collection { path, sink }.visit_map(map).map(drop)
    }
}

/// `{"users": {…}, "creations": {…}}`
struct Collections<'a, 'b> {
    prefix: &'a str,
    sink: &'a mut Sink<'b>,
}

impl<'de> DeserializeSeed<'de> for Collections<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Collections<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("collections by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let path = if self.prefix.is_empty() { name } else { format!("{}/{name}", self.prefix) };
            if !map.next_value_seed(Collection { path: &path, sink: self.sink })? {
                return Err(A::Error::custom(format!("`{path}` is not a collection")));
            }
        }
        Ok(())
    }
}

/// `{"ada": {…}, "ben": {…}}`, or a list of a page's documents. Answers whether it is either.
struct Collection<'a, 'b> {
    path: &'a str,
    sink: &'a mut Sink<'b>,
}

impl<'de> DeserializeSeed<'de> for Collection<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Collection<'_, '_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("documents by id")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        if self.path != "documents" {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(false);
        }
        while list.next_element_seed(Top { node_path: None, sink: self.sink })?.is_some() {}
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        while let Some(id) = map.next_key::<String>()? {
            let path = format!("{}/{id}", self.path);
            map.next_value_seed(One { path, sink: self.sink })?;
        }
        Ok(true)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// A document of plain values, with what is below it.
struct One<'a, 'b> {
    path: String,
    sink: &'a mut Sink<'b>,
}

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the document `{}` as an object; for an export of one collection or document, pass --node-path",
            self.path
        )
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut fields = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "__collections__" => {
                    map.next_value_seed(Collections { prefix: &self.path, sink: self.sink })?
                }
                "subCollection" => {
                    if let Some(field) = map.next_value_seed(Below { sink: self.sink })? {
                        fields.insert(name, plain::value(&field));
                    }
                }
                _ => {
                    fields.insert(name, plain::value(&map.next_value()?));
                }
            }
        }
        self.sink.give(Item::Document(Document { path: self.path, fields, create_time: None }))
    }
}

/// `firestore-export-import` has subcollections by their whole path. A field may have the same name: it is given back.
struct Below<'a, 'b> {
    sink: &'a mut Sink<'b>,
}

impl<'de> DeserializeSeed<'de> for Below<'_, '_> {
    type Value = Option<Json>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Json>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Below<'_, '_> {
    type Value = Option<Json>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("subcollections by path")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Option<Json>, A::Error> {
        let mut field = serde_json::Map::new();
        while let Some(path) = map.next_key::<String>()? {
            if path.contains('/') {
                if !map.next_value_seed(Collection { path: &path, sink: self.sink })? {
                    return Err(A::Error::custom(format!("`{path}` is not a collection")));
                }
            } else {
                field.insert(path, map.next_value()?);
            }
        }
        Ok((!field.is_empty()).then_some(Json::Object(field)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<Json>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(Json::Array(Vec::new())))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Option<Json>, E> {
        Ok(Some(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Option<Json>, E> {
        Ok(None)
    }
}
