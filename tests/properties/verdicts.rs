//! Verdicts: one for every draft, which time moves in one direction only.

use std::collections::BTreeMap;

use proptest::prelude::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use stale_drafts::rules::{
    Action, Draft, Field, Limit, Status, Time, Timestamp, Unreadable, Verdict, badge, classify,
};

use crate::generate::{MAX, Scene, passes, scene};

/// What the rules say, in other words: times as a list, deadlines as whole numbers without a bound.
fn expected(Scene { terms, now, draft, .. }: &Scene) -> String {
    let Some(status) = draft.status else { return String::from("unknown_status") };
    let (field, entered) = match status {
        Status::Pending => (Field::QueuedAt, draft.queued_at),
        Status::Processing => (Field::StartedAt, draft.started_at),
        settled => return format!("settled {settled}"),
    };
    let times =
        [(Field::CreatedAt, draft.created_at), (field, entered), (Field::HeartbeatAt, draft.heartbeat_at)];
    for (field, time) in times {
        match time {
            Time::Malformed => return format!("malformed {}", field.as_str()),
            Time::Implausible => return format!("implausible {}", field.as_str()),
            Time::Missing | Time::At(_) => {}
        }
    }
    let known = |times: &[(Field, Time)]| times.iter().filter_map(|(_, time)| time.instant()).max();
    let Some(last) = known(&times) else { return String::from("missing") };
    match draft.extended_until {
        Time::Malformed => return String::from("malformed extended_until"),
        Time::Implausible => return String::from("implausible extended_until"),
        Time::Missing | Time::At(_) => {}
    }
    if last.as_millis() > now.as_millis() + 60_000 {
        return String::from("future");
    }
    let active = status.active().unwrap();
    let deadline = |since: Timestamp, limit| match limit {
        Limit::After(max_age) => {
            Some((u128::from(since.as_millis()) + u128::from(max_age.as_millis()), since))
        }
        Limit::Never => None,
    };
    let silence = deadline(last, terms.silence(draft.phase(active), draft.kind));
    let total = known(&times[..2])
        .filter(|_| status == Status::Processing)
        .and_then(|entered| deadline(entered, terms.total(draft.kind)));
    // The earlier one; what is beyond the end of time comes at its end.
    let capped = |(at, since): (u128, Timestamp)| (at.min(MAX as u128), since);
    let (silence, total) = (silence.map(capped), total.map(capped));
    let first = match (silence, total) {
        (Some(silence), Some(total)) if total.0 < silence.0 => Some(total),
        (silence, total) => silence.or(total),
    };
    // Nothing is stale before the end that an operator has given.
    let extended = draft.extended_until.instant().map_or(0, |until| u128::from(until.as_millis()));
    match first.map(|(at, since)| (at.max(extended), since)) {
        None => format!("fresh {active} for ever"),
        Some((at, since)) if u128::from(now.as_millis()) > at => {
            let age = now.as_millis() - since.as_millis();
            let retries = draft.attempt.max(1) < terms.attempts(draft.kind);
            format!("stale {active} since {} for {age} until {at}, again: {retries}", since.as_millis())
        }
        Some((at, _)) => format!("fresh {active} until {at}"),
    }
}

fn described(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Unreadable(Unreadable::UnknownStatus) => String::from("unknown_status"),
        Verdict::Unreadable(Unreadable::Missing) => String::from("missing"),
        Verdict::Unreadable(Unreadable::Malformed(field)) => format!("malformed {}", field.as_str()),
        Verdict::Unreadable(Unreadable::Implausible(field)) => format!("implausible {}", field.as_str()),
        Verdict::Unreadable(Unreadable::Future(_)) => String::from("future"),
        Verdict::Settled(status) => format!("settled {status}"),
        Verdict::Fresh { status, deadline: None, .. } => format!("fresh {status} for ever"),
        Verdict::Fresh { status, deadline: Some(at), .. } => {
            format!("fresh {status} until {}", at.as_millis())
        }
        Verdict::Stale(staleness) => format!(
            "stale {} since {} for {} until {}, again: {}",
            staleness.stuck_status,
            staleness.since.as_millis(),
            staleness.age_ms,
            staleness.deadline().as_millis(),
            staleness.action() == Action::Retry
        ),
    }
}

/// A draft whose every instant is so much later; `None` if one would be no instant any more.
fn shifted<'a>(draft: &Draft<'a>, by: i64) -> Option<Draft<'a>> {
    let shift = |time| match time {
        Time::At(at) => shifted_instant(at, by).map(Time::At),
        other => Some(other),
    };
    Some(Draft {
        created_at: shift(draft.created_at)?,
        queued_at: shift(draft.queued_at)?,
        started_at: shift(draft.started_at)?,
        heartbeat_at: shift(draft.heartbeat_at)?,
        extended_until: shift(draft.extended_until)?,
        ..*draft
    })
}

fn shifted_instant(at: Timestamp, by: i64) -> Option<Timestamp> {
    Timestamp::from_millis(i64::try_from(at.as_millis()).ok()?.checked_add(by)?)
}

/// Where a verdict stands in time: a future one, then fresh, then stale.
fn order(verdict: &Verdict) -> Option<u8> {
    match verdict {
        Verdict::Unreadable(Unreadable::Future(_)) => Some(0),
        Verdict::Fresh { .. } => Some(1),
        Verdict::Stale(_) => Some(2),
        Verdict::Settled(_) | Verdict::Unreadable(_) => None,
    }
}

fn deadline(verdict: &Verdict) -> Option<Option<Timestamp>> {
    match verdict {
        Verdict::Fresh { deadline, .. } => Some(*deadline),
        Verdict::Stale(staleness) => Some(Some(staleness.deadline())),
        Verdict::Settled(_) | Verdict::Unreadable(_) => None,
    }
}

proptest! {
    #[test]
    fn the_verdict_is_what_the_rules_say_in_other_words(scene in scene()) {
        let verdict = classify(&scene.draft, scene.now, &scene.policy);
        prop_assert_eq!(described(&verdict), expected(&scene));
    }

    #[test]
    fn every_draft_has_a_verdict_and_texts(Scene { policy, now, draft, .. } in scene()) {
        let verdict = classify(&draft, now, &policy);
        prop_assert!(!badge(&verdict).is_empty());
        match verdict {
            Verdict::Stale(staleness) => {
                prop_assert!(staleness.age_ms > staleness.max_age_ms);
                prop_assert!(staleness.deadline() < now);
                prop_assert!(staleness.since <= staleness.last_sign_of_life && staleness.since < now);
                prop_assert!(staleness.last_sign_of_life <= now.latest_sign_of_life());
                prop_assert!(staleness.error_text().to_string().starts_with("Generation timeout: Task stuck in "));
                prop_assert!(!staleness.rule.describe(staleness.stuck_status, draft.kind).is_empty());
            }
            Verdict::Fresh { deadline, .. } => prop_assert!(deadline.is_none_or(|deadline| deadline >= now)),
            Verdict::Settled(status) => prop_assert!(status.active().is_none()),
            Verdict::Unreadable(reason) => prop_assert!(!reason.code().is_empty() && !reason.to_string().is_empty()),
        }
    }

    #[test]
    fn what_is_stale_stays_stale(Scene { policy, now, draft, .. } in scene(), later in passes()) {
        if let Verdict::Stale(before) = classify(&draft, now, &policy) {
            let later = now.saturating_add(later);
            let Verdict::Stale(after) = classify(&draft, later, &policy) else { panic!("it was stale") };
            prop_assert_eq!(after.age_ms - before.age_ms, later.millis_since(now));
            // Nothing else moves with the clock.
            prop_assert_eq!(stale_drafts::rules::Staleness { age_ms: before.age_ms, ..after }, before);
        }
    }

    #[test]
    fn in_the_future_then_fresh_then_stale(Scene { policy, now, draft, .. } in scene(), later in passes()) {
        let verdicts = [now, now.saturating_add(later)].map(|now| classify(&draft, now, &policy));
        let [first, second] = verdicts;
        match (order(&first), order(&second)) {
            (Some(before), Some(after)) => prop_assert!(before <= after),
            // What does not depend on the clock does not move with it.
            _ => prop_assert_eq!(first, second),
        }
        if let (Some(first), Some(second)) = (deadline(&first), deadline(&second)) {
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn the_deadline_is_the_last_fresh_instant(Scene { policy, now, draft, .. } in scene()) {
        let Some(deadline) = deadline(&classify(&draft, now, &policy)) else { return Ok(()) };
        let Some(deadline) = deadline.filter(|deadline| *deadline < Timestamp::MAX) else {
            // It is never stale, or not before time ends.
            let fresh = matches!(classify(&draft, Timestamp::MAX, &policy), Verdict::Fresh { .. });
            prop_assert!(fresh);
            return Ok(());
        };
        let past = matches!(classify(&draft, deadline.saturating_add(1), &policy), Verdict::Stale(_));
        prop_assert!(past || draft.heartbeat_at.instant() > Some(deadline));
        let stale = matches!(classify(&draft, deadline, &policy), Verdict::Stale(_));
        prop_assert!(!stale);
    }

    #[test]
    fn only_differences_of_times_count(
        Scene { policy, now, draft, .. } in scene(),
        by in prop_oneof![-MAX..=MAX, -1_000_000_000..=1_000_000_000_i64],
    ) {
        let moved = shifted_instant(now, by).zip(shifted(&draft, by));
        let Some((now_then, draft_then)) = moved else { return Ok(()) };
        let verdicts = (classify(&draft, now, &policy), classify(&draft_then, now_then, &policy));
        prop_assert_eq!(badge(&verdicts.0), badge(&verdicts.1));
        match verdicts {
            (Verdict::Stale(here), Verdict::Stale(there)) => {
                let moved = stale_drafts::rules::Staleness {
                    since: shifted_instant(here.since, by).unwrap(),
                    last_sign_of_life: shifted_instant(here.last_sign_of_life, by).unwrap(),
                    entered: here.entered.map(|at| shifted_instant(at, by).unwrap()),
                    extended_until: here.extended_until.map(|at| shifted_instant(at, by).unwrap()),
                    ..here
                };
                prop_assert_eq!(moved, there);
                prop_assert_eq!(here.error_text().to_string(), there.error_text().to_string());
            }
            (
                Verdict::Fresh { status, deadline, limit, rule, .. },
                Verdict::Fresh { status: other, deadline: then, limit: limit_then, rule: rule_then, .. },
            ) => {
                prop_assert_eq!(status, other);
                // Where both deadlines end with time itself, either limit may be the one that applies.
                let ends = [deadline, then].contains(&Some(Timestamp::MAX));
                prop_assert!(ends || (limit, rule) == (limit_then, rule_then));
                prop_assert!(ends || deadline.and_then(|at| shifted_instant(at, by)) == then);
            }
            (
                Verdict::Unreadable(Unreadable::Future(here)),
                Verdict::Unreadable(Unreadable::Future(there)),
            ) => prop_assert_eq!(shifted_instant(here, by), Some(there)),
            (here, there) => prop_assert_eq!(here, there),
        }
    }

    #[test]
    fn a_later_heartbeat_of_a_worker_that_sends_them_never_makes_it_stale(
        Scene { policy, now, draft, .. } in scene(),
        later in passes(),
    ) {
        let Time::At(heartbeat) = draft.heartbeat_at else { return Ok(()) };
        let beats = draft.started_at.instant() <= Some(heartbeat);
        if !beats || !matches!(classify(&draft, now, &policy), Verdict::Fresh { .. }) {
            return Ok(());
        }
        let next = Draft { heartbeat_at: Time::At(heartbeat.saturating_add(later)), ..draft };
        let stale = matches!(classify(&next, now, &policy), Verdict::Stale(_));
        prop_assert!(!stale);
    }

    #[test]
    fn more_time_only_puts_the_deadline_off(Scene { policy, now, draft, .. } in scene(), until in passes()) {
        let until = Timestamp::EARLIEST_OF_CREATION.saturating_add(until).max(now.saturating_sub(until));
        let without = classify(&Draft { extended_until: Time::Missing, ..draft }, now, &policy);
        let with = classify(&Draft { extended_until: Time::At(until), ..draft }, now, &policy);
        match (deadline(&without), deadline(&with)) {
            (Some(Some(before)), Some(after)) => {
                prop_assert_eq!(after, Some(before.max(until)));
                let stale = matches!(with, Verdict::Stale(_));
                prop_assert_eq!(stale, before.max(until) < now);
            }
            // What has no deadline is as it was.
            _ => prop_assert_eq!(with, without),
        }
    }

    #[test]
    fn times_of_another_status_do_not_count(Scene { policy, now, draft, .. } in scene(), other in scene()) {
        let changed = match draft.status {
            Some(Status::Pending) => Draft { started_at: other.draft.started_at, ..draft },
            Some(Status::Processing) => Draft { queued_at: other.draft.queued_at, ..draft },
            _ => Draft { status: draft.status, kind: draft.kind, attempt: draft.attempt, ..other.draft },
        };
        prop_assert_eq!(classify(&changed, now, &policy), classify(&draft, now, &policy));
    }
}

/// A law says nothing of what is never made.
#[test]
fn what_is_made_reaches_everything() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..4_000 {
        let Scene { policy, now, draft, .. } = scene().new_tree(&mut runner).unwrap().current();
        let verdict = classify(&draft, now, &policy);
        let what = match verdict {
            Verdict::Settled(status) => format!("settled {status}"),
            Verdict::Fresh { deadline: None, .. } => String::from("never"),
            Verdict::Fresh { deadline: Some(at), .. } if at == now => String::from("at its limit"),
            Verdict::Fresh { extended_until: Some(_), .. } => String::from("put off"),
            Verdict::Fresh { .. } => String::from("fresh"),
            Verdict::Stale(staleness) if staleness.age_ms == staleness.max_age_ms + 1 => {
                String::from("1 ms beyond its limit")
            }
            Verdict::Stale(staleness) if staleness.action() == Action::Retry => {
                String::from("to be tried again")
            }
            Verdict::Stale(_) => String::from("to be failed"),
            Verdict::Unreadable(reason) => reason.to_string(),
        };
        *seen.entry(what).or_default() += 1;
        if let Verdict::Stale(staleness) = verdict {
            let rule = staleness.rule.describe(staleness.stuck_status, "*");
            *seen.entry(rule).or_default() += 1;
        }
    }
    let seldom: Vec<_> = seen.iter().filter(|(_, count)| **count < 5).collect();
    assert!(seen.len() == 34 && seldom.is_empty(), "{seen:#?}");
}
