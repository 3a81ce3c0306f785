use serde_json::{Value, json};

use super::elsewhere;
use crate::api::{Api, segment};
use crate::exit::{Code, Error};
use crate::output::{self, note, say, text};

/// `note`: notes something about a creation; `user` says whose, where several users have one with this id.
pub fn creation(api: &Api, id: &str, user: Option<&str>, words: &str, json: bool) -> Result<Code, Error> {
    let answer = api.act(id, user, "notes", &json!({ "text": words }));
    let answer = answer.map_err(|error| elsewhere(api, error))?;
    Ok(noted(&answer, "creation", id, json))
}

/// `note --sweep`: notes something about a sweep.
pub fn sweep(api: &Api, id: &str, words: &str, json: bool) -> Result<Code, Error> {
    let answer = api.post(&format!("/api/sweeps/{}/notes", segment(id)), &json!({ "text": words }))?;
    Ok(noted(&answer, "sweep", id, json))
}

fn noted(answer: &Value, what: &str, id: &str, json: bool) -> Code {
    if json {
        output::json(answer);
    } else {
        say(text(answer, "id"));
        note(format!("Noted about the {what} `{id}`, by {}.", text(answer, "actor")));
    }
    Code::Done
}
