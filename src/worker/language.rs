//! The language that a caller is answered in: what `Accept-Language` asks for, of those that the configuration names. The catalogues
//! are JavaScript's (pkg/src/worker/languages.js), which has the plural rules, the numbers and the dates of every language.

use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderValue, VARY};
use axum::response::Response;
use js_sys::{Function, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::Env;

use super::app::Context;
use super::pages::Language;
use crate::config::{Config, ConfigError};
use crate::read::preferred_language;

/// What the environment has the catalogues by: a function for each language.
const TRANSLATIONS: &str = "STALE_DRAFTS_TRANSLATIONS";

/// What needs no catalogue.
const ENGLISH: &str = "en";

/// The function that speaks a language.
fn translation(env: &Env, tag: &str) -> Option<Function> {
    let all = Reflect::get(env, &TRANSLATIONS.into()).ok()?;
    Reflect::get(&all, &tag.into()).ok()?.dyn_into().ok()
}

/// Whether there is a catalogue for each language of the configuration.
///
/// # Errors
///
/// [`ConfigError`] names the first that has none, and those that have one.
pub(super) fn are_there(env: &Env, config: &Config) -> Result<(), ConfigError> {
    let missing = |tag: &&String| *tag != ENGLISH && translation(env, tag).is_none();
    let Some(tag) = config.languages.iter().find(missing) else { return Ok(()) };
    let all = Reflect::get(env, &TRANSLATIONS.into()).ok().and_then(|all| all.dyn_into::<Object>().ok());
    let names = all.map(|all| Object::keys(&all).into_iter().filter_map(|name| name.as_string()).collect());
    let names: Vec<String> = names.unwrap_or_default();
    Err(ConfigError::new(format!(
        "`languages` names `{tag}`: expected `{ENGLISH}`, `{}`, or one whose catalogue `staleDrafts({{ texts }})` is given",
        names.join("`, `")
    )))
}

/// The language of the answer to a caller.
pub(super) fn of(context: &Context, headers: &HeaderMap) -> Language {
    let asked = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
    let asked = asked.collect::<Vec<_>>().join(",");
    let first = || context.config.languages.first().map_or(ENGLISH, String::as_str);
    let tag = preferred_language(&asked, &context.config.languages).unwrap_or_else(first);
    // A catalogue for English is an app's own words.
    translation(&context.env, tag).map_or_else(Language::english, |say| translated(tag, say))
}

fn translated(tag: &str, say: Function) -> Language {
    let property = |name: &str| Reflect::get(&say, &name.into()).ok().and_then(|value| value.as_string());
    let right_to_left = property("dir").as_deref() == Some("rtl");
    let script = property("script").unwrap_or_default();
    Language::translated(
        tag,
        right_to_left,
        script,
        Box::new(move |group, key, parameters| {
            let parameters = parameters.to_string();
            say.call3(&JsValue::NULL, &group.into(), &key.into(), &parameters.into()).ok()?.as_string()
        }),
    )
}

/// Says in an answer which language it is in, and that another caller may get another.
pub(super) fn mark(context: &Context, language: &Language, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(language.tag()) {
        headers.insert(CONTENT_LANGUAGE, tag);
    }
    if context.config.languages.len() > 1 {
        headers.append(VARY, HeaderValue::from_static("Accept-Language"));
    }
    response
}
