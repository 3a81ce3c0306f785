//! A plan: what a dry run answered.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::api::Api;
use crate::args::Sweep;
use crate::exit::Error;
use crate::format::{is_retry, sum};

/// Asks the Worker for a dry run, and keeps no more than `limit` creations of it. The Worker answers with at most 1,000, and says
/// whether there are more. The plan also holds the limit by age that it was made with.
pub fn fetch(api: &Api, sweep: &Sweep, limit: Option<u32>) -> Result<Value, Error> {
    let mut query = vec![("dry_run", "true"), ("source", "tool")];
    if !sweep.policy {
        query.push(("max_age_hours", &sweep.max_age_hours));
    }
    let filters = [("user_id", &sweep.user), ("kind", &sweep.kind), ("status", &sweep.status)];
    query.extend(filters.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))));
    let mut plan = api.sweep(&query, "")?;
    if let Some(fields) = plan.as_object_mut() {
        let hours = if sweep.policy { Value::Null } else { Value::from(sweep.max_age_hours.as_str()) };
        fields.insert(String::from("max_age_hours"), hours);
        if let Some(limit) = limit {
            cut(fields, limit as usize);
        }
    }
    Ok(plan)
}

/// Keeps the first `limit` creations. That is another plan, so it gets another id.
fn cut(plan: &mut Map<String, Value>, limit: usize) {
    let Some(Value::Array(creations)) = plan.get_mut("creations") else { return };
    if creations.len() <= limit {
        return;
    }
    creations.truncate(limit);
    let (retried, failed): (Vec<_>, Vec<_>) = creations.iter().partition(|row| is_retry(row));
    let changed = [
        ("plan_id", Value::from(plan_id(creations))),
        ("marked_as_failed", failed.len().into()),
        ("retried", retried.len().into()),
        ("refunded_tokens", sum(failed, "tokens").into()),
        ("more", true.into()),
    ];
    plan.extend(changed.map(|(key, value)| (key.to_owned(), value)));
}

/// A hash of what was decided, the same that the Worker makes: 12 hexadecimal digits.
fn plan_id(creations: &[Value]) -> String {
    let mut hash = Sha256::new();
    for row in creations {
        let decided =
            ["id", "attempt", "stuck_status", "last_sign_of_life", "action"].map(|key| row.get(key));
        hash.update(json!(decided).to_string());
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::cut;

    #[test]
    fn a_cut_plan_counts_what_it_still_holds() {
        let row = |id: &str, action: &str| json!({ "id": id, "attempt": 1, "tokens": 10, "action": action });
        let mut plan = json!({
            "plan_id": "whole", "more": false, "marked_as_failed": 2, "retried": 1, "refunded_tokens": 20,
            "creations": [row("a", "fail"), row("b", "retry"), row("c", "fail")],
        });
        let whole = plan.clone();
        let Value::Object(fields) = &mut plan else { unreachable!("it is an object") };
        cut(fields, 3);
        assert_eq!(json!(fields), whole);
        cut(fields, 2);
        assert_eq!(fields.get("creations"), Some(&json!([row("a", "fail"), row("b", "retry")])));
        assert_ne!(fields.get("plan_id"), whole.get("plan_id"));
        let counts = ["marked_as_failed", "retried", "refunded_tokens", "more"].map(|key| fields.get(key));
        assert_eq!(json!(counts), json!([1, 1, 10, true]));
    }
}
