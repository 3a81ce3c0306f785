use serde_json::{Value, json};

use super::each::each;
use crate::api::Api;
use crate::exit::{Code, Error};
use crate::output::{count, number, text};

/// `fail`: fails what is active, in words for its owner, and refunds it whole. One that can't be failed keeps no other from it.
pub fn run(api: &Api, ids: &[String], user: Option<&str>, error: &str, json: bool) -> Result<Code, Error> {
    each(
        api,
        ids,
        json,
        |id| fail(api, id, user, error),
        |id, answer| {
            let refunded = count(number(answer, "refunded_tokens"), "token");
            format!("`{id}` has failed; {refunded} refunded.")
        },
    )
}

/// Fails the attempt that a creation is at: one that has begun meanwhile is another one, and refused.
fn fail(api: &Api, id: &str, user: Option<&str>, error: &str) -> Result<Value, Error> {
    let found = api.creation(id, user)?;
    let Some(creation) = found.get("creation") else {
        return Err(Error::new(Code::Failed, text(&found, "message")));
    };
    let attempt = number(creation, "attempt");
    api.act(id, user, "fail-now", &json!({ "attempt": attempt, "error": error }))
}
