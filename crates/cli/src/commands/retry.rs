use serde_json::{Value, json};

use crate::api::{Api, segment};
use crate::exit::{Code, Error};
use crate::output::{self, ERROR, count, note, number, say, styled, text};

/// `retry`: has failed creations generated once more, and charges for each again. One that can't be retried keeps no other from it.
pub fn run(api: &Api, ids: &[String], json: bool) -> Result<Code, Error> {
    let (mut answers, mut refused) = (Vec::new(), 0_u64);
    for id in ids {
        match retry(api, id) {
            Ok(answer) => {
                if !json {
                    say(text(&answer, "id"));
                }
                let charged = count(number(&answer, "charged_tokens"), "token");
                note(format!("`{id}` waits for attempt {}; {charged} charged.", text(&answer, "attempt")));
                answers.push(answer);
            }
            // Whatever is wrong with the credential or the Worker is wrong for all of them.
            Err(error) if matches!(error.code, Code::Failed | Code::InvalidInput) && ids.len() > 1 => {
                note(format!("{} `{id}`: {}", styled(ERROR, "error:"), error.message));
                refused = refused.saturating_add(1);
            }
            Err(error) => return Err(error),
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

/// Retries the attempt that a creation is at: one that has begun meanwhile is another one, and refused.
fn retry(api: &Api, id: &str) -> Result<Value, Error> {
    let path = format!("/api/creations/{}", segment(id));
    let found = api.get(&path, &[])?;
    let Some(creation) = found.get("creation") else {
        return Err(Error::new(Code::Failed, text(&found, "message")));
    };
    api.post(&format!("{path}/retry"), &json!({ "attempt": number(creation, "attempt") }))
}
