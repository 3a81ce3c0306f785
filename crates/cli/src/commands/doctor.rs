use serde_json::Value;

use super::note_left_out;
use crate::api::Api;
use crate::exit::{Code, Error};
use crate::output::{self, DIM, ERROR, GOOD, WARNING, list, paragraph, say, styled, text};

/// `doctor`: shows likely root causes, or what `/readyz` says if the Worker can't look for them.
pub fn run(api: &Api, json: bool) -> Result<Code, Error> {
    let answer = match api.get("/api/doctor", &[]) {
        Ok(answer) => answer,
        Err(error) if error.code == Code::Failed => return not_ready(api, error, json),
        Err(error) => return Err(error),
    };
    let healthy = answer.get("healthy") == Some(&Value::Bool(true));
    if json {
        output::json(&answer);
    } else {
        show(list(&answer, "findings"));
        note_left_out(&answer);
    }
    Ok(if healthy { Code::Done } else { Code::Unhealthy })
}

fn show(findings: &[Value]) {
    for finding in findings {
        let style = if text(finding, "severity") == "critical" { ERROR } else { WARNING };
        say(format!(
            "{} {} {}",
            styled(style, "●"),
            text(finding, "cause"),
            styled(DIM, format!("({})", text(finding, "code")))
        ));
        paragraph("  ", "  ", &text(finding, "evidence"));
        paragraph("  → ", "    ", &text(finding, "remedy"));
    }
    if findings.is_empty() {
        say(format!(
            "{} healthy: workers start, creations show signs of life, cron sweeps",
            styled(GOOD, "●")
        ));
    }
}

fn not_ready(api: &Api, error: Error, json: bool) -> Result<Code, Error> {
    // An answer without checks is about the request, for example that there were too many.
    let Some(ready) = api.probe("/readyz").filter(|ready| ready.get("checks").is_some()) else {
        return Err(error);
    };
    if json {
        output::json(&ready);
        return Ok(Code::Unhealthy);
    }
    say(format!("{} the Worker is not ready", styled(ERROR, "●")));
    let checks = ready.get("checks").and_then(Value::as_object);
    for (name, check) in checks.into_iter().flatten().filter(|(_, check)| *check != "ok") {
        say(output::one_line(&format!("  {name}: {}", check.as_str().unwrap_or_default())));
    }
    Ok(Code::Unhealthy)
}
