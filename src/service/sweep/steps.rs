//! What a sweep carries out: each decision with its row, and what is made of them for the writes.

use std::collections::HashMap;

use crate::rules::{Action, Active, Decision, Rule};
use crate::store::{CandidateRow, PlanRow};

/// A decision with the row that it is about.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) decision: Decision<'a>,
    pub(super) row: &'a CandidateRow,
}

impl Step<'_> {
    pub(super) const fn action(&self) -> Action {
        self.decision.staleness.action()
    }

    /// Those that are failed come first, then by kind and owner.
    pub(super) fn likeness(&self) -> (bool, &str, &str) {
        (self.action() == Action::Retry, &self.row.kind, &self.row.user_id)
    }
}

/// Where a part that was rejected is split: between kinds, or else between owners, as near to its middle as can be. What a trigger or a
/// constraint rejects is mostly a matter of the two, and then a few transactions tell it from the others. What is alike is halved.
pub(super) fn seam(part: &[Step<'_>]) -> usize {
    let middle = part.len() / 2;
    let nearest = |of: &dyn Fn(&CandidateRow) -> &str| {
        let pairs = part.iter().zip(part.iter().skip(1)).zip(1..);
        let seams = pairs.filter(|((one, next), _)| of(one.row) != of(next.row)).map(|(_, at)| at);
        seams.min_by_key(|at| middle.abs_diff(*at))
    };
    nearest(&|row| &row.kind).or_else(|| nearest(&|row| &row.user_id)).unwrap_or(middle)
}

/// The decisions, each with its row.
pub(super) fn steps<'a>(
    decisions: impl IntoIterator<Item = Decision<'a>>,
    rows: &'a [CandidateRow],
) -> Vec<Step<'a>> {
    let rows: HashMap<_, _> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    let step = |decision: Decision<'a>| Some(Step { decision, row: rows.get(decision.id).copied()? });
    decisions.into_iter().filter_map(step).collect()
}

/// The steps as the writes take them.
pub(super) fn plan<'a>(steps: &[&Step<'a>]) -> Vec<PlanRow<'a>> {
    steps.iter().map(|step| PlanRow::new(&step.decision, step.row.tokens)).collect()
}

/// Creations of a transaction that are rolled up together.
struct Group<'a> {
    kind: &'a str,
    status: Active,
    rule: Rule,
    creations: u64,
    tokens: u64,
    lags: [u64; 6],
    lag_ms: u64,
}

/// What is rolled up if all of a transaction goes through: see `sweeps.counted`.
pub(super) fn counted(action: Action, steps: &[&Step<'_>]) -> String {
    // `(kind, status, rule)` are few: they are looked for one by one.
    let mut groups: Vec<Group<'_>> = Vec::new();
    for Step { decision, row } in steps {
        let staleness = decision.staleness;
        let (kind, status, rule) = (row.kind.as_str(), staleness.stuck_status, staleness.rule);
        let known = groups
            .iter()
            .position(|group| group.kind == kind && group.status == status && group.rule == rule);
        let at = known.unwrap_or_else(|| {
            groups.push(Group { kind, status, rule, creations: 0, tokens: 0, lags: [0; 6], lag_ms: 0 });
            groups.len().saturating_sub(1)
        });
        let Some(group) = groups.get_mut(at) else { continue };
        group.creations = group.creations.saturating_add(1);
        if action == Action::Fail {
            group.tokens = group.tokens.saturating_add(row.tokens);
        }
        group.lag_ms = group.lag_ms.saturating_add(staleness.late_ms());
        if let Some(lag) = group.lags.get_mut(staleness.lag()) {
            *lag = lag.saturating_add(1);
        }
    }
    let rows: Vec<_> = groups
        .into_iter()
        .map(|Group { kind, status, rule, creations, tokens, lags: [a, b, c, d, e, f], lag_ms }| {
            let (rule, status) = (rule.describe(status, kind), status.as_str());
            serde_json::json!([
                action.outcome(),
                kind,
                status,
                rule,
                creations,
                tokens,
                a,
                b,
                c,
                d,
                e,
                f,
                lag_ms
            ])
        })
        .collect();
    serde_json::Value::Array(rows).to_string()
}
