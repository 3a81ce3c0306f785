//! Plans: complete, in order, harmless to repeat, and confirmed only as they were.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use stale_drafts::rules::{
    Candidate, Draft, Failure, LAGS, Plan, Planned, Policy, SkipReason, Status, Time, Timestamp, Unqualified,
    Verdict, classify, plan, recheck,
};

use crate::generate::{Crowd, MAX, crowd, passes};

fn candidates<'a>(ids: &'a [String], drafts: &[Draft<'a>]) -> Vec<Candidate<'a>> {
    ids.iter().zip(drafts).map(|(id, draft)| Candidate { id, draft: *draft }).collect()
}

/// The drafts as a sweep leaves them that carries out the plan.
fn apply<'a>(plan: &Plan<'_>, ids: &[String], drafts: &[Draft<'a>], now: Timestamp) -> Vec<Draft<'a>> {
    let has = |list: &[Failure<'_>], id: &str| list.iter().any(|failure| failure.id == id);
    let after = |(id, draft): (&String, &Draft<'a>)| {
        if has(&plan.fail, id) {
            Draft { status: Some(Status::Failed), ..*draft }
        } else if has(&plan.retry, id) {
            Draft {
                status: Some(Status::Pending),
                attempt: draft.attempt + 1,
                queued_at: Time::At(now),
                started_at: Time::Missing,
                heartbeat_at: Time::Missing,
                ..*draft
            }
        } else {
            *draft
        }
    };
    ids.iter().zip(drafts).map(after).collect()
}

fn planned<'a>(failure: &Failure<'a>) -> Planned<'a> {
    Planned {
        id: failure.id,
        stuck_status: Some(failure.staleness.stuck_status.status()),
        attempt: failure.staleness.attempt,
        last_sign_of_life: failure.staleness.last_sign_of_life.as_millis(),
        retries: failure.staleness.retries(),
    }
}

fn all<'p, 'a>(plan: &'p Plan<'a>) -> impl Iterator<Item = &'p Failure<'a>> {
    plan.fail.iter().chain(&plan.retry)
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
    fn a_plan_holds_every_candidate_once_and_in_order(Crowd { policy, now, drafts, ids } in crowd()) {
        let plan = plan(candidates(&ids, &drafts), now, &policy);
        let number = |id: &str| id.parse::<usize>().unwrap();
        let lists = [
            plan.fail.iter().map(|failure| number(failure.id)).collect::<Vec<_>>(),
            plan.retry.iter().map(|failure| number(failure.id)).collect(),
            plan.skip.iter().map(|skip| number(skip.id)).collect(),
        ];
        for list in &lists {
            prop_assert!(list.is_sorted_by(|a, b| a < b));
        }
        let mut seen = lists.concat();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..ids.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_plan_says_of_each_what_its_verdict_is(Crowd { policy, now, drafts, ids } in crowd()) {
        let plan = plan(candidates(&ids, &drafts), now, &policy);
        let verdict = |id: &str| classify(&drafts[id.parse::<usize>().unwrap()], now, &policy);
        for (list, retries) in [(&plan.fail, false), (&plan.retry, true)] {
            for failure in list {
                prop_assert_eq!(Verdict::Stale(failure.staleness), verdict(failure.id));
                prop_assert_eq!(failure.staleness.retries(), retries);
            }
        }
        for skip in &plan.skip {
            let expected = match skip.reason {
                SkipReason::Settled(status) => Verdict::Settled(status),
                SkipReason::Fresh { status, deadline } => Verdict::Fresh { status, deadline },
                SkipReason::Unreadable(reason) => Verdict::Unreadable(reason),
            };
            prop_assert_eq!(expected, verdict(skip.id));
        }
    }

    #[test]
    fn a_plan_of_two_lists_is_the_two_plans(Crowd { policy, now, drafts, ids } in crowd(), at in any::<usize>()) {
        let all = candidates(&ids, &drafts);
        let (head, tail) = all.split_at(at % (all.len() + 1));
        let [mut first, second] = [head, tail].map(|part| plan(part.iter().copied(), now, &policy));
        first.fail.extend(second.fail);
        first.retry.extend(second.retry);
        first.skip.extend(second.skip);
        prop_assert_eq!(first, plan(all, now, &policy));
    }

    #[test]
    fn planning_again_after_carrying_it_out_yields_nothing(Crowd { policy, now, drafts, ids } in crowd()) {
        let first = plan(candidates(&ids, &drafts), now, &policy);
        let after = apply(&first, &ids, &drafts, now);
        let second = plan(candidates(&ids, &after), now, &policy);
        prop_assert_eq!((second.fail, second.retry), (vec![], vec![]));
        // What was left alone is what it was.
        let untouched = |id: &str| !all(&first).any(|failure| failure.id == id);
        prop_assert_eq!(second.skip.into_iter().filter(|skip| untouched(skip.id)).collect::<Vec<_>>(), first.skip);
    }

    #[test]
    fn every_sweep_after_the_limits_uses_up_attempts(Crowd { policy, now, drafts, ids } in crowd()) {
        let mut drafts = drafts;
        let mut now = now;
        loop {
            let before = active(&drafts, &policy);
            let plan = plan(candidates(&ids, &drafts), now, &policy);
            if all(&plan).next().is_none() {
                break;
            }
            drafts = apply(&plan, &ids, &drafts, now);
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
        let plan = plan(all_candidates.iter().copied(), now, &policy);
        for failure in all(&plan) {
            let candidate = all_candidates.iter().find(|candidate| candidate.id == failure.id).unwrap();
            let planned = planned(failure);
            prop_assert_eq!(recheck(&planned, Some(candidate), now, &policy), Ok(*failure));
            let confirmed = recheck(&planned, Some(candidate), now.saturating_add(later), &policy);
            prop_assert_eq!(confirmed.map(|failure| failure.id), Ok(failure.id));
            prop_assert_eq!(recheck(&planned, None, now, &policy), Err(Unqualified::Gone));
        }
    }

    #[test]
    fn a_plan_that_was_carried_out_is_refused_with_a_reason(
        Crowd { policy, now, drafts, ids } in crowd(),
        later in passes(),
    ) {
        let plan = plan(candidates(&ids, &drafts), now, &policy);
        let after = apply(&plan, &ids, &drafts, now);
        let left = candidates(&ids, &after);
        for failure in all(&plan) {
            let candidate = left.iter().find(|candidate| candidate.id == failure.id);
            let expected = if failure.staleness.retries() {
                Unqualified::Restarted
            } else {
                Unqualified::Settled(Status::Failed)
            };
            for now in [now, now.saturating_add(later)] {
                prop_assert_eq!(recheck(&planned(failure), candidate, now, &policy), Err(expected));
            }
            prop_assert!(!expected.to_string().is_empty() && !expected.code().is_empty());
        }
    }

    #[test]
    fn a_plan_is_refused_where_what_it_rests_on_has_changed(
        Crowd { policy, now, drafts, ids } in crowd(),
        other in crowd(),
    ) {
        let plan = plan(candidates(&ids, &drafts), now, &policy);
        for (failure, draft) in all(&plan).zip(&other.drafts) {
            let candidate = Candidate { id: failure.id, draft: *draft };
            let planned = planned(failure);
            let answer = recheck(&planned, Some(&candidate), now, &policy);
            let same = matches!(classify(draft, now, &policy), Verdict::Stale(staleness)
                if staleness.attempt == planned.attempt
                && Some(staleness.stuck_status.status()) == planned.stuck_status
                && staleness.last_sign_of_life.as_millis() == planned.last_sign_of_life
                && staleness.retries() == planned.retries);
            prop_assert_eq!(answer.is_ok(), same);
            if let Err(reason) = answer {
                prop_assert!(!reason.to_string().is_empty() && !reason.code().is_empty());
            }
        }
    }

    #[test]
    fn a_lag_grows_with_the_time_since_the_deadline(Crowd { policy, now, drafts, ids } in crowd(), later in passes()) {
        let lags = |now| -> Vec<_> {
            let plan = plan(candidates(&ids, &drafts), now, &policy);
            all(&plan).map(|failure| (failure.id.to_owned(), failure.lag(), failure.staleness)).collect()
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
