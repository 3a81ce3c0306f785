//! pkg/texts/en.json is what the rules and the pages say: a translator's original, written by this test with `WRITE_TEXTS=1`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use stale_drafts::rules::{
    Active, Age, Ago, Badge, CANCELLED, CANCELLED_TEXT, Elsewhere, ErrorText, Field, GENERATION_TIMEOUT,
    Judgement, Movement, Policy, Report, Setting, Snapshot, Status, Timestamp, Unit, Unreadable,
};
use stale_drafts::texts;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A text of which a part is a parameter.
fn with(text: impl ToString, part: &str, name: &str) -> String {
    let text = text.to_string();
    assert_eq!(text.matches(part).count(), 1, "{text}");
    text.replace(part, &format!("{{{name}}}"))
}

/// The forms of a length of time: for one, where it has one of its own, and for others.
fn forms(one: Option<String>, other: String) -> Value {
    let other = with(other, "7", "count");
    match one {
        Some(one) => json!({ "one": with(one, "1", "count"), "other": other }),
        None => json!({ "other": other }),
    }
}

/// The same unit for an age and for how long ago something was.
fn units(text: impl Fn(u64) -> String) -> Map<String, Value> {
    // Hours have a decimal, and with one everything is plural: here it stands for both digits.
    let hours = json!({ "other": with(text(7 * HOUR), "7.0", "count") });
    let of = |size: u64| forms(Some(text(size)), text(7 * size));
    let named = [(Unit::TenthsOfHours, hours), (Unit::Minutes, of(MINUTE)), (Unit::Seconds, of(1_000))];
    named.into_iter().map(|(unit, forms)| (unit.as_str().to_owned(), forms)).collect()
}

fn timeout(stuck_status: Active, attempt: u32) -> String {
    ErrorText { stuck_status, age_ms: 7 * MINUTE, attempt }.to_string()
}

fn english() -> Value {
    let badges: Map<_, _> = Badge::ALL
        .iter()
        .map(|badge| (badge.code().to_owned(), badge.as_str().split_once(' ').unwrap().1.into()))
        .collect();
    let timed_out: Map<_, _> = [Active::Pending, Active::Processing]
        .iter()
        .map(|status| (status.as_str().to_owned(), with(timeout(*status, 1), "7 minutes", "age").into()))
        .collect();
    let once = timeout(Active::Pending, 1);
    let mut ago = units(|age| Ago(age).to_string());
    ago.insert(Unit::Days.as_str().to_owned(), forms(None, Ago(7 * DAY).to_string()));
    let field = Field::CreatedAt;
    let reasons = [
        Unreadable::UnknownStatus,
        Unreadable::Missing,
        Unreadable::Malformed(field),
        Unreadable::Implausible(field),
        Unreadable::Future(Timestamp::EPOCH),
    ];
    let reasons: Map<_, _> = reasons
        .iter()
        .map(|reason| {
            let text = reason.to_string().replace(field.as_str(), "{field}");
            (reason.code().to_owned(), Value::from(text))
        })
        .collect();
    let page: Map<_, _> = texts::ALL
        .iter()
        .map(|text| {
            let forms = match text.one {
                Some(one) => json!({ "one": one, "other": text.other }),
                None => text.other.into(),
            };
            (text.key.to_owned(), forms)
        })
        .collect();
    let movements: Map<_, _> = MOVEMENTS
        .iter()
        .map(|movement| {
            let said = match movement.parameter() {
                // What the app calls a purchase stands beside the sentence.
                Some((name, value)) if name != "key" => with(movement, value, name),
                _ => movement.to_string(),
            };
            (movement.code().to_owned(), said.into())
        })
        .collect();
    let problems: Map<_, _> =
        texts::PROBLEMS.iter().map(|text| (text.key.to_owned(), text.other.into())).collect();
    json!({
        "locale": "en",
        "badges": badges,
        "errors": { GENERATION_TIMEOUT: timed_out, CANCELLED: CANCELLED_TEXT },
        "attempts": { "other": with(with(timeout(Active::Pending, 7), &once, "error"), "7", "count") },
        "ages": units(|age| Age(age).to_string()),
        "ago": ago,
        "reasons": reasons,
        "page": page,
        "movements": movements,
        "problems": problems,
    })
}

/// One of each; tests/package/texts.test.mjs holds their codes against those of the API.
const MOVEMENTS: [Movement<'_>; 17] = [
    Movement::Charged,
    Movement::Retried,
    Movement::Kept,
    Movement::UsedUp(Some("«error»")),
    Movement::UsedUp(None),
    Movement::Refunded(Some("«error»")),
    Movement::Refunded(None),
    Movement::RefundedInPart(Some("«error»")),
    Movement::RefundedInPart(None),
    Movement::Cancelled,
    Movement::NotUsed,
    Movement::Restored,
    Movement::Granted("«key»"),
    Movement::Imported,
    Movement::PaidElsewhere,
    Movement::Carried("«month»"),
    Movement::Other("«type»"),
];

#[test]
fn the_english_original_is_what_is_said() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/pkg/texts/en.json");
    let made = format!("{}\n", serde_json::to_string_pretty(&english()).unwrap());
    if std::env::var_os("WRITE_TEXTS").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap();
    assert_eq!(there, made, "write it with `WRITE_TEXTS=1 cargo test --test texts`");
}

#[test]
fn a_key_is_there_once_and_every_form_has_the_same_parameters() {
    let names = |text: &str| {
        let mut names: Vec<_> =
            text.split('{').skip(1).map(|part| part.split('}').next().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    for (at, text) in texts::PROBLEMS.iter().enumerate() {
        assert!(texts::PROBLEMS[..at].iter().all(|other| other.key < text.key), "{}", text.key);
    }
    for (at, text) in texts::ALL.iter().enumerate() {
        assert!(texts::ALL[..at].iter().all(|other| other.key != text.key), "{}", text.key);
        if let Some(one) = text.one {
            assert_eq!(names(one), names(text.other), "{}", text.key);
            assert!(names(one).contains(&String::from("count")), "{}", text.key);
        }
    }
}

#[test]
fn a_text_has_its_form_for_one_and_its_parameters_filled_in() {
    let said = |count: u64| texts::REFUNDED.fill(count == 1, &[("count", count.to_string())]);
    assert_eq!([said(1), said(2)], ["1 token refunded", "2 tokens refunded"]);
    assert_eq!(texts::FREE.fill(true, &[]), "Free");
}

/// All that an owner may be refused, on any creation.
fn refusals() -> BTreeSet<&'static str> {
    let mut codes = BTreeSet::new();
    for cancel in ["refund", "keep", "never"] {
        let policy = Policy::from_settings([(["cancel"], Setting::Text(cancel))]).unwrap();
        let reports = [
            Report::Publish,
            Report::Delete,
            Report::Cancel { attempt: None, policy: &policy },
            Report::Cancel { attempt: Some(1), policy: &policy },
            Report::Cancel { attempt: Some(2), policy: &policy },
            Report::Retry { attempt: 1 },
            Report::Retry { attempt: 2 },
        ];
        for (status, report) in Status::ALL.iter().flat_map(|status| reports.map(|report| (*status, report)))
        {
            for elsewhere in [None, Some(Elsewhere::Settled), Some(Elsewhere::Balance)] {
                for (deleted, error_code) in [(false, None), (true, None), (false, Some(CANCELLED))] {
                    let snapshot = Snapshot { status, elsewhere, deleted, error_code, ..CREATION };
                    if let Judgement::Refuse(refusal) = report.judge(&snapshot) {
                        codes.insert(refusal.code());
                    }
                }
            }
        }
    }
    codes
}

const CREATION: Snapshot<'_> = Snapshot {
    status: Status::Pending,
    attempt: 1,
    worker: None,
    fence: None,
    kind: "image",
    tokens: 10,
    tokens_used: None,
    retried: &[],
    error_code: None,
    result_url: None,
    late: false,
    restored: false,
    deleted: false,
    elsewhere: None,
};

#[test]
fn what_an_owner_is_refused_has_words() {
    let expected =
        "active balance_elsewhere deleted illegal_transition not_cancellable other_attempt settled_elsewhere";
    assert_eq!(refusals().into_iter().collect::<Vec<_>>().join(" "), expected);
    for code in refusals() {
        assert_eq!(texts::problem(code).key, code);
    }
    assert_eq!(texts::problem("taken").key, "unavailable");
}
