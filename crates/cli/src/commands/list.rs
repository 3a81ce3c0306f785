use serde_json::Value;

use crate::api::Api;
use crate::exit::{Code, Failure};
use crate::output::{self, Line, age, limit, list, minute, number, text};
use crate::plain::sum;

/// `count`: active creations by status, kind and age.
pub fn count(api: &Api, bands: Option<&str>, json: bool) -> Result<Code, Failure> {
    let query: Vec<_> = bands.map(|bands| ("bands", bands)).into_iter().collect();
    let answer = api.get("/api/counts", &query)?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    let counts = list(&answer, "counts");
    let band = |row: &Value| match (
        row.get("above_ms").and_then(Value::as_u64),
        row.get("up_to_ms").and_then(Value::as_u64),
    ) {
        (None, _) => String::from("can't be known"),
        (Some(_), Some(_)) => {
            format!("{} to {}", limit(row, "above_ms").replace("never", "0s"), limit(row, "up_to_ms"))
        }
        (Some(_), None) => format!("over {}", limit(row, "above_ms")),
    };
    let lines: Vec<_> = counts
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "status"),
                text(row, "kind"),
                band(row),
                limit(row, "max_age_ms"),
                text(row, "creations"),
                text(row, "tokens"),
            ],
            notes: Vec::new(),
        })
        .collect();
    output::table(&["status", "kind", "age", "limit", "creations", "tokens"], &[4, 5], &lines);
    anstream::eprintln!(
        "{} active, worth {}.",
        output::count(sum(counts, "creations"), "creation"),
        output::count(sum(counts, "tokens"), "token")
    );
    Ok(Code::Done)
}

/// `list`: a user's creations.
pub fn creations(
    api: &Api,
    user: &str,
    status: Option<&str>,
    rows: u32,
    cursor: Option<&str>,
    json: bool,
) -> Result<Code, Failure> {
    let rows = rows.to_string();
    let mut query = vec![("user_id", user), ("limit", rows.as_str())];
    query.extend(status.map(|status| ("status", status)));
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = api.get("/api/creations", &query)?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    let creations = list(&answer, "creations");
    let lines: Vec<_> = creations
        .iter()
        .map(|row| Line {
            cells: vec![
                text(row, "id"),
                text(row, "kind"),
                text(row, "stored_status"),
                text(row, "verdict"),
                minute(row, "created_at"),
                text(row, "tokens"),
                text(row, "refunded_tokens"),
            ],
            notes: vec![row.get("error").and_then(Value::as_str).unwrap_or_default().to_owned()],
        })
        .collect();
    output::table(
        &["id", "kind", "status", "verdict", "created (UTC)", "tokens", "refunded"],
        &[5, 6],
        &lines,
    );
    anstream::eprintln!(
        "{} of `{user}`, whose balance is {}.",
        output::count(creations.len() as u64, "creation"),
        output::count(number(&answer, "balance"), "token")
    );
    more(&answer);
    Ok(Code::Done)
}

/// `sweeps`: what ran.
pub fn sweeps(api: &Api, rows: u32, cursor: Option<&str>, json: bool) -> Result<Code, Failure> {
    let rows = rows.to_string();
    let mut query = vec![("limit", rows.as_str())];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    let answer = api.get("/api/sweeps", &query)?;
    if json {
        output::json(&answer);
        return Ok(Code::Done);
    }
    sweep_table(list(&answer, "sweeps"));
    more(&answer);
    Ok(Code::Done)
}

const SWEEP_HEADS: [&str; 9] =
    ["started (UTC)", "by", "seen", "marked", "retry", "raced", "skip", "tokens", "took"];
const SWEEP_NUMBERS: [usize; 7] = [2, 3, 4, 5, 6, 7, 8];

fn sweep_line(row: &Value) -> Line {
    let source = text(row, "source");
    let by = match row.get("actor").and_then(Value::as_str) {
        Some(actor) => format!("{source} {}", output::one_line(actor)),
        None => source,
    };
    let plan = row
        .get("plan_id")
        .and_then(Value::as_str)
        .map_or(String::new(), |plan| format!("carried out plan {plan}"));
    let error = match (row.get("error").and_then(Value::as_str), row.get("finished_at")) {
        (Some(error), _) => format!("stopped early: {error}"),
        (None, None | Some(Value::Null)) => String::from("still running, or cut off"),
        _ => String::new(),
    };
    let more = if row.get("more") == Some(&Value::Bool(true)) { "stale creations remained" } else { "" };
    let took = row
        .get("duration_ms")
        .and_then(Value::as_u64)
        .map_or(String::from("-"), |millis| format!("{millis} ms"));
    Line {
        cells: vec![
            minute(row, "started_at"),
            by,
            text(row, "examined"),
            text(row, "marked"),
            text(row, "retried"),
            text(row, "raced"),
            text(row, "skipped"),
            text(row, "refunded_tokens"),
            took,
        ],
        notes: vec![plan, error, more.to_owned()],
    }
}

/// Says how to get the next page, if there is one.
pub fn more(answer: &Value) {
    if let Some(cursor) = answer.get("next_cursor").and_then(Value::as_str) {
        anstream::eprintln!("There are more: --cursor {}", output::one_line(cursor));
    }
}

/// Some sweeps, as in the list.
pub fn sweep_table(rows: &[Value]) {
    output::table(&SWEEP_HEADS, &SWEEP_NUMBERS, &rows.iter().map(sweep_line).collect::<Vec<_>>());
}

/// The age that a creation has reached, beside its limit.
pub fn age_and_limit(row: &Value) -> [String; 2] {
    [age(row, "age_ms"), limit(row, "max_age_ms")]
}
