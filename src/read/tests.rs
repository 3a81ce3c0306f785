use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Fail,
    Retry,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Row {
    id: Text<5>,
    attempt: Option<Whole<1, 100>>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Whatever {
    #[serde(deserialize_with = "whole::<1, 100, _>")]
    limit: u32,
    dry_run: bool,
    hours: Option<f64>,
    action: Option<Action>,
    rows: Vec<Row>,
    rest: Option<Value>,
}

impl Default for Whatever {
    fn default() -> Self {
        Whatever { limit: 20, dry_run: false, hours: None, action: None, rows: Vec::new(), rest: None }
    }
}

#[track_caller]
fn body(text: &str, expected: &str) {
    assert_eq!(json::<Whatever>(text.as_bytes()).unwrap_err().message, expected);
}

#[test]
fn what_is_right_is_read() {
    assert_eq!(json::<Whatever>(b" \n").unwrap(), Whatever::default());
    let read: Whatever = json(
        br#"{"limit": 5.0, "dry_run": true, "hours": 2, "action": "retry", "rows": [{"id": "a", "attempt": null}, {"id": "b", "attempt": 100}], "rest": {"a": [1, -1, 1.5, "x", null]}}"#,
    )
    .unwrap();
    assert_eq!(
        (read.limit, read.dry_run, read.hours, read.action),
        (5, true, Some(2.0), Some(Action::Retry))
    );
    let rows: Vec<_> = read.rows.iter().map(|row| (row.id.as_str(), row.attempt.map(Whole::get))).collect();
    assert_eq!(rows, [("a", None), ("b", Some(100))]);
    assert_eq!(read.rest, Some(json!({ "a": [1, -1, 1.5, "x", null] })));
}

#[test]
fn an_error_names_the_path_quotes_the_value_and_says_what_would_be_right() {
    for value in ["0", "101", "-1", "1.5", "1e300", "\"5\"", "null", "[]", "18446744073709551616"] {
        let shown = serde_json::from_str::<Value>(value).unwrap();
        body(
            &format!("{{\"limit\": {value}}}"),
            &format!("`limit` is `{shown}`: expected a whole number from 1 to 100"),
        );
    }
    body("{\"dry_run\": 1}", "`dry_run` is `1`: expected `true` or `false`");
    body("{\"action\": \"give up\"}", "`action` is `\"give up\"`: expected `\"fail\"` or `\"retry\"`");
    body("{\"rows\": {}}", "`rows` is `{}`: expected a list");
    body("{\"rows\": [[\"a\"]]}", "`rows[0]` is `[\"a\"]`: expected an object");
    body("{\"rows\": [{\"id\": \"a\"}, {}]}", "`rows[1].id` is missing: expected text of 1 to 5 characters");
    body("{\"rows\": [{\"id\": \"\"}]}", "`rows[0].id` is `\"\"`: expected text of 1 to 5 characters");
    let long = "x".repeat(50);
    body(
        &format!("{{\"rows\": [{{\"id\": \"{long}\"}}]}}"),
        &format!("`rows[0].id` is `\"{}…`: expected text of 1 to 5 characters", &long[..39]),
    );
    body("[]", "the body is `[]`: expected an object");
}

#[test]
fn an_unknown_key_suggests_the_nearest_one() {
    body("{\"limits\": 1}", "unknown key `limits`: did you mean `limit`?");
    body(
        "{\"rows\": [{\"attempts\": 1}]}",
        "unknown key `rows[0].attempts`: did you mean `rows[0].attempt`?",
    );
    let all = "expected `limit`, `dry_run`, `hours`, `action`, `rows` or `rest`";
    body("{\"colour\": 1}", &format!("unknown key `colour`: {all}"));
    body("{\"a.limit\": 1}", "unknown key `a.limit`: did you mean `limit`?");
    body("{\"\": 1}", &format!("unknown key ``: {all}"));
    let long = "k".repeat(50);
    body(&format!("{{\"{long}\": 1}}"), &format!("unknown key `{}…`: {all}", &long[..40]));
}

#[test]
fn text_that_is_not_json_is_refused() {
    let check = |text: &[u8], expected: &str| {
        let error = json::<Whatever>(text).unwrap_err().message;
        assert_eq!(error, format!("the body is not valid JSON ({expected}): expected an object"));
    };
    check(b"{", "EOF while parsing an object at line 1 column 1");
    check(b"{} {}", "trailing characters at line 1 column 4");
    check(br#"{"limit": 1, "limit": 2}"#, "`limit` is given twice at line 1 column 20");
    check(br#"{"rest": {"a": 1, "a": 1}}"#, "`a` is given twice at line 1 column 21");
    check(b"{\"rest\": \"\xff\"}", "invalid unicode code point at line 1 column 11");
    check(br#"{"hours": 1e999}"#, "number out of range at line 1 column 15");
    assert!(json::<Whatever>(&[b'['; 10_000]).unwrap_err().message.contains("recursion limit exceeded"));
}

#[test]
fn a_query_writes_everything_as_text() {
    let read = |pairs: &[(&str, &str)]| {
        query::<Whatever>(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    };
    let error = |name: &str, value: &str| read(&[(name, value)]).unwrap_err().message;
    let all = [("limit", "5"), ("dry_run", "true"), ("hours", "0.5"), ("action", "fail")];
    let all = read(&all).unwrap();
    assert_eq!((all.limit, all.dry_run, all.hours, all.action), (5, true, Some(0.5), Some(Action::Fail)));
    for value in ["", "0", "5.0", "five", "-1"] {
        assert_eq!(
            error("limit", value),
            format!("`limit` is `{value}`: expected a whole number from 1 to 100")
        );
    }
    assert_eq!(error("dry_run", "1"), "`dry_run` is `1`: expected `true` or `false`");
    assert_eq!(error("action", "x"), "`action` is `x`: expected `fail` or `retry`");
    assert_eq!(error("dryrun", "1"), "unknown parameter `dryrun`: did you mean `dry_run`?");
    let twice = read(&[("limit", "5"), ("limit", "5")]).unwrap_err();
    assert_eq!(
        (twice.path.as_str(), twice.message.as_str()),
        ("limit", "`limit` is given twice: give it once")
    );
}

#[test]
fn a_table_hides_secrets_and_takes_no_null() {
    let error = |value: Value| {
        table::<Whatever>("STALE_DRAFTS", &value, |path, _| path.is_empty() || path == "rows[0]")
            .unwrap_err()
            .message
    };
    assert_eq!(error(json!(["key"])), "`STALE_DRAFTS` is not valid: expected a table");
    assert_eq!(error(json!({ "rows": ["key"] })), "`rows[0]` is not valid: expected a table");
    assert_eq!(error(json!({ "hours": null })), "`hours` is `null`: expected a number");
}

#[test]
fn text_is_measured_in_characters_and_names_in_bytes() {
    #[derive(Debug, Deserialize)]
    struct Texts {
        text: Text<3>,
        name: Name,
    }
    let read =
        |text: &str, name: &str| json::<Texts>(json!({ "text": text, "name": name }).to_string().as_bytes());
    let error = |text, name| read(text, name).unwrap_err().message;
    let texts = read("狐狐🦊", &"é".repeat(100)).unwrap();
    assert_eq!((texts.text.as_str(), texts.name.as_str()), ("狐狐🦊", "é".repeat(100).as_str()));
    assert!(error("狐狐狐狐", "a").ends_with("expected text of 1 to 3 characters"));
    assert_eq!(error("a\0", "a"), "`text` is `\"a\\u0000\"`: expected text without the character U+0000");
    for name in ["", &"é".repeat(101), "a\n", "\0", "\u{7f}", "\u{9f}"] {
        let error = error("a", name);
        assert!(error.ends_with("expected text of 1 to 200 bytes without control characters"), "{error}");
    }
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    let read: Whatever = json(br#"{"rows": [{"id": "a\ud83e"}]}"#).unwrap();
    assert_eq!(read.rows[0].id.as_str(), "a\u{fffd}");
}

#[test]
fn the_language_that_is_wanted_most_is_found_among_those_on_offer() {
    let offered = ["en", "de", "ja", "pt-BR", "zh-Hant-TW"].map(String::from);
    let cases = [
        ("de", Some("de")),
        ("DE-at", Some("de")),
        ("fr, de;q=0.5", Some("de")),
        ("ja;q=0.8, de;q=0.9, en;q=0.1", Some("de")),
        ("ja, de", Some("ja")),
        ("de;q=0.001, ja;q=0.0", Some("de")),
        ("de ; q=0.5 , ja ; Q=0.7", Some("ja")),
        ("pt", Some("pt-BR")),
        ("pt-PT", None),
        ("zh", Some("zh-Hant-TW")),
        ("zh-Hant", Some("zh-Hant-TW")),
        ("zh-Hant-TW-x-private", Some("zh-Hant-TW")),
        ("zh-Hans", None),
        ("p", None),
        ("*", Some("en")),
        ("fr, *;q=0.5", Some("en")),
        ("en;q=0, *", Some("de")),
        ("*, ja", Some("en")),
        ("en;q=0", None),
        ("", None),
        (", ,;q=1", None),
        ("fr, es", None),
        // What is no number from 0 to 1 with three decimals is no entry.
        ("de;q=2, ja;q=0.5", Some("ja")),
        ("de;q=1.001, ja;q=0.5", Some("ja")),
        ("de;q=0.1234, ja;q=0.05", Some("ja")),
        ("de;q=-1, de;q=x, de;q=, ja;q=0.1", Some("ja")),
        ("de;level=1;q=0.2, ja;q=0.1", Some("de")),
        ("ÄÖ, 日本語, de", Some("de")),
    ];
    for (header, expected) in cases {
        assert_eq!(preferred_language(header, &offered), expected, "{header}");
    }
    assert_eq!(preferred_language("de", &[]), None);
    let long = format!("{}de", "fr,".repeat(10_000));
    assert_eq!(preferred_language(&long, &offered), None);
}

#[test]
fn a_language_tag_has_its_form() {
    for tag in ["de", "ast", "pt-BR", "zh-Hant-TW", "de-1996", "en-x"] {
        assert!(is_language_tag(tag), "{tag}");
    }
    for text in
        ["", "d", "deutsch", "de-", "-de", "de--AT", "de_AT", "de AT", "d1", "日本", "en-123456789", "*"]
    {
        assert!(!is_language_tag(text), "{text}");
    }
}
