use serde_json::Value;

use super::completeness;
use crate::api::Api;
use crate::exit::{Code, Error};
use crate::format::sum;
use crate::output::{self, Line, limit, list, note, text};

/// `count`: counts active creations by status, kind and age.
pub fn run(api: &Api, bands: Option<&str>, json: bool) -> Result<Code, Error> {
    let query: Vec<_> = bands.map(|bands| ("bands", bands)).into_iter().collect();
    let answer = api.get("/api/counts", &query)?;
    if json {
        output::json(&answer);
        return Ok(completeness(api, &answer));
    }
    let counts = list(&answer, "counts");
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
    note(format!(
        "{} active, worth {}.",
        output::count(sum(counts, "creations"), "creation"),
        output::count(sum(counts, "tokens"), "token")
    ));
    Ok(completeness(api, &answer))
}

/// The ages that a row counts: `0s to 30m`, `over 24h`.
fn band(row: &Value) -> String {
    let bound = |key: &str| row.get(key).and_then(Value::as_u64);
    match (bound("above_ms"), bound("up_to_ms")) {
        (None, _) => String::from("unknown"),
        (Some(0), Some(_)) => format!("0s to {}", limit(row, "up_to_ms")),
        (Some(_), Some(_)) => format!("{} to {}", limit(row, "above_ms"), limit(row, "up_to_ms")),
        (Some(_), None) => format!("over {}", limit(row, "above_ms")),
    }
}
