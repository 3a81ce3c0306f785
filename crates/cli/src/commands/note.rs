use serde_json::json;

use crate::api::{Api, segment};
use crate::exit::{Code, Error};
use crate::output::{self, note, say, text};

/// `note`: notes something about a creation, or about a sweep.
pub fn run(api: &Api, id: &str, words: &str, sweep: bool, json: bool) -> Result<Code, Error> {
    let (list, what) = if sweep { ("sweeps", "sweep") } else { ("creations", "creation") };
    let answer = api.post(&format!("/api/{list}/{}/notes", segment(id)), &json!({ "text": words }))?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    say(text(&answer, "id"));
    note(format!("Noted about the {what} `{id}`, by {}.", text(&answer, "actor")));
    Ok(Code::Done)
}
