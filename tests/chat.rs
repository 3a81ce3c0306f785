//! Alerts as messages of chats: what they say, and that no text of others breaks out of them.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

use proptest::prelude::*;
use serde_json::{Value, json};
use stale_drafts::service::chat::{discord, slack};

const NOW: u64 = 1_700_000_000_000;
const URL: &str = "https://drafts.example/admin/";

fn fired(cause: &str, evidence: &str) -> Value {
    json!({
        "id": format!("alert.fired:creations_overdue:{NOW}"), "type": "alert.fired", "created_at": NOW,
        "data": { "code": "creations_overdue", "severity": "critical", "cause": cause, "evidence": evidence, "remedy": "look at the sweeps' errors" },
    })
}

fn resolved() -> Value {
    json!({
        "id": format!("alert.resolved:creations_overdue:{NOW}"), "type": "alert.resolved", "created_at": NOW + 1_200_000,
        "data": { "code": "creations_overdue", "severity": "critical", "cause": "a creation is overdue", "evidence": "`c1` is", "since": NOW },
    })
}

fn parse(message: Option<String>) -> Value {
    serde_json::from_str(&message.expect("it is an alert")).unwrap()
}

fn on_slack(event: &Value) -> Value {
    parse(slack(&event.to_string(), Some(URL)))
}

fn on_discord(event: &Value) -> Value {
    parse(discord(&event.to_string(), Some(URL)))
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn(text) })
}

fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

#[test]
fn slack_shows_cause_evidence_remedy_and_a_link_to_the_view() {
    assert_eq!(
        on_slack(&fired("a creation is overdue", "`c1` has been stale for 5 minutes")),
        json!({
            "text": "Critical: a creation is overdue",
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": "🔴 Critical: creations_overdue" } },
                section("A creation is overdue"),
                section("*Evidence*\n`c1` has been stale for 5 minutes"),
                section("*Remedy*\nLook at the sweeps' errors"),
                { "type": "context", "elements": [
                    mrkdwn("Since <!date^1700000000^{date_short_pretty} {time}|2023-11-14 22:13 UTC>"),
                    mrkdwn("<https://drafts.example/admin/dashboard#silent|Open the dashboard>"),
                ] },
            ],
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
    assert_eq!(
        on_slack(&resolved())["blocks"],
        json!([
            { "type": "header", "text": { "type": "plain_text", "text": "✅ Resolved: creations_overdue" } },
            section("A creation is overdue"),
            section("*Evidence*\n`c1` is"),
            { "type": "context", "elements": [
                mrkdwn("Resolved <!date^1700001200^{date_short_pretty} {time}|2023-11-14 22:33 UTC>, after 20 minutes"),
                mrkdwn("<https://drafts.example/admin/dashboard#alerts|Open the dashboard>"),
            ] },
        ])
    );
}

#[test]
fn an_alert_about_failures_links_to_them() {
    let mut event = fired("many creations fail", "5 of 8");
    event["data"]["code"] = json!("many_failed");
    assert_eq!(on_discord(&event)["embeds"][0]["url"], "https://drafts.example/admin/dashboard#generation");
    event["data"]["error_code"] = json!("out of <memory>|&");
    let failures = format!(
        "https://drafts.example/admin/dashboard/creations?status=failed&error_code=out%20of%20%3Cmemory%3E%7C%26&failed_since={}",
        NOW - 3_600_000
    );
    assert_eq!(on_discord(&event)["embeds"][0]["url"], failures.as_str());
    let link = &on_slack(&event)["blocks"][4]["elements"][1];
    assert_eq!(*link, mrkdwn(&format!("<{}|Open the dashboard>", failures.replace('&', "&amp;"))));
}

#[test]
fn each_alert_links_to_the_section_that_shows_more_of_it() {
    for (code, section) in [
        ("cron_not_running", "sweeps"),
        ("sweep_failing", "sweeps"),
        ("creations_overdue", "silent"),
        ("creations_rejected", "set-aside"),
        ("many_stale", "stale"),
        ("many_failed", "generation"),
        ("one_error_dominates", "generation"),
        ("circuit_breaker_open", "actions"),
        ("sweeping_paused", "actions"),
        ("ledger_differs", "health"),
    ] {
        let mut event = fired("a cause", "evidence");
        event["data"]["code"] = json!(code);
        let address = format!("https://drafts.example/admin/dashboard#{section}");
        assert_eq!(on_discord(&event)["embeds"][0]["url"], address.as_str(), "{code}");
    }
}

#[test]
fn nothing_to_do_is_no_section() {
    let mut event = fired("a cause", "evidence");
    event["data"]["remedy"] = json!("");
    assert_eq!(
        on_discord(&event)["embeds"][0]["fields"],
        json!([{ "name": "Evidence", "value": "Evidence" }])
    );
    assert!(!on_slack(&event).to_string().contains("Remedy"));
    // Nor is one that is over, whatever its event says.
    let mut over = resolved();
    over["data"]["remedy"] = json!("look at the sweeps' errors");
    assert!(!on_slack(&over).to_string().contains("Remedy"));
}

#[test]
fn discord_shows_the_same() {
    assert_eq!(
        on_discord(&fired("a creation is overdue", "`c1` has been stale for 5 minutes")),
        json!({
            "allowed_mentions": { "parse": [] },
            "embeds": [{
                "title": "Critical: creations_overdue",
                "url": "https://drafts.example/admin/dashboard#silent",
                "description": "A creation is overdue",
                "color": 0x00d9_2d20,
                "fields": [
                    { "name": "Evidence", "value": "`c1` has been stale for 5 minutes" },
                    { "name": "Remedy", "value": "Look at the sweeps' errors" },
                ],
                "timestamp": "2023-11-14T22:13:20.000Z",
                "footer": { "text": "Stale Drafts" },
            }],
        })
    );
    let embed = &on_discord(&resolved())["embeds"][0];
    assert_eq!(embed["title"], "Resolved: creations_overdue");
    assert_eq!(embed["url"], "https://drafts.example/admin/dashboard#alerts");
    let fields =
        json!([{ "name": "Evidence", "value": "`c1` is" }, { "name": "Lasted", "value": "20 minutes" }]);
    assert_eq!(embed["fields"], fields);
}

#[test]
fn without_a_public_address_there_is_no_link_and_no_guess() {
    let event = fired("a creation is overdue", "c1").to_string();
    let (slack, discord) = (slack(&event, None).unwrap(), discord(&event, None).unwrap());
    assert!(!slack.contains("dashboard") && !discord.contains("dashboard"), "{slack} {discord}");
    assert_eq!(parse(Some(discord))["embeds"][0].get("url"), None);
}

#[test]
fn only_alerts_are_said() {
    for body in ["", "{}", "x", &json!({ "type": "creation.failed", "created_at": 1, "data": { "code": "a", "severity": "b", "cause": "c" } }).to_string()] {
        assert_eq!((slack(body, None), discord(body, None)), (None, None));
    }
}

#[test]
fn nobody_is_mentioned_and_nothing_is_linked_by_a_text_of_others() {
    let evil = "<!channel> <@U1> @here @Everyone <https://evil.example|click> [a](https://evil.example) **b** & `x` <t:1> \u{202e}c\nd";
    let said = on_slack(&fired("a", evil));
    assert_eq!(
        said["blocks"][2]["text"]["text"],
        "*Evidence*\n&lt;!channel&gt; &lt;@U1&gt; @\u{200b}here @\u{200b}Everyone &lt;https://evil.example|click&gt; \
         [a](https://evil.example) **b** &amp; `x` &lt;t:1&gt; c d"
    );
    let said = on_discord(&fired("a", evil));
    assert_eq!(
        said["embeds"][0]["fields"][0]["value"],
        "\\<!channel\\> \\<@U1\\> @\u{200b}here @\u{200b}Everyone \\<https\\://evil.example\\|click\\> \
         \\[a\\]\\(https\\://evil.example\\) \\*\\*b\\*\\* & `x` \\<t\\:1\\> c d"
    );
    // A backtick without another, and two at once, which would begin a span that ends elsewhere.
    assert_eq!(
        on_discord(&fired("a", "x ` **b**"))["embeds"][0]["fields"][0]["value"],
        "X \\` \\*\\*b\\*\\*"
    );
    assert_eq!(
        on_discord(&fired("a", "``**b**``"))["embeds"][0]["fields"][0]["value"],
        "\\`\\`\\*\\*b\\*\\*\\`\\`"
    );
}

/// What Slack and Discord say of the length of texts, in UTF-16 code units, which are never fewer than characters.
fn length(text: &Value) -> usize {
    text.as_str().unwrap().encode_utf16().count()
}

fn is_within_the_limits(event: &Value) {
    let said = on_slack(event);
    assert!((1..=4_000).contains(&length(&said["text"])));
    let blocks = said["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => assert!((1..=150).contains(&length(&block["text"]["text"]))),
            "section" => assert!((1..=3_000).contains(&length(&block["text"]["text"]))),
            _ => assert!(block["elements"].as_array().unwrap().len() <= 10),
        }
        // What begins with `<` is ours.
        let text = block["text"]["text"].as_str().unwrap_or_default();
        assert!(!text.contains(['<', '>']), "{text}");
        let entities = text
            .match_indices('&')
            .all(|(at, _)| ["&amp;", "&lt;", "&gt;"].iter().any(|one| text[at..].starts_with(one)));
        assert!(entities, "{text}");
    }
    let said = on_discord(event);
    let embed = &said["embeds"][0];
    let fields = embed["fields"].as_array().unwrap();
    let (title, description) = (length(&embed["title"]), length(&embed["description"]));
    assert!((1..=256).contains(&title) && description <= 4_096 && fields.len() <= 25);
    let mut sum = title + description + length(&embed["footer"]["text"]);
    for field in fields {
        assert!((1..=1_024).contains(&length(&field["value"])), "{field}");
        sum += length(&field["name"]) + length(&field["value"]);
    }
    assert!(sum <= 6_000);
}

#[test]
fn long_texts_are_cut_within_the_limits_whatever_they_are_of() {
    for letter in ["x", "&", "<", "*", "`", "`a", "🦊", "狐", "@here ", "a\u{301}"] {
        for count in [0, 1, 500, 1_023, 1_024, 1_025, 3_000, 20_000] {
            let text = letter.repeat(count);
            is_within_the_limits(&fired(&format!("a{text}"), &text));
        }
    }
    let evidence = on_discord(&fired("a", &"x".repeat(2_000)))["embeds"][0]["fields"][0]["value"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        (length(&json!(evidence)), evidence.ends_with("x…")),
        (1_024, true),
        "as much as there is room for"
    );
}

proptest! {
    #[test]
    fn no_text_breaks_out(cause in "\\PC{1,40}", evidence in "[`*_<>&@a-z|\\[\\]\\\\ \\n]{0,2000}") {
        is_within_the_limits(&fired(&cause, &evidence));
    }
}
