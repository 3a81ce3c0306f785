//! The language of a page.

use serde_json::{Map, Value, json};

use super::layout::{count, date, minute};
use crate::rules::Ago;
use crate::texts::{self, Text};
use crate::worker::draft::DraftView;
use crate::worker::error_params::written;
use crate::worker::ledger::EntryView;

/// Gives a text of a catalogue, by its group and key, with its parameters; `None` where it is missing.
type Say = Box<dyn Fn(&str, &str, &Value) -> Option<String>>;

/// What stands for a name in braces.
#[derive(Clone, Copy, Debug)]
pub enum Parameter {
    /// A number.
    Number(u64),
    /// A number that may be below zero.
    Signed(i64),
    /// A day, as epoch milliseconds.
    Day(u64),
    /// An instant to the minute, as epoch milliseconds.
    Instant(u64),
}

impl Parameter {
    /// As a catalogue takes it.
    fn value(self) -> Value {
        match self {
            Parameter::Number(value) | Parameter::Day(value) | Parameter::Instant(value) => value.into(),
            Parameter::Signed(value) => value.into(),
        }
    }

    /// As it is written in English.
    fn english(self) -> String {
        match self {
            Parameter::Number(number) => count(number),
            Parameter::Signed(number) => {
                let sign = if number < 0 { "-" } else { "" };
                format!("{sign}{}", count(number.unsigned_abs()))
            }
            Parameter::Day(millis) => date(millis),
            Parameter::Instant(millis) => format!("{} UTC", minute(millis)),
        }
    }
}

/// English, or a translation of it.
pub struct Language {
    tag: String,
    translation: Option<Translation>,
}

struct Translation {
    right_to_left: bool,
    script: String,
    say: Say,
}

impl Language {
    /// English, as the rules and [`super::texts`] have it.
    pub fn english() -> Self {
        Language { tag: String::from("en"), translation: None }
    }

    /// A translation. `script` is what the page's own script says it by, as JSON.
    pub fn translated(tag: &str, right_to_left: bool, script: String, say: Say) -> Self {
        let translation = Translation { right_to_left, script, say };
        Language { tag: tag.to_owned(), translation: Some(translation) }
    }

    /// Its tag, such as `de`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The direction of its text, where it is not that of English.
    pub fn dir(&self) -> Option<&'static str> {
        self.translation.as_ref().filter(|translation| translation.right_to_left).map(|_| "rtl")
    }

    /// What the page's script says it by, as JSON; `None` for English.
    pub fn script(&self) -> Option<&str> {
        self.translation.as_ref().map(|translation| translation.script.as_str())
    }

    fn translate(&self, group: &str, key: &str, parameters: &Value) -> Option<String> {
        self.translation.as_ref().and_then(|translation| (translation.say)(group, key, parameters))
    }

    /// A text of a page.
    pub fn say(&self, text: &Text) -> String {
        self.say_with(text, &[])
    }

    /// A text of a page with a number.
    pub fn count(&self, text: &Text, count: u64) -> String {
        self.say_with(text, &[("count", Parameter::Number(count))])
    }

    /// A text of a page with parameters.
    pub fn say_with(&self, text: &Text, parameters: &[(&str, Parameter)]) -> String {
        let values: Map<_, _> =
            parameters.iter().map(|(name, parameter)| ((*name).to_owned(), parameter.value())).collect();
        let said = self.translate("page", text.key, &Value::Object(values));
        said.unwrap_or_else(|| english(text, parameters))
    }

    /// The words of a draft's badge, without its sign.
    pub fn badge(&self, draft: &DraftView) -> String {
        let english = || draft.badge.split_once(' ').map_or(draft.badge, |(_, words)| words).to_owned();
        self.translate("badges", draft.badge_code, &json!({})).unwrap_or_else(english)
    }

    /// Why a draft failed, or why its age can't be known.
    pub fn error(&self, draft: &DraftView) -> Option<String> {
        let english = draft.error.clone()?;
        let group = if draft.verdict == "unreadable" { "reasons" } else { "errors" };
        let code = draft.error_code.as_deref().unwrap_or_default();
        let parameters = serde_json::to_value(&draft.error_params).ok().filter(Value::is_object);
        let said = self.translate(group, code, &parameters.unwrap_or_else(|| json!({})));
        Some(said.unwrap_or(english))
    }

    /// Why an entry of the ledger is there.
    pub fn movement(&self, entry: &EntryView) -> String {
        let parameters = Value::Object(entry.message_params.clone());
        let said = self.translate("movements", entry.message_code, &parameters);
        said.unwrap_or_else(|| entry.message.clone())
    }

    /// Why something can't be done, by the code of the answer.
    pub fn problem(&self, code: &str) -> String {
        let text = texts::problem(code);
        let said = self.translate("problems", text.key, &json!({}));
        said.unwrap_or_else(|| text.other.to_owned())
    }

    /// How long ago something was.
    pub fn ago(&self, ago: Ago) -> String {
        let (count, unit) = written(ago.parts());
        self.translate("ago", unit, &json!({ "count": count })).unwrap_or_else(|| ago.to_string())
    }
}

fn english(text: &Text, parameters: &[(&str, Parameter)]) -> String {
    let single = parameters.iter().any(|of| matches!(of, ("count", Parameter::Number(1))));
    let values: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.english())).collect();
    text.fill(single, &values)
}
