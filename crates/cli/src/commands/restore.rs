use serde_json::json;

use crate::api::Api;
use crate::exit::{Code, Error};
use crate::output::{self, count, note, number, say, text};

/// `restore`: makes a draft of a failed creation whose result arrived after the refund, and charges for it again.
pub fn run(api: &Api, id: &str, user: Option<&str>, json: bool) -> Result<Code, Error> {
    let answer = api.act(id, user, "restore", &json!({}))?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    say(text(&answer, "result_url"));
    let charged = count(number(&answer, "charged_tokens"), "token");
    note(format!("`{}` is a draft again; {charged} charged.", text(&answer, "id")));
    Ok(Code::Done)
}
