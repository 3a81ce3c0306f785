use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::text::{capitalized, fit};
use super::{Alert, State};

/// What an embed takes, in characters: <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>. A description
/// may have 4,096, and all of it 6,000: with 2,000, no message reaches that.
const TITLE: usize = 256;
const DESCRIPTION: usize = 2_000;
const FIELD: usize = 1_024;

/// What formats a text, or is the beginning of a mention, wherever it stands: <https://discord.com/developers/docs/reference#message-formatting>.
const MARKUP: &str = "\\*_~|[]()<>#:`";

/// An alert's event as a webhook of Discord takes it, as an embed; `None` if it is about no alert. With the Worker's public address its
/// title is a link to the view that shows the alert.
///
/// ```
/// use stale_drafts::service::chat::discord;
///
/// let event = r#"{"id": "alert.fired:dead_letters:1700000000000", "type": "alert.fired", "created_at": 1700000000000,
///     "data": {"code": "dead_letters", "severity": "warning", "cause": "an event could not be delivered",
///              "evidence": "**1** event", "remedy": "act on its error"}}"#;
/// let message = discord(event, Some("https://drafts.example")).unwrap();
/// assert!(message.contains(r#""value":"\\*\\*1\\*\\* event""#));
/// assert!(message.contains(r#""url":"https://drafts.example/dashboard#health""#));
/// assert!(message.contains(r#""allowed_mentions":{"parse":[]}"#));
/// ```
pub fn message(body: &str, public_url: Option<&str>) -> Option<String> {
    let alert = Alert::of(body)?;
    let data = &alert.data;
    let state = alert.state();
    let mut fields = Vec::new();
    if !data.evidence.is_empty() {
        fields.push(field("Evidence", &data.evidence));
    }
    fields.extend(alert.remedy().map(|remedy| field("Remedy", remedy)));
    fields.extend(alert.lasted().map(|lasted| field("Lasted", &lasted)));
    let at =
        i64::try_from(alert.created_at).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    let mut embed = json!({
        // The codes are ours, and a title shows no markup.
        "title": fit(&format!("{}: {}", state.word(), data.code), TITLE, str::to_owned),
        "description": fit(&capitalized(&data.cause), DESCRIPTION, escape),
        "color": match state {
            State::Critical => 0x00d9_2d20,
            State::Warning => 0x00e8_a100,
            State::Resolved => 0x002e_7d32,
        },
        "fields": fields,
        "timestamp": at.to_rfc3339_opts(SecondsFormat::Millis, true),
        "footer": { "text": "Stale Drafts" },
    });
    if let (Value::Object(embed), Some(url)) = (&mut embed, public_url) {
        embed.insert(String::from("url"), alert.link(url).into());
    }
    Some(json!({ "allowed_mentions": { "parse": [] }, "embeds": [embed] }).to_string())
}

fn field(name: &str, text: &str) -> Value {
    json!({ "name": name, "value": fit(&capitalized(text), FIELD, escape) })
}

/// What is quoted in backticks stays so, for nothing within them is markup. A backtick without another is escaped like the rest.
fn escape(text: &str) -> String {
    if text.contains("``") {
        return escaped(text);
    }
    let last = text.matches('`').count();
    let parts = text.split('`').enumerate();
    let escape = |(at, part): (usize, &str)| match at % 2 {
        0 => escaped(part),
        _ if at == last => format!("\\`{}", escaped(part)),
        _ => format!("`{part}`"),
    };
    parts.map(escape).collect()
}

fn escaped(text: &str) -> String {
    text.chars().flat_map(|char| MARKUP.contains(char).then_some('\\').into_iter().chain([char])).collect()
}
