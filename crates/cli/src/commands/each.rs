use serde_json::Value;

use crate::exit::{Code, Error};
use crate::output::{self, ERROR, note, say, styled, text};

/// Does the same with each creation. One with which it can't be done keeps no other from it. `said` is what people are told of an answer.
pub fn each(
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
                note(format!("{} `{id}`: {}", styled(ERROR, "error:"), error.message));
                refused = refused.saturating_add(1);
            }
            Err(Error { code, message }) => {
                // An error about one of them names it, wherever it comes from.
                let named = message.contains(&format!("`{id}`")) || !is_about(code);
                return Err(Error::new(code, if named { message } else { format!("`{id}`: {message}") }));
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
