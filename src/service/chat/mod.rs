//! Alerts as messages that people read in a chat: see [`slack`] and [`discord`].
//!
//! What an alert says holds text of others: an error of the database, a code that a worker reported. It can't mention anybody, be a
//! link, or be longer than the chat takes.

mod discord;
mod slack;
mod text;

use serde::Deserialize;

pub use discord::message as discord;
pub use slack::message as slack;
pub use text::capitalized;

use super::explorer::failures_address;
use crate::rules::Age;

/// The alert of an event, as [`crate::store::record_alerts`] writes it.
#[derive(Deserialize)]
struct Alert {
    #[serde(rename = "type")]
    event: String,
    created_at: u64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    code: String,
    severity: String,
    /// Of alerts about failures, the code that most have.
    error_code: Option<String>,
    cause: String,
    #[serde(default)]
    evidence: String,
    #[serde(default)]
    remedy: String,
    /// When it fired, once it is resolved.
    since: Option<u64>,
}

/// What a message begins with.
#[derive(Clone, Copy)]
enum State {
    Critical,
    Warning,
    Resolved,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            State::Critical => "Critical",
            State::Warning => "Warning",
            State::Resolved => "Resolved",
        }
    }
}

impl Alert {
    /// `None` if the event is about no alert.
    fn of(body: &str) -> Option<Self> {
        let alert: Alert = serde_json::from_str(body).ok()?;
        alert.event.starts_with("alert.").then_some(alert)
    }

    fn state(&self) -> State {
        match (self.event.as_str(), self.data.severity.as_str()) {
            ("alert.resolved", _) => State::Resolved,
            (_, "critical") => State::Critical,
            _ => State::Warning,
        }
    }

    /// What to do about it, while there is something to do.
    fn remedy(&self) -> Option<&str> {
        let resolved = matches!(self.state(), State::Resolved);
        Some(self.data.remedy.as_str()).filter(|remedy| !resolved && !remedy.is_empty())
    }

    /// How long it lasted.
    fn lasted(&self) -> Option<String> {
        let since = self.data.since?;
        Some(Age(self.created_at.saturating_sub(since)).to_string())
    }

    /// The view that shows it, at the Worker's public address.
    fn link(&self, public_url: &str) -> String {
        let place = match (self.state(), &self.data.error_code) {
            (State::Resolved, _) => String::from("/dashboard#alerts"),
            (_, Some(error_code)) => failures_address(error_code, self.created_at),
            (_, None) => format!("/dashboard#{}", section(&self.data.code)),
        };
        format!("{}{place}", public_url.trim_end_matches('/'))
    }
}

/// The section of the dashboard that shows more of an alert.
fn section(code: &str) -> &'static str {
    match code {
        "cron_not_running" | "sweep_failing" => "sweeps",
        "creations_overdue" => "silent",
        "creations_rejected" => "set-aside",
        "many_stale" => "stale",
        "many_failed" | "one_error_dominates" => "generation",
        "circuit_breaker_open" | "sweeping_paused" => "actions",
        _ => "health",
    }
}
