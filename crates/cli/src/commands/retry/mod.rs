//! `retry`: has failed creations generated once more, and charges for each again.

mod plan;

use serde_json::{Value, json};

use super::each::each;
use crate::api::Api;
use crate::args::Retry;
use crate::exit::{Code, Error};
use crate::output::{count, number, text};

/// The named ones; or those that a filter finds, as they were previewed.
pub fn run(api: &Api, retry: &Retry, json: bool) -> Result<Code, Error> {
    if retry.ids.is_empty() { plan::run(api, retry, json) } else { named(api, retry, json) }
}

/// One that can't be retried keeps no other from it.
fn named(api: &Api, Retry { ids, filter, .. }: &Retry, json: bool) -> Result<Code, Error> {
    each(
        api,
        ids,
        json,
        |id| retry(api, id, filter.user.as_deref()),
        |id, answer| {
            let charged = count(number(answer, "charged_tokens"), "token");
            format!("`{id}` waits for attempt {}; {charged} charged.", text(answer, "attempt"))
        },
    )
}

/// Retries the attempt that a creation is at: one that has begun meanwhile is another one, and refused.
fn retry(api: &Api, id: &str, user: Option<&str>) -> Result<Value, Error> {
    let found = api.creation(id, user)?;
    let Some(creation) = found.get("creation") else {
        return Err(Error::new(Code::Failed, text(&found, "message")));
    };
    api.act(id, user, "retry", &json!({ "attempt": number(creation, "attempt") }))
}
