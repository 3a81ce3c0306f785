use serde_json::Value;

use super::list::sweep;
use crate::api::Api;
use crate::exit::{Code, Failure};
use crate::output::{self, BOLD, Line, limit, list, say, styled, text, time};

/// `explain`: all about one creation.
pub fn run(api: &Api, id: &str, json: bool) -> Result<Code, Failure> {
    let answer = api.get(&format!("/api/creations/{}", encode(id)), &[])?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    let nothing = Value::Null;
    let creation = answer.get("creation").unwrap_or(&nothing);
    let fact = |name: &str, value: &str| say(format!("{}  {value}", styled(BOLD, format!("{name:<12}"))));
    fact("Creation", &text(creation, "id"));
    fact("Owner", &text(&answer, "user_id"));
    fact("Kind", &text(creation, "kind"));
    fact("Prompt", &text(creation, "prompt"));
    fact("Status", &format!("{}, attempt {}", text(creation, "stored_status"), text(creation, "attempt")));
    fact("Verdict", &format!("{}  {}", text(creation, "verdict"), text(creation, "badge")));
    if creation.get("error").is_some_and(Value::is_string) {
        fact("Error", &format!("{} ({})", text(creation, "error"), text(creation, "error_code")));
    }
    if answer.get("rule").is_some_and(Value::is_string) {
        fact(
            "Limit",
            &format!("{}, by `{}` of the policy", limit(creation, "max_age_ms"), text(&answer, "rule")),
        );
        fact("Deadline", &time(creation, "deadline"));
    }
    for (name, key) in [
        ("Created", "created_at"),
        ("Started", "started_at"),
        ("Heartbeat", "heartbeat_at"),
        ("Finished", "finished_at"),
    ] {
        fact(name, &time(creation, key));
    }
    fact(
        "Tokens",
        &format!("{} charged, {} refunded", text(creation, "tokens"), text(creation, "refunded_tokens")),
    );
    say("");
    let entries: Vec<_> = list(&answer, "ledger")
        .iter()
        .map(|entry| Line {
            cells: vec![
                time(entry, "created_at"),
                text(entry, "type"),
                text(entry, "tokens"),
                text(entry, "sweep_id"),
            ],
            notes: Vec::new(),
        })
        .collect();
    output::table(&["ledger (UTC)", "type", "tokens", "sweep"], &[2], &entries);
    if let Some(row) = answer.get("sweep").filter(|sweep| sweep.is_object()) {
        say("");
        sweep(row);
    }
    Ok(Code::Done)
}

/// An id as a part of a path: everything but letters and digits as its bytes.
fn encode(id: &str) -> String {
    id.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}
