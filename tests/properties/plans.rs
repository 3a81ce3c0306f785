//! Decisions: complete, in order, harmless to repeat, and confirmed only as they were.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use stale_drafts::rules::{
    Action, Candidate, Decision, Decisions, Draft, LAGS, Planned, Policy, SkipReason, Status, Time,
    Timestamp, Verdict, classify, decide, recheck,
};

use crate::generate::{Crowd, MAX, crowd, passes};

fn candidates<'a>(ids: &'a [String], drafts: &[Draft<'a>]) -> Vec<Candidate<'a>> {
    ids.iter().zip(drafts).map(|(id, draft)| Candidate { id, draft: *draft }).collect()
}

/// The drafts as a sweep leaves them that carries out the plan.
fn apply<'a>(
    decisions: &Decisions<'_>,
    ids: &[String],
    drafts: &[Draft<'a>],
    now: Timestamp,
) -> Vec<Draft<'a>> {
    let has = |list: &[Decision<'_>], id: &str| list.iter().any(|decision| decision.id == id);
    let after = |(id, draft): (&String, &Draft<'a>)| {
        if has(&decisions.fail, id) {
            Draft { status: Some(Status::Failed), ..*draft }
        } else if has(&decisions.retry, id) {
            Draft {
                status: Some(Status::Pending),
                attempt: draft.attempt + 1,
                queued_at: Time::At(now),
                started_at: Time::Missing,
                heartbeat_at: Time::Missing,
                extended_until: Time::Missing,
                ..*draft
            }
        } else {
            *draft
        }
    };
    ids.iter().zip(drafts).map(after).collect()
}

fn planned<'a>(decision: &Decision<'a>) -> Planned<'a> {
    Planned {
        id: decision.id,
        stuck_status: Some(decision.staleness.stuck_status.status()),
        attempt: decision.staleness.attempt,
        last_sign_of_life: decision.staleness.last_sign_of_life.as_millis(),
        action: decision.staleness.action(),
    }
}

fn all<'p, 'a>(decisions: &'p Decisions<'a>) -> impl Iterator<Item = &'p Decision<'a>> {
    decisions.fail.iter().chain(&decisions.retry)
}

fn active(drafts: &[Draft<'_>], policy: &Policy) -> u64 {
    let left = |draft: &Draft<'_>| u64::from(policy.attempts(draft.kind).get().saturating_sub(draft.attempt));
    drafts
        .iter()
        .filter(|draft| draft.status.and_then(Status::active).is_some())
        .map(|draft| 1 + left(draft))
        .sum()
}

proptest! {
    #[test]
    fn what_is_neither_settled_nor_fresh_is_decided_once_and_in_order(Crowd { policy, now, drafts, ids } in crowd()) {
        let decisions = decide(candidates(&ids, &drafts), now, &policy);
        let number = |id: &str| id.parse::<usize>().unwrap();
        let lists = [
            decisions.fail.iter().map(|decision| number(decision.id)).collect::<Vec<_>>(),
            decisions.retry.iter().map(|decision| number(decision.id)).collect(),
            decisions.unreadable.iter().map(|(id, _)| number(id)).collect(),
        ];
        for list in &lists {
            prop_assert!(list.is_sorted_by(|a, b| a < b));
        }
        let mut seen = lists.concat();
        seen.sort_unstable();
        let decided = |draft: &Draft<'_>| {
            !matches!(classify(draft, now, &policy), Verdict::Settled(_) | Verdict::Fresh { .. })
        };
        let expected: Vec<_> = (0..ids.len()).filter(|at| decided(&drafts[*at])).collect();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn a_plan_says_of_each_what_its_verdict_is(Crowd { policy, now, drafts, ids } in crowd()) {
        let decisions = decide(candidates(&ids, &drafts), now, &policy);
        let verdict = |id: &str| classify(&drafts[id.parse::<usize>().unwrap()], now, &policy);
        for (list, action) in [(&decisions.fail, Action::Fail), (&decisions.retry, Action::Retry)] {
            for decision in list {
                prop_assert_eq!(Verdict::Stale(decision.staleness), verdict(decision.id));
                prop_assert_eq!(decision.staleness.action(), action);
            }
        }
        for (id, reason) in &decisions.unreadable {
            prop_assert_eq!(Verdict::Unreadable(*reason), verdict(id));
        }
    }

    #[test]
    fn a_plan_of_two_lists_is_the_two_plans(Crowd { policy, now, drafts, ids } in crowd(), at in any::<usize>()) {
        let all = candidates(&ids, &drafts);
        let (head, tail) = all.split_at(at % (all.len() + 1));
        let [mut first, second] = [head, tail].map(|part| decide(part.iter().copied(), now, &policy));
        first.fail.extend(second.fail);
        first.retry.extend(second.retry);
        first.unreadable.extend(second.unreadable);
        prop_assert_eq!(first, decide(all, now, &policy));
    }

    #[test]
    fn planning_again_after_carrying_it_out_yields_nothing(Crowd { policy, now, drafts, ids } in crowd()) {
        let first = decide(candidates(&ids, &drafts), now, &policy);
        let after = apply(&first, &ids, &drafts, now);
        let second = decide(candidates(&ids, &after), now, &policy);
        prop_assert_eq!((second.fail, second.retry), (vec![], vec![]));
        // What was left alone is what it was.
        prop_assert_eq!(second.unreadable, first.unreadable);
    }

    #[test]
    fn every_sweep_after_the_limits_uses_up_attempts(Crowd { policy, now, drafts, ids } in crowd()) {
        let mut drafts = drafts;
        let mut now = now;
        loop {
            let before = active(&drafts, &policy);
            let decisions = decide(candidates(&ids, &drafts), now, &policy);
            if all(&decisions).next().is_none() {
                break;
            }
            drafts = apply(&decisions, &ids, &drafts, now);
            // Failing takes one away, and so does putting back: it ends.
            prop_assert!(active(&drafts, &policy) < before);
            now = now.saturating_add(100 * 3_600_000);
        }
    }

    #[test]
    fn a_plan_is_confirmed_as_long_as_nothing_has_changed(
        Crowd { policy, now, drafts, ids } in crowd(),
        later in passes(),
    ) {
        let all_candidates = candidates(&ids, &drafts);
        let decisions = decide(all_candidates.iter().copied(), now, &policy);
        for decision in all(&decisions) {
            let candidate = all_candidates.iter().find(|candidate| candidate.id == decision.id).unwrap();
            let planned = planned(decision);
            prop_assert_eq!(recheck(&planned, Some(candidate), now, &policy), Ok(*decision));
            let confirmed = recheck(&planned, Some(candidate), now.saturating_add(later), &policy);
            prop_assert_eq!(confirmed.map(|decision| decision.id), Ok(decision.id));
            prop_assert_eq!(recheck(&planned, None, now, &policy), Err(SkipReason::Gone));
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_is_refused_with_a_reason(
        Crowd { policy, now, drafts, ids } in crowd(),
        later in passes(),
    ) {
        let decisions = decide(candidates(&ids, &drafts), now, &policy);
        let after = apply(&decisions, &ids, &drafts, now);
        let left = candidates(&ids, &after);
        for decision in all(&decisions) {
            let candidate = left.iter().find(|candidate| candidate.id == decision.id);
            let expected = if decision.staleness.action() == Action::Retry {
                SkipReason::Restarted
            } else {
                SkipReason::Settled(Status::Failed)
            };
            for now in [now, now.saturating_add(later)] {
                prop_assert_eq!(recheck(&planned(decision), candidate, now, &policy), Err(expected));
            }
            prop_assert!(!expected.to_string().is_empty() && !expected.code().is_empty());
        }
    }

    #[test]
    fn a_plan_is_refused_where_what_it_rests_on_has_changed(
        Crowd { policy, now, drafts, ids } in crowd(),
        other in crowd(),
    ) {
        let decisions = decide(candidates(&ids, &drafts), now, &policy);
        for (decision, draft) in all(&decisions).zip(&other.drafts) {
            let candidate = Candidate { id: decision.id, draft: *draft };
            let planned = planned(decision);
            let answer = recheck(&planned, Some(&candidate), now, &policy);
            let same = matches!(classify(draft, now, &policy), Verdict::Stale(staleness)
                if staleness.attempt == planned.attempt
                && Some(staleness.stuck_status.status()) == planned.stuck_status
                && staleness.last_sign_of_life.as_millis() == planned.last_sign_of_life
                && staleness.action() == planned.action);
            prop_assert_eq!(answer.is_ok(), same);
            if let Err(reason) = answer {
                prop_assert!(!reason.to_string().is_empty() && !reason.code().is_empty());
            }
        }
    }

    #[test]
    fn a_lag_grows_with_the_time_since_the_deadline(Crowd { policy, now, drafts, ids } in crowd(), later in passes()) {
        let lags = |now| -> Vec<_> {
            let decisions = decide(candidates(&ids, &drafts), now, &policy);
            all(&decisions).map(|decision| (decision.id.to_owned(), decision.staleness.lag(), decision.staleness)).collect()
        };
        let later = lags(now.saturating_add(later));
        for (id, lag, staleness) in lags(now) {
            let late = now.millis_since(staleness.deadline());
            prop_assert!(late >= 1 && late <= MAX as u64);
            prop_assert_eq!(lag, LAGS.iter().filter(|limit| late > **limit).count());
            let (_, after, _) = later.iter().find(|(other, ..)| *other == id).unwrap();
            prop_assert!(*after >= lag);
        }
    }
}
