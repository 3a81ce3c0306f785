use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

use super::text::{capitalized, fit};
use super::{Alert, State};

/// What a section takes, in characters: <https://docs.slack.dev/reference/block-kit/blocks/section-block>.
const SECTION: usize = 3_000;
/// What a header takes: <https://docs.slack.dev/reference/block-kit/blocks/header-block>.
const HEADER: usize = 150;
/// What a notification shows is less.
const NOTIFICATION: usize = 500;

/// An alert's event as an incoming webhook of Slack takes it, in Block Kit; `None` if it is about no alert. With the Worker's public
/// address it links to the view that shows the alert.
///
/// ```
/// use stale_drafts::service::chat::slack;
///
/// let event = r#"{"id": "alert.fired:dead_letters:1700000000000", "type": "alert.fired", "created_at": 1700000000000,
///     "data": {"code": "dead_letters", "severity": "warning", "cause": "an event could not be delivered",
///              "evidence": "1 event <&>", "remedy": "act on its error"}}"#;
/// let message = slack(event, Some("https://drafts.example")).unwrap();
/// assert!(message.contains(r#""text":"*Evidence*\n1 event &lt;&amp;&gt;""#));
/// assert!(message.contains("<https://drafts.example/dashboard#health|Open the dashboard>"));
/// ```
pub fn message(body: &str, public_url: Option<&str>) -> Option<String> {
    let alert = Alert::of(body)?;
    let data = &alert.data;
    let state = alert.state();
    let sign = match state {
        State::Critical => "🔴",
        State::Warning => "🟠",
        State::Resolved => "✅",
    };
    let title = fit(&format!("{sign} {}: {}", state.word(), data.code), HEADER, str::to_owned);
    let mut blocks = vec![
        json!({ "type": "header", "text": { "type": "plain_text", "text": title } }),
        section(None, &data.cause),
    ];
    if !data.evidence.is_empty() {
        blocks.push(section(Some("Evidence"), &data.evidence));
    }
    blocks.extend(alert.remedy().map(|remedy| section(Some("Remedy"), remedy)));
    let mut elements = vec![markdown(match alert.lasted() {
        None => format!("Since {}", date(alert.created_at)),
        Some(lasted) => format!("Resolved {}, after {lasted}", date(alert.created_at)),
    })];
    elements
        .extend(public_url.map(|url| markdown(format!("<{}|Open the dashboard>", escape(&alert.link(url))))));
    blocks.push(json!({ "type": "context", "elements": elements }));
    let text = format!("{}: {}", state.word(), data.cause);
    let message = json!({
        "text": fit(&text, NOTIFICATION, escape),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    });
    Some(message.to_string())
}

fn section(name: Option<&str>, text: &str) -> Value {
    let name = name.map_or(String::new(), |name| format!("*{name}*\n"));
    let room = SECTION.saturating_sub(name.len());
    json!({ "type": "section", "text": markdown(format!("{name}{}", fit(&capitalized(text), room, escape))) })
}

/// Without `verbatim`, Slack would make links and mentions of what looks like them.
fn markdown(text: String) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// The three that Slack has a meaning for: <https://docs.slack.dev/messaging/formatting-message-text#escaping>.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An instant, which Slack shows in the reader's own time.
fn date(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    let text = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let minute = text.get(..16).unwrap_or_default().replace('T', " ");
    format!("<!date^{}^{{date_short_pretty}} {{time}}|{minute} UTC>", at.timestamp())
}
