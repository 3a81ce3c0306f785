use serde_json::json;

use crate::api::{Api, part};
use crate::exit::{Code, Failure};
use crate::output::{self, count, number, say, text};

/// `restore`: makes a draft of a failed creation whose result came after the refund, and charges for it again.
pub fn run(api: &Api, id: &str, json: bool) -> Result<Code, Failure> {
    let answer = api.post(&format!("/api/creations/{}/restore", part(id)), &json!({}))?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    say(text(&answer, "result_url"));
    anstream::eprintln!(
        "`{}` is a draft now, and {} charged again.",
        text(&answer, "id"),
        count(number(&answer, "charged_tokens"), "token")
    );
    Ok(Code::Done)
}
