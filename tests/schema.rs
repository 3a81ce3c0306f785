//! The schema of the configuration in `www/openapi.json`, from which the npm package's types are made: it has the keys that the
//! parser knows, and no other, and the bounds of its numbers.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use stale_drafts::config::Config;

/// No key of any table, nor near to one.
const UNKNOWN: &str = "zzzzzzzzzzzzzzzzzzzzzzzz";

/// A key on the way to a table: the name of one, a kind's, or the first of a list.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    First,
}

struct Schemas(Map<String, Value>);

impl Schemas {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/www/openapi.json");
        let document: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        Schemas(document["components"]["schemas"].as_object().unwrap().clone())
    }

    /// What a schema says, without its references; of several, the table.
    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        if let Some(name) = schema["$ref"].as_str() {
            return self.resolved(&self.0[name.rsplit('/').next().unwrap()]);
        }
        let tables = schema["oneOf"].as_array().into_iter().flatten().map(|one| self.resolved(one));
        tables.clone().find(|one| one["properties"].is_object()).unwrap_or(schema)
    }

    /// Every table of the configuration, with the way to it.
    fn tables<'a>(&'a self, schema: &'a Value, way: &[Step], into: &mut Vec<(Vec<Step>, &'a Value)>) {
        let schema = self.resolved(schema);
        let then = |step: Step| [way, &[step]].concat();
        if schema["properties"].is_object() {
            into.push((way.to_vec(), schema));
            for (key, inner) in schema["properties"].as_object().unwrap() {
                self.tables(inner, &then(Step::Key(key.clone())), into);
            }
        }
        if schema["items"].is_object() {
            self.tables(&schema["items"], &then(Step::First), into);
        }
        if schema["additionalProperties"].is_object() {
            self.tables(&schema["additionalProperties"], &then(Step::Key(String::from("video"))), into);
        }
    }
}

fn all(schemas: &Schemas) -> Vec<(Vec<Step>, &Value)> {
    let mut tables = Vec::new();
    schemas.tables(&schemas.0["Config"], &[], &mut tables);
    tables
}

/// A configuration that has `value` at the end of a way.
fn at(way: &[Step], value: Value) -> Value {
    way.iter().rev().fold(value, |value, step| match step {
        Step::Key(key) => json!({ key.as_str(): value }),
        Step::First => json!([value]),
    })
}

fn error(config: &Value) -> String {
    Config::from_json(config).expect_err("it is not valid").to_string()
}

/// What is in backticks, by its last part; `kinds.<kind>` by the one before.
fn quoted(text: &str) -> BTreeSet<String> {
    let last = |key: &str| key.trim_end_matches(".<kind>").rsplit('.').next().unwrap().to_owned();
    text.split('`').skip(1).step_by(2).map(last).collect()
}

#[test]
fn every_key_of_the_schema_is_one_of_the_configuration_and_the_other_way_round() {
    let schemas = Schemas::read();
    let tables = all(&schemas);
    assert!(tables.len() >= 9, "{}", tables.len());
    for (way, schema) in tables {
        let said = error(&at(&way, json!({ UNKNOWN: 1 })));
        let (_, expected) = said.split_once("expected ").unwrap_or_else(|| panic!("{way:?}: {said}"));
        let keys: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(quoted(expected), keys, "{way:?}: {said}");
        assert_eq!(schema["additionalProperties"], json!(false), "{way:?}");
    }
}

#[test]
fn a_key_that_the_schema_requires_is_missed() {
    let schemas = Schemas::read();
    for (way, schema) in all(&schemas) {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let said = Config::from_json(&at(&way, json!({}))).map_err(|error| error.to_string());
        match required.first() {
            None => assert!(said.is_ok(), "{way:?}: {said:?}"),
            Some(key) => assert!(said.unwrap_err().contains(key.as_str().unwrap()), "{way:?}"),
        }
    }
}

#[test]
fn a_number_has_the_bounds_that_the_schema_gives() {
    let schemas = Schemas::read();
    let mut seen = 0;
    for (way, schema) in all(&schemas) {
        for (key, inner) in schema["properties"].as_object().unwrap() {
            let (Some(least), Some(most)) = (inner["minimum"].as_i64(), inner["maximum"].as_i64()) else {
                continue;
            };
            seen += 1;
            let with = |value: i64| at(&way, json!({ key.as_str(): value }));
            for value in [least, most] {
                assert!(Config::from_json(&with(value)).is_ok(), "{way:?} {key} {value}");
            }
            for value in [least - 1, most + 1] {
                error(&with(value));
            }
        }
    }
    assert_eq!(seen, 23);
}

#[test]
fn a_word_is_one_of_those_that_the_schema_gives() {
    let schemas = Schemas::read();
    for (way, schema) in all(&schemas) {
        for (key, inner) in schema["properties"].as_object().unwrap() {
            let words = schemas.resolved(inner);
            let words = if words["items"].is_object() { schemas.resolved(&words["items"]) } else { words };
            let Some(words) = words["enum"].as_array() else { continue };
            let list = inner["items"].is_object();
            let said = |word: &str| {
                error(&at(
                    &way,
                    json!({ key.as_str(): if list { json!([word]) } else { json!(word) }, UNKNOWN: 1 }),
                ))
            };
            // Of a word that it knows it says nothing: it is the other key that is wrong.
            for word in words {
                let said = said(word.as_str().unwrap());
                assert!(said.contains(UNKNOWN), "{way:?} {key} {word}: {said}");
            }
            let expected = said(UNKNOWN);
            let (_, expected) = expected.split_once("expected ").unwrap_or_else(|| panic!("{expected}"));
            let known: BTreeSet<_> = words.iter().map(|word| word.to_string()).collect();
            assert!(known.is_subset(&quoted(expected)), "{way:?} {key}: {expected}");
        }
    }
}
