use serde_json::Value;

use super::elsewhere;
use crate::api::Api;
use crate::exit::{Code, Error};
use crate::output::{self, ERROR, note, say, styled, text};

/// Does the same with each creation. One with which it can't be done keeps no other from it. `said` is what people are told of an answer.
pub fn each(
    api: &Api,
    ids: &[String],
    json: bool,
    act: impl Fn(&str) -> Result<Value, Error>,
    said: impl Fn(&str, &Value) -> String,
) -> Result<Code, Error> {
    let (mut answers, mut refused) = (Vec::new(), 0_u64);
    for id in ids {
        match act(id) {
            Ok(answer) => {
                if !json {
                    say(text(&answer, "id"));
                }
                note(said(id, &answer));
                answers.push(answer);
            }
            // Whatever is wrong with the credential or the Worker is wrong for all of them.
            Err(error) if is_about(error.code) && ids.len() > 1 => {
                let named = error.message.starts_with(&format!("`{id}`"));
                let of = if named { String::new() } else { format!("`{id}`: ") };
                note(format!("{} {of}{}", styled(ERROR, "error:"), error.message));
                refused = refused.saturating_add(1);
            }
            Err(error) => {
                // An error about one of them names it, wherever it comes from.
                let named = error.message.contains(&format!("`{id}`")) || !is_about(error.code);
                let message = if named { error.message } else { format!("`{id}`: {}", error.message) };
                return Err(elsewhere(api, Error { message, ..error }));
            }
        }
    }
    let none = answers.is_empty();
    if json {
        output::json(&Value::Array(answers));
    }
    Ok(match (refused, none) {
        (0, _) => Code::Done,
        (_, true) => Code::Failed,
        _ => Code::PartlyDone,
    })
}

/// Whether it may be about the creation.
const fn is_about(code: Code) -> bool {
    matches!(code, Code::Failed | Code::InvalidInput)
}
