use serde_json::json;

use super::each::each;
use crate::api::Api;
use crate::exit::{Code, Error};
use crate::output::{count, number};

/// `cancel`: ends creations that nobody wants any more. One that can't be cancelled keeps no other from it.
pub fn run(api: &Api, ids: &[String], user: Option<&str>, json: bool) -> Result<Code, Error> {
    let cancel = |id: &str| api.act(id, user, "cancel", &json!({}));
    each(api, ids, json, cancel, |id, answer| {
        match (number(answer, "refunded_tokens"), number(answer, "tokens_used")) {
            (0, 1..) => format!("`{id}` is cancelled; nothing goes back: the policy keeps it."),
            (refunded, _) => format!("`{id}` is cancelled; {} refunded.", count(refunded, "token")),
        }
    })
}
