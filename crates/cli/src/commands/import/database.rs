use std::io::ErrorKind;
use std::process::Command;

use serde_json::{Map, Value};

/// A D1 database, by wrangler.
pub struct Database {
    command: Vec<String>,
}

impl Database {
    /// The database that wrangler knows by this name.
    pub fn new(wrangler: &str, name: &str, remote: bool) -> Self {
        let mut command: Vec<_> = wrangler.split_whitespace().map(str::to_owned).collect();
        let place = if remote { "--remote" } else { "--local" };
        command.extend(["d1", "execute", name, place, "--json", "--command"].map(str::to_owned));
        Database { command }
    }

    /// Runs one query.
    pub fn query(&self, sql: &str) -> Result<Vec<Map<String, Value>>, String> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(String::from("the command is empty: expected for example `npx wrangler`"));
        };
        let output =
            Command::new(program).args(arguments).arg(sql).output().map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    format!("`{program}` is not there: pass --wrangler with the command that calls wrangler")
                }
                _ => format!("`{program}` can't be run: {error}"),
            })?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            // With --json, wrangler puts errors into stdout.
            let said = serde_json::from_str::<Value>(&text).ok();
            let said = said.as_ref().and_then(|said| said.pointer("/error/text")).and_then(Value::as_str);
            let said = said.unwrap_or(if errors.trim().is_empty() { text.trim() } else { errors.trim() });
            return Err(format!("wrangler has failed: {}", said.chars().take(1_000).collect::<String>()));
        }
        rows(&text).ok_or_else(|| {
            format!("wrangler's answer can't be read: {}", text.chars().take(200).collect::<String>())
        })
    }
}

/// `[{"results": […], "success": true}]`, after whatever the command says first.
fn rows(text: &str) -> Option<Vec<Map<String, Value>>> {
    let begin = text
        .match_indices("[\n")
        .map(|(at, _)| at)
        .chain(text.find('['))
        .find_map(|at| serde_json::from_str::<Value>(text.get(at..)?).ok())?;
    let rows = begin.get(0)?.get("results")?.as_array()?.clone();
    rows.into_iter()
        .map(|row| match row {
            Value::Object(row) => Some(row),
            _ => None,
        })
        .collect()
}
