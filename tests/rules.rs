//! The rules on the shared cases, natively and as WebAssembly: `cargo test`, and `cargo test --target
//! wasm32-unknown-unknown`. The same cases run through the Worker in `tests/worker/database.test.mjs`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod common;

use common::{NOW, policy, time};
use serde_json::Value;
use stale_drafts::rules::{
    Action, Active, ActiveLimits, Age, Ago, Badge, Bucket, BucketSet, Cancellation, Candidate, Draft, Field,
    LAGS, Limit, MarkedMessage, MaxActive, MaxAge, Phase, Policy, RetriedMessage, Rule, Setting, Sink,
    Status, SweepMessage, Time, Timestamp, Unit, Unreadable, Verdict, Words, badge, classify, decide,
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test;

fn cases(text: &'static str) -> Vec<Value> {
    serde_json::from_str(text).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_millis(NOW).unwrap()
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn verdicts() {
    for case in cases(include_str!("cases/verdicts.json")) {
        let name = case["name"].as_str().unwrap();
        let policy = case.get("policy").map_or_else(Policy::default, |value| policy(value).unwrap());
        let kind = case.get("kind").map_or("image", |kind| kind.as_str().unwrap());
        let draft = Draft {
            status: case["status"].as_str().unwrap().parse().ok(),
            kind,
            attempt: case["attempt"].as_u64().map_or(1, |attempt| attempt as u32),
            created_at: time(&case["created"]),
            queued_at: time(&case["queued"]),
            started_at: time(&case["started"]),
            heartbeat_at: time(&case["heartbeat"]),
            extended_until: time(&case["extended"]),
        };
        let verdict = classify(&draft, now(), &policy);
        assert_eq!(badge(&verdict), case["badge"], "{name}");
        let limit = (verdict.max_age_ms(), verdict.rule());
        let (word, deadline) = match verdict {
            Verdict::Settled(status) => {
                assert_eq!(Some(status), draft.status, "{name}");
                assert_eq!(limit, (None, None), "{name}");
                ("settled", None)
            }
            Verdict::Fresh { status, deadline, limit: of_status, rule, extended_until } => {
                assert_eq!(Some(status.status()), draft.status, "{name}");
                assert_eq!(deadline.is_none(), of_status == Limit::Never, "{name}");
                let max_age_ms = match of_status {
                    Limit::After(max_age) => Some(max_age.as_millis()),
                    Limit::Never => None,
                };
                assert_eq!(limit, (max_age_ms, Some(rule)), "{name}");
                assert_eq!(extended_until.is_some(), case["put_off"] == true, "{name}");
                assert!(extended_until.is_none() || extended_until == deadline, "{name}");
                ("fresh", Some(deadline))
            }
            Verdict::Stale(staleness) => {
                assert_eq!(staleness.error_text().to_string(), case["error"], "{name}");
                assert_eq!(limit, (Some(staleness.max_age_ms), Some(staleness.rule)), "{name}");
                let begun = staleness.processing_since();
                assert_eq!(begun.is_some(), staleness.stuck_status == Active::Processing, "{name}");
                assert!(begun.is_none_or(|begun| Some(begun) == staleness.entered), "{name}");
                assert_eq!(staleness.put_off().is_some(), case["put_off"] == true, "{name}");
                assert!(
                    case.get("age_ms").is_none_or(|age| *age == staleness.age_ms),
                    "{name}: {staleness:?}"
                );
                ("stale", Some(Some(staleness.deadline())))
            }
            Verdict::Unreadable(reason) => {
                assert_eq!(reason.code(), case["reason"], "{name}");
                assert_eq!(reason.to_string(), case["error"], "{name}");
                ("unreadable", None)
            }
        };
        assert_eq!(word, case["verdict"], "{name}");
        let status = draft.status.and_then(Status::active);
        let rule = status.zip(limit.1).map(|(status, rule)| rule.describe(status, kind));
        for (key, value) in [("max_age_ms", Value::from(limit.0)), ("rule", Value::from(rule))] {
            assert!(case.get(key).is_none_or(|expected| *expected == value), "{name}: {key} is {value}");
        }
        // `deadline` in a case is, as every time is, in milliseconds before now.
        if let Some(expected) = case.get("deadline") {
            let expected = expected.as_i64().map(|before| Timestamp::from_millis(NOW - before).unwrap());
            assert_eq!(deadline, Some(expected), "{name}");
        }
    }
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn ages() {
    for case in cases(include_str!("cases/ages.json")) {
        let age = Age(case["age_ms"].as_u64().unwrap());
        assert_eq!(age.to_string(), case["long"], "{age:?}");
        assert_eq!(format!("{age:#}"), case["short"], "{age:?}");
    }
    assert_eq!(Age(u64::MAX).to_string(), "5124095576030.4 hours");
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn policies() {
    for case in cases(include_str!("cases/policies.json")) {
        let error = policy(&case["policy"]).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), case["error"].as_str(), "{}", case["policy"]);
    }
    // What JSON can't hold.
    for (number, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "Infinity"), (f64::NEG_INFINITY, "-Infinity")] {
        let error =
            Policy::from_settings([(["pending"].as_slice(), Setting::Number(number, text))]).unwrap_err();
        let expected = "expected hours above 0, such as `1` or `0.5`, or `\"never\"`";
        assert_eq!(error.to_string(), format!("`pending` is `{text}`: {expected}"));
    }
    // JSON's keys come in one order here, a caller's in any.
    let (hours, preset) = (
        (["max_age_hours"].as_slice(), Setting::Number(1.0, "1")),
        (["preset"].as_slice(), Setting::Text("budget")),
    );
    for settings in [[hours, preset], [preset, hours]] {
        let error = Policy::from_settings(settings).unwrap_err();
        assert_eq!(error.to_string(), "`preset` and `max_age_hours` exclude each other: give one");
    }
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn transitions() {
    let legal = [
        (Status::Pending, Status::Processing),
        (Status::Pending, Status::Failed),
        (Status::Processing, Status::Draft),
        (Status::Processing, Status::Failed),
        (Status::Draft, Status::Published),
    ];
    for from in Status::ALL {
        for to in Status::ALL {
            assert_eq!(from.transition(to).is_ok(), legal.contains(&(from, to)), "{from} to {to}");
        }
    }
    let text = |from: Status, to| from.transition(to).unwrap_err().to_string();
    assert_eq!(
        text(Status::Processing, Status::Published),
        "a creation can't go from `processing` to `published`: only `draft` or `failed` can follow"
    );
    assert_eq!(
        text(Status::Draft, Status::Failed),
        "a creation can't go from `draft` to `failed`: only `published` can follow"
    );
    assert_eq!(
        text(Status::Failed, Status::Draft),
        "a creation can't go from `failed` to `draft`: `failed` is final"
    );
    assert_eq!(text(Status::Failed, Status::Failed), "it has failed already");
    assert_eq!(text(Status::Draft, Status::Draft), "it is `draft` already");
    assert_eq!(
        "done".parse::<Status>().unwrap_err().to_string(),
        "unknown status `done`: expected `pending`, `processing`, `draft`, `published` or `failed`"
    );
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn hours() {
    for (text, millis) in
        [("1", 3_600_000), ("0.5", 1_800_000), ("0.167", 601_200), ("0.01", 36_000), ("24", 86_400_000)]
    {
        assert_eq!(text.parse::<MaxAge>().map(MaxAge::as_millis), Ok(millis), "{text}");
    }
    for text in ["0", "-0", "-1", "NaN", "inf", "-inf", "1e-9", "1e10", "", "one", "1h", "0x1", "1,5"] {
        let error = text.parse::<MaxAge>().unwrap_err().to_string();
        let expected = "expected a number of hours above 0, such as `1` or `0.5`";
        assert_eq!(error, format!("invalid max age `{text}`: {expected}"));
    }
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn messages() {
    let sweep = |marked| SweepMessage { marked }.to_string();
    assert_eq!(sweep(3), "Auto-cleanup: Marked 3 stale creations as failed");
    assert_eq!(sweep(1), "Auto-cleanup: Marked 1 stale creation as failed");
    assert_eq!(sweep(0), "Auto-cleanup: Marked 0 stale creations as failed");
    let marked = |id| MarkedMessage { id, age_ms: 65_520_000 }.to_string();
    assert_eq!(marked("abc123def456"), "Marked stale creation abc123... as failed (age: 18.2h)");
    assert_eq!(marked("abc123"), "Marked stale creation abc123 as failed (age: 18.2h)");
    assert_eq!(marked("äöüäöüäöü"), "Marked stale creation äöüäöü... as failed (age: 18.2h)");
    assert_eq!(marked(""), "Marked stale creation  as failed (age: 18.2h)");
    let retried = RetriedMessage { id: "abc123def456", age_ms: 720_000, attempt: 1 };
    assert_eq!(retried.to_string(), "Put stale creation abc123... back for attempt 2 (age: 12m)");
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn what_is_neither_settled_nor_fresh_is_decided_once() {
    let draft = |status, created| Draft {
        status,
        kind: "image",
        attempt: 2,
        created_at: time(&created),
        ..Draft::default()
    };
    let candidates = [
        ("stale", draft(Some(Status::Pending), Value::from(3_600_001))),
        ("fresh", draft(Some(Status::Processing), Value::from(3_600_000))),
        ("settled", draft(Some(Status::Draft), Value::from(9_000_000))),
        ("garbage", draft(Some(Status::Pending), Value::from("x"))),
        ("unknown", draft(None, Value::from(9_000_000))),
    ]
    .map(|(id, draft)| Candidate { id, draft });
    let decisions = decide(candidates, now(), &Policy::default());
    let [decision] = decisions.fail.as_slice() else { panic!("one is stale") };
    assert_eq!((decision.id, decision.kind, decision.staleness.age_ms), ("stale", "image", 3_600_001));
    assert_eq!(decisions.retry, []);
    assert_eq!(
        decisions.unreadable,
        [("garbage", Unreadable::Malformed(Field::CreatedAt)), ("unknown", Unreadable::UnknownStatus),]
    );
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn what_was_long_ago_is_so_many_days_ago() {
    const HOUR: u64 = 3_600_000;
    for (millis, text) in [
        (0, "0 seconds ago"),
        (60_000, "1 minute ago"),
        (HOUR, "1.0 hours ago"),
        (48 * HOUR - 1, "48.0 hours ago"),
        (48 * HOUR, "2 days ago"),
        (72 * HOUR - 1, "2 days ago"),
        (72 * HOUR, "3 days ago"),
    ] {
        assert_eq!(Ago(millis).to_string(), text);
    }
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn one_max_age_replaces_every_limit_on_silence_but_never() {
    let policy = policy(&serde_json::json!({
        "pending": 2, "kinds": { "video": { "processing": 6 }, "film": { "max_age_hours": "never" } },
    }));
    let short = policy.unwrap().with_max_age(MaxAge::DEVELOPMENT);
    let limit = |status, kind| match short.limit(status, kind).0 {
        Limit::After(max_age) => Some(max_age),
        Limit::Never => None,
    };
    assert_eq!(limit(Active::Pending, "image"), Some(MaxAge::DEVELOPMENT));
    assert_eq!(limit(Active::Processing, "video"), Some(MaxAge::DEVELOPMENT));
    assert_eq!(limit(Active::Processing, "film"), None);
    let policy =
        common::policy(&serde_json::json!({ "heartbeat_minutes": 2, "total_hours": 6, "attempts": 3 }));
    let short = policy.unwrap().with_max_age(MaxAge::DEVELOPMENT);
    // Whoever keeps the limit between heartbeats is alive, whatever is asked for.
    let two_minutes = MaxAge::from_millis(120_000).unwrap();
    assert_eq!(short.limit_in(Phase::Heartbeating, "image").0, Limit::After(two_minutes));
    assert_eq!(short.total("image").0, Limit::After(MaxAge::checked(6.0).unwrap()));
    assert_eq!(short.attempts("image").get(), 3);
    // Nor is it made shorter where there is none, and that by age stands for it.
    let hours = |hours| Limit::After(MaxAge::checked(hours).unwrap());
    let policy =
        common::policy(&serde_json::json!({ "preset": "budget", "kinds": { "video": { "processing": 6 } } }));
    let policy = policy.unwrap();
    let short = policy.with_max_age(MaxAge::checked(0.001).unwrap());
    assert_eq!(short.limit_in(Phase::Processing, "image"), (hours(0.001), Rule::MaxAgeHours));
    assert_eq!(short.limit_in(Phase::Heartbeating, "image"), policy.limit_in(Phase::Heartbeating, "image"));
    assert_eq!(short.limit_in(Phase::Heartbeating, "video"), (hours(6.0), Rule::KindAndStatus));
    let same = policy.with_max_age(MaxAge::BUDGET);
    assert_eq!(same.limit_in(Phase::Heartbeating, "image"), policy.limit_in(Phase::Heartbeating, "image"));
    let long = policy.with_max_age(MaxAge::checked(24.0).unwrap());
    assert_eq!(long.limit_in(Phase::Heartbeating, "image"), (hours(24.0), Rule::MaxAgeHours));
    assert_eq!(long.limit_in(Phase::Heartbeating, "video"), (hours(24.0), Rule::KindAndStatus));
    let policy = common::policy(
        &serde_json::json!({ "pending": "never", "kinds": { "video": { "processing": "never" } } }),
    );
    let short = policy.unwrap().with_max_age(MaxAge::DEVELOPMENT);
    assert_eq!(short.limit(Active::Pending, "image"), (Limit::Never, Rule::Status));
    assert_eq!(short.limit(Active::Processing, "video"), (Limit::Never, Rule::KindAndStatus));
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn a_policy_says_what_it_holds() {
    let of = |value| policy(&value).unwrap();
    let limits_total = |value| of(value).limits_total();
    assert!(!limits_total(serde_json::json!({ "kinds": { "video": { "attempts": 2 } } })));
    assert!(limits_total(serde_json::json!({ "total_hours": 6 })));
    assert!(limits_total(
        serde_json::json!({ "kinds": { "film": { "attempts": 2 }, "video": { "total_hours": 6 } } })
    ));
    let longest = |value| of(value).longest_run();
    let hours = |hours| Limit::After(MaxAge::checked(hours).unwrap());
    assert_eq!(longest(serde_json::json!({})), Limit::Never);
    assert_eq!(
        longest(serde_json::json!({ "total_hours": 6, "kinds": { "video": { "attempts": 2 } } })),
        hours(6.0)
    );
    let kinds =
        |video| serde_json::json!({ "total_hours": 6, "kinds": { "video": { "total_hours": video } } });
    assert_eq!(longest(kinds(serde_json::json!(12))), hours(12.0));
    assert_eq!(longest(kinds(serde_json::json!(1))), hours(6.0));
    assert_eq!(longest(kinds(serde_json::json!("never"))), Limit::Never);
    assert_eq!(longest(serde_json::json!({ "kinds": { "video": { "total_hours": 1 } } })), Limit::Never);
    let cancels = |value, kind| of(value).cancellation(kind);
    assert_eq!(cancels(serde_json::json!({}), "video"), Cancellation::Refund);
    let both = || serde_json::json!({ "cancel": "keep", "kinds": { "video": { "cancel": "never" }, "film": { "pending": 1 } } });
    assert_eq!(cancels(both(), "video"), Cancellation::Never);
    assert_eq!((cancels(both(), "film"), cancels(both(), "image")), (Cancellation::Keep, Cancellation::Keep));
    for says in [Cancellation::Refund, Cancellation::Keep, Cancellation::Never] {
        assert_eq!(cancels(serde_json::json!({ "cancel": says.as_str() }), ""), says);
    }
    let keeps = |value| of(value).keeps_late_results();
    assert!(keeps(serde_json::json!({})) && keeps(serde_json::json!({ "keep_late_results": true })));
    assert!(!keeps(serde_json::json!({ "keep_late_results": false })));
    let active = |value, kind| {
        let ActiveLimits { of_all, of_kind } = of(value).max_active(kind);
        (of_all.map(MaxActive::get), of_kind.map(MaxActive::get))
    };
    assert_eq!(active(serde_json::json!({}), "video"), (None, None));
    let both = || serde_json::json!({ "max_active": 3, "kinds": { "video": { "max_active": 2 } } });
    assert_eq!((active(both(), "video"), active(both(), "image")), ((Some(3), Some(2)), (Some(3), None)));
    for status in Active::ALL {
        let uniform = Policy::uniform(Limit::Never);
        assert_eq!(uniform.limit(status, "image"), (Limit::Never, Rule::MaxAgeHours));
    }
    let kinds = of(serde_json::json!({ "kinds": { "video": { "attempts": 2 }, "film": { "pending": 1 } } }));
    assert_eq!(kinds.kinds().collect::<Vec<_>>(), ["film", "video"]);
    assert_eq!(Policy::default().kinds().next(), None);
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn the_ends_of_what_a_time_and_a_limit_can_be() {
    const LAST: u64 = 8_640_000_000_000_000;
    assert_eq!(Timestamp::MAX.as_millis(), LAST);
    assert_eq!(now().as_millis(), 1_700_000_000_000);
    assert_eq!(now().saturating_add(LAST), Timestamp::MAX);
    assert_eq!(now().saturating_add(u64::MAX), Timestamp::MAX);
    assert_eq!(now().saturating_add(1).as_millis(), 1_700_000_000_001);
    assert_eq!(now().saturating_sub(u64::MAX).as_millis(), 0);
    let limit = |millis| MaxAge::from_millis(millis).map(MaxAge::as_millis);
    assert_eq!([0, 1, LAST, LAST + 1].map(limit), [None, Some(1), Some(LAST), None]);
    let active = |number| MaxActive::checked(number).map(MaxActive::get);
    assert_eq!([1.0, 2.0, 10_000.0].map(active), [Some(1), Some(2), Some(10_000)]);
    assert_eq!([0.0, 0.5, 1.5, 10_000.5, 10_001.0, -1.0, f64::NAN].map(active), [None; 7]);
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn a_failure_is_in_the_band_of_its_lag() {
    let lag = |late| {
        let draft = Draft {
            status: Some(Status::Pending),
            created_at: time(&Value::from(3_600_000 + late)),
            ..Draft::default()
        };
        decide([Candidate { id: "c", draft }], now(), &Policy::default()).fail[0].staleness.lag()
    };
    for (band, limit) in LAGS.into_iter().enumerate() {
        assert_eq!((lag(limit), lag(limit + 1)), (band, band + 1), "{limit}");
    }
    assert_eq!(lag(1), 0);
    // It is counted from the deadline that it really had.
    let put_off = Draft {
        status: Some(Status::Pending),
        created_at: time(&Value::from(36_000_000)),
        extended_until: time(&Value::from(60_001)),
        ..Draft::default()
    };
    let decided = decide([Candidate { id: "c", draft: put_off }], now(), &Policy::default());
    assert_eq!((decided.fail[0].staleness.age_ms, decided.fail[0].staleness.lag()), (36_000_000, 1));
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn the_words_of_the_database() {
    let phases: Vec<_> =
        Phase::ALL.into_iter().map(|phase| (phase.as_str(), phase.status().as_str())).collect();
    let expected = [("pending", "pending"), ("processing", "processing"), ("heartbeating", "processing")];
    assert_eq!(phases, expected);
    assert_eq!(Active::ALL.map(|status| status.to_string()), ["pending", "processing"]);
    let actions = [Action::Fail, Action::Retry].map(|action| (action.as_str(), action.outcome()));
    assert_eq!(actions, [("fail", "failed"), ("retry", "retried")]);
    let units = [Unit::TenthsOfHours, Unit::Minutes, Unit::Seconds, Unit::Days].map(Unit::as_str);
    assert_eq!(units, ["hour", "minute", "second", "day"]);
    let badges = ["pending", "processing", "draft", "published", "failed", "retrying", "needs_attention"];
    assert_eq!(Badge::ALL.map(Badge::code), badges);
    let field = Field::QueuedAt;
    let unreadable = [
        Unreadable::UnknownStatus,
        Unreadable::Missing,
        Unreadable::Malformed(field),
        Unreadable::Implausible(field),
        Unreadable::Future(now()),
    ];
    assert_eq!(unreadable.map(Unreadable::field), [None, None, Some(field), Some(field), None]);
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn a_start_that_comes_once_more_while_the_worker_lives() {
    let ago = |ms: i64| Time::from_millis(NOW - ms);
    let again = |status, started_at, heartbeat_at| {
        let draft = Draft { status: Some(status), started_at, heartbeat_at, ..Draft::default() };
        draft.started_again(now())
    };
    let processing = |started, heartbeat| again(Status::Processing, started, heartbeat);
    // Sooner, an answer was lost.
    assert_eq!(processing(ago(60_000), Time::Missing), None);
    assert_eq!(processing(ago(60_001), Time::Missing), Some(60_001));
    // Longer after its last heartbeat, the first run has died.
    assert_eq!(processing(ago(90_000), ago(60_000)), Some(90_000));
    assert_eq!(processing(ago(90_000), ago(60_001)), None);
    assert_eq!(processing(ago(90_000), Time::Malformed), None);
    assert_eq!(processing(Time::Missing, ago(1)), None);
    assert_eq!(again(Status::Failed, ago(90_000), ago(1)), None);
}

struct Written(String);

impl Sink for Written {
    fn text(&mut self, text: &str) {
        self.0.push_str(text);
    }
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn a_text_is_written_as_it_is() {
    let mut to = Written(String::new());
    "in 3 ".write(&mut to);
    to.number(120);
    assert_eq!(to.0, "in 3 120");
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn what_is_before_the_first_attempt_counts_as_the_first() {
    let retries = |attempt, attempts: u32| {
        let limits = policy(&serde_json::json!({ "attempts": attempts })).unwrap();
        let draft = Draft {
            status: Some(Status::Pending),
            attempt,
            created_at: time(&Value::from(3_600_001)),
            ..Draft::default()
        };
        match classify(&draft, now(), &limits) {
            Verdict::Stale(staleness) => staleness.action() == Action::Retry,
            other => panic!("it is stale, and not {other:?}"),
        }
    };
    assert_eq!([0, 1, 2].map(|attempt| retries(attempt, 1)), [false; 3]);
    assert_eq!([0, 1, 2, 3].map(|attempt| retries(attempt, 2)), [true, true, false, false]);
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn buckets() {
    for case in cases(include_str!("cases/buckets.json")) {
        let bucket = Bucket::of_user(case["user_id"].as_str().unwrap());
        assert_eq!(u64::from(bucket.number()), case["bucket"].as_u64().unwrap(), "{case}");
        assert_eq!(Bucket::new(bucket.number()), Some(bucket));
        let id = format!("019acf1e-7a00-8{:03x}-9c3d-2f1e0a9b8c7d", bucket.number());
        assert_eq!(Bucket::of_id(&id), Some(bucket), "{id}");
    }
    assert_eq!((Bucket::new(4_096), Bucket::new(4_095)), (None, Some(Bucket::LAST)));
    let none = [
        "",
        "fox",
        // Other versions, and what is no UUID.
        "019acf1e-7a00-7582-9c3d-2f1e0a9b8c7d",
        "019acf1e-7a00-8582-9c3d-2f1e0a9b8c7",
        "019acf1e-7a00-8582-9c3d-2f1e0a9b8c7dd",
        "019acf1e-7a00-8g82-9c3d-2f1e0a9b8c7d",
        "019acf1e-7a00-8582-9c3d-2f1e0a9b8c7x",
        "019acf1e+7a00-8582-9c3d-2f1e0a9b8c7d",
        "019acf1e-7a00-8582-9c3d-2f1e0a9b8cé",
    ];
    for id in none {
        assert_eq!(Bucket::of_id(id), None, "{id}");
    }
}

#[cfg_attr(not(target_arch = "wasm32"), test)]
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
fn sets_of_buckets() {
    let bucket = |number| Bucket::new(number).unwrap();
    let ranges =
        [(0, 7), (9, 9), (62, 130), (4_095, 4_095)].map(|(first, last)| bucket(first)..=bucket(last));
    let set: BucketSet = ranges.iter().cloned().collect();
    assert_eq!(set.ranges(), ranges);
    assert_eq!(set.to_string(), "0-7,9,62-130,4095");
    assert_eq!(format!("{set:?}"), "BucketSet(0-7,9,62-130,4095)");
    assert_eq!((set.len(), set.is_empty()), (79, false));
    let has = [0, 7, 8, 9, 10, 61, 62, 63, 64, 130, 131, 4_094, 4_095].map(|number| set.has(bucket(number)));
    assert_eq!(has, [true, true, false, true, false, false, true, true, true, true, false, false, true]);
    assert_eq!(BucketSet::ALL.without(&set).to_string(), "8,10-61,131-4094");
    assert_eq!(set.within(&BucketSet::default().with(bucket(5)..=bucket(62))).to_string(), "5-7,9,62");
    assert_eq!(set.and(&BucketSet::default().with(bucket(8)..=bucket(8))).to_string(), "0-9,62-130,4095");
    let none = BucketSet::default();
    assert_eq!((none.len(), none.is_empty(), none.to_string().as_str()), (0, true, ""));
    assert_eq!((BucketSet::ALL.len(), BucketSet::ALL.to_string().as_str()), (4_096, "0-4095"));
}
