use serde_json::Value;

use crate::api::Api;
use crate::exit::{Code, Failure};
use crate::output::{self, DIM, ERROR, GOOD, WARNING, list, paragraph, say, styled, text};

/// `doctor`: likely root causes. If the Worker can't even answer that, what it says of itself.
pub fn run(api: &Api, json: bool) -> Result<Code, Failure> {
    let answer = match api.get("/api/doctor", &[]) {
        Ok(answer) => answer,
        Err(failure) if failure.code == Code::Failed => return not_ready(api, failure, json),
        Err(failure) => return Err(failure),
    };
    let healthy = answer.get("healthy") == Some(&Value::Bool(true));
    if json {
        output::json(&answer);
    } else {
        show(list(&answer, "findings"));
    }
    Ok(if healthy { Code::Done } else { Code::NotHealthy })
}

fn show(findings: &[Value]) {
    for finding in findings {
        let style = if text(finding, "severity") == "critical" { ERROR } else { WARNING };
        say(format!(
            "{} {} {}",
            styled(style, "●"),
            text(finding, "cause"),
            styled(DIM, text(finding, "code"))
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

fn not_ready(api: &Api, failure: Failure, json: bool) -> Result<Code, Failure> {
    // An answer without them says nothing of the Worker, such as that one asks too often.
    let Some(ready) = api.probe("/readyz").filter(|ready| ready.get("checks").is_some()) else {
        return Err(failure);
    };
    if json {
        output::json(&ready);
        return Ok(Code::NotHealthy);
    }
    say(format!("{} the Worker can't do its work", styled(ERROR, "●")));
    let checks = ready.get("checks").and_then(Value::as_object);
    for (name, check) in checks.into_iter().flatten().filter(|(_, check)| *check != "ok") {
        say(output::one_line(&format!("  {name}: {}", check.as_str().unwrap_or_default())));
    }
    Ok(Code::NotHealthy)
}
