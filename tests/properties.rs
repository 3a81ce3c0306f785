//! Laws that the rules keep on any input.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]
#![cfg(not(target_arch = "wasm32"))]

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use stale_drafts::rules::{
    Age, Candidate, Draft, MaxAge, Policy, Setting, Status, Time, Timestamp, Verdict, badge, classify, plan,
};

fn status() -> impl Strategy<Value = Option<Status>> {
    prop_oneof![Just(None), (0..Status::ALL.len()).prop_map(|at| Some(Status::ALL[at]))]
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        Just(Time::Missing),
        Just(Time::Malformed),
        any::<i64>().prop_map(Time::from_millis),
        (1_700_000_000_000_i64 - 10_000_000..1_700_000_000_000 + 10_000_000).prop_map(Time::from_millis),
    ]
}

fn draft() -> impl Strategy<Value = Draft<'static>> {
    (status(), 1..4_u32, time(), time(), time(), time()).prop_map(
        |(status, attempt, created_at, queued_at, started_at, heartbeat_at)| Draft {
            status,
            kind: "image",
            attempt,
            created_at,
            queued_at,
            started_at,
            heartbeat_at,
        },
    )
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    prop_oneof![0..=8_640_000_000_000_000_i64, 1_699_999_000_000..1_700_001_000_000_i64]
        .prop_map(|millis| Timestamp::from_millis(millis).unwrap())
}

fn policy() -> impl Strategy<Value = Policy> {
    let number = || prop_oneof![1e-6..1e9_f64, 0.5..5.0_f64];
    (number(), number(), number(), 1..4_u32).prop_map(|(hours, minutes, total, attempts)| {
        Policy::from_settings([
            (["max_age_hours"].as_slice(), Setting::Number(hours, "")),
            (["heartbeat_minutes"].as_slice(), Setting::Number(minutes, "")),
            (["total_hours"].as_slice(), Setting::Number(total, "")),
            (["attempts"].as_slice(), Setting::Number(f64::from(attempts), "")),
        ])
        .unwrap()
    })
}

proptest! {
    #[test]
    fn every_draft_has_a_verdict_and_texts(draft in draft(), now in timestamp(), policy in policy()) {
        let verdict = classify(&draft, now, &policy);
        prop_assert!(!badge(&verdict).is_empty());
        match verdict {
            Verdict::Stale(staleness) => {
                prop_assert!(staleness.age_ms > staleness.max_age_ms);
                prop_assert!(staleness.deadline() < now);
                prop_assert!(staleness.error_text().to_string().starts_with("Generation timeout: Task stuck in "));
            }
            Verdict::Fresh { deadline: Some(deadline), .. } => prop_assert!(deadline >= now),
            Verdict::Fresh { deadline: None, .. } => prop_assert!(false, "no limit is `never`"),
            Verdict::Settled(status) => prop_assert!(status.active().is_none()),
            Verdict::Unreadable(_) => {}
        }
    }

    #[test]
    fn what_is_stale_stays_stale(draft in draft(), now in timestamp(), later in 0..10_000_000_u64, policy in policy()) {
        if let Verdict::Stale(before) = classify(&draft, now, &policy) {
            let Verdict::Stale(after) = classify(&draft, now.saturating_add(later), &policy) else {
                panic!("it was stale");
            };
            prop_assert!(after.age_ms >= before.age_ms);
            prop_assert_eq!(after.deadline(), before.deadline());
        }
    }

    #[test]
    fn the_deadline_is_the_last_fresh_instant(draft in draft(), now in timestamp(), policy in policy()) {
        if let Verdict::Fresh { deadline: Some(deadline), .. } = classify(&draft, now, &policy)
            && deadline < Timestamp::MAX
        {
            let at_deadline = matches!(classify(&draft, deadline, &policy), Verdict::Fresh { .. });
            prop_assert!(at_deadline);
            let past = matches!(classify(&draft, deadline.saturating_add(1), &policy), Verdict::Stale(_));
            prop_assert!(past);
        }
    }

    #[test]
    fn a_plan_holds_every_candidate_once(drafts in proptest::collection::vec(draft(), 0..20), now in timestamp()) {
        let ids: Vec<_> = (0..drafts.len()).map(|n| n.to_string()).collect();
        let candidates = ids.iter().zip(&drafts).map(|(id, draft)| Candidate { id, draft: *draft });
        let plan = plan(candidates, now, &Policy::default());
        let mut seen: Vec<_> = plan.fail.iter().chain(&plan.retry).map(|f| f.id).chain(plan.skip.iter().map(|s| s.id)).collect();
        seen.sort_by_key(|id| id.parse::<usize>().unwrap());
        prop_assert_eq!(seen, ids.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn hours_have_one_decimal_half_up(age_ms in 3_600_000..10_000_000_000_u64) {
        let text = Age(age_ms).to_string();
        let tenths: u64 = text.strip_suffix(" hours").unwrap().replace('.', "").parse().unwrap();
        // tenths − ½ ≤ age < tenths + ½, in units of six minutes.
        prop_assert!(tenths * 360_000 <= age_ms + 180_000 && age_ms + 180_000 < (tenths + 1) * 360_000);
    }

    #[test]
    fn hours_are_read_back(millis in 1..=8_640_000_000_000_u64) {
        let hours = millis as f64 / 3_600_000.0;
        prop_assert_eq!(hours.to_string().parse::<MaxAge>().map(MaxAge::as_millis), Ok(millis));
    }

    #[test]
    fn any_text_is_a_status_or_an_error(text in ".*") {
        match text.parse::<Status>() {
            Ok(status) => prop_assert_eq!(status.as_str(), text),
            Err(error) => {
                let quoted = error.to_string().contains(&format!("`{text}`"));
                prop_assert!(quoted);
            }
        }
    }
}
