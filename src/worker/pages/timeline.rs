//! What happened to a creation, in words.

use crate::rules::{CANCELLED, FAILED_BY_OPERATOR};
use crate::store::{Act, AttemptRow, GivenRow, LedgerRow};
use crate::worker::explanation::Explanation;
use crate::worker::pages::layout::{minute, tokens};

/// What happens in one instant is told in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Begun,
    Ended,
    Refunded,
    Charged,
    Queued,
    Other,
}

struct Timeline<'a> {
    of: &'a Explanation,
    lines: Vec<(i64, Order, String)>,
    /// The ids of the acts that other lines tell already.
    told: Vec<&'a str>,
}

/// What happened to it, the first first: epoch milliseconds, and a line of untrusted text.
pub(super) fn timeline(explanation: &Explanation) -> Vec<(i64, String)> {
    let mut timeline = Timeline { of: explanation, lines: Vec::new(), told: Vec::new() };
    timeline.attempts();
    timeline.present();
    timeline.money();
    timeline.more_time();
    timeline.sweep_notes();
    timeline.events();
    timeline.acts();
    let mut lines = timeline.lines;
    lines.sort_by_key(|(at, order, _)| (*at, *order));
    lines.into_iter().map(|(at, _, what)| (at, what)).collect()
}

fn signed(millis: Option<u64>) -> Option<i64> {
    millis.and_then(|millis| i64::try_from(millis).ok())
}

impl<'a> Timeline<'a> {
    fn add(&mut self, at: Option<i64>, order: Order, what: String) {
        self.lines.extend(at.map(|at| (at, order, what)));
    }

    /// Who did that, by the audit; what is told so is not told again.
    fn who(&mut self, action: &str, at: Option<i64>) -> Option<&'a str> {
        self.act(&[action], at).map(|act| act.actor.as_str())
    }

    fn act(&mut self, actions: &[&str], at: Option<i64>) -> Option<&'a Act> {
        let at = u64::try_from(at?).ok()?;
        let mut acts =
            self.of.acts.iter().filter(|act| actions.contains(&act.action.as_str()) && act.at == at);
        let act = acts.find(|act| !self.told.contains(&act.id.as_str()))?;
        self.told.push(&act.id);
        Some(act)
    }

    fn attempts(&mut self) {
        let of = self.of;
        for row in &of.attempts {
            let AttemptRow { attempt, outcome, worker, started_at, heartbeat_at, finished_at, .. } = row;
            let by = worker.as_ref().map(|worker| format!(" by {worker}")).unwrap_or_default();
            self.add(*started_at, Order::Begun, format!("Attempt {attempt} started{by}"));
            self.add(*heartbeat_at, Order::Begun, format!("Last heartbeat of attempt {attempt}"));
            let next = match outcome.as_str() {
                "retried" => "; another attempt follows",
                _ => "",
            };
            let error = (row.error.as_deref(), row.error_code.as_deref());
            let why = self.failure(*finished_at, error, row.rule.as_deref(), row.sweep_id.as_deref());
            self.add(*finished_at, Order::Ended, format!("Attempt {attempt}: {why}{next}"));
        }
    }

    fn present(&mut self) {
        let of = self.of;
        let draft = &of.creation;
        self.add(signed(draft.created_at), Order::Begun, String::from("Created"));
        let attempt = draft.attempt;
        self.add(signed(draft.queued_at), Order::Queued, format!("Queued for attempt {attempt}"));
        // Of one that was restored, the attempts tell it.
        if of.attempts.iter().all(|row| row.attempt != attempt) {
            let by = of.worker.as_ref().map(|worker| format!(" by {worker}")).unwrap_or_default();
            self.add(signed(draft.started_at), Order::Begun, format!("Attempt {attempt} started{by}"));
            self.add(
                signed(draft.heartbeat_at),
                Order::Begun,
                format!("Last heartbeat of attempt {attempt}"),
            );
        }
        let ended = match draft.stored_status.as_str() {
            "failed" => {
                let sweep = of.ledger.iter().rev().find(|entry| Some(entry.created_at) == draft.finished_at);
                let sweep = sweep.and_then(|entry| entry.sweep_id.as_deref());
                let why = (draft.error.as_deref(), draft.error_code.as_deref());
                self.failure(draft.finished_at, why, of.rule.as_deref(), sweep)
            }
            _ => String::from("Finished"),
        };
        // One that was restored is said so, and its result came in before.
        if draft.restored_at.is_none() || draft.stored_status == "failed" {
            self.add(draft.finished_at, Order::Ended, ended);
        }
        let late = "A result came in too late and was kept";
        self.add(draft.late_at, Order::Other, String::from(late));
        if draft.restored_at.is_some() {
            let by = self.who("restore", draft.restored_at);
            let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
            self.add(draft.restored_at, Order::Ended, format!("The late result was restored{by}"));
        }
        self.add(draft.deleted_at, Order::Other, String::from("Deleted by its owner"));
    }

    /// Who or what failed it then, and why.
    fn failure(
        &mut self,
        at: Option<i64>,
        (error, code): (Option<&str>, Option<&str>),
        rule: Option<&str>,
        sweep: Option<&str>,
    ) -> String {
        let why = error.map(|error| format!(": {error}")).unwrap_or_default();
        match (code, rule) {
            (Some(CANCELLED), _) => {
                // The audit has all but owners.
                format!("Cancelled by {}", self.who("cancel", at).unwrap_or("its owner"))
            }
            (Some(FAILED_BY_OPERATOR), _) => {
                format!("Failed by {}{why}", self.who("fail", at).unwrap_or("an operator"))
            }
            (_, Some(rule)) => {
                let sweep = self.of.sweeps.iter().find(|known| Some(known.id()) == sweep);
                let sweep = sweep.map(|sweep| format!(" in a sweep ({})", sweep.by())).unwrap_or_default();
                format!("Failed by {rule}{sweep}{why}")
            }
            (_, None) => format!("Failed{why}"),
        }
    }

    fn money(&mut self) {
        let of = self.of;
        for LedgerRow { entry_key, kind, tokens: sum, created_at, .. } in &of.ledger {
            let sum = sum.unsigned_abs();
            let charge = number(entry_key, kind);
            let (order, what) = match (kind.as_str(), retried(&of.attempts, charge)) {
                ("charge", Some(attempt)) => {
                    let act = self.act(&["retry", "retry_in_bulk"], Some(*created_at));
                    let by = act.map_or("its owner", |act| &act.actor);
                    let why = match act {
                        Some(act) if act.action == "retry_in_bulk" && act.detail.is_empty() => {
                            String::from(", with others")
                        }
                        Some(act) if act.action == "retry_in_bulk" => {
                            format!(", with others ({})", act.detail)
                        }
                        _ => String::new(),
                    };
                    let attempt = attempt.saturating_add(1);
                    (Order::Charged, format!("Retried by {by}{why}. Charged again for attempt {attempt}"))
                }
                ("charge", None) => (Order::Begun, String::from("Charged")),
                ("refund", _) if sum < of.creation.tokens => {
                    (Order::Refunded, String::from("Refunded what was not used"))
                }
                ("refund", _) => (Order::Refunded, String::from("Refunded")),
                ("restore", _) => (Order::Charged, String::from("Charged again for the late result")),
                (other, _) => (Order::Charged, other.to_owned()),
            };
            self.add(Some(*created_at), order, format!("{what}: {}", tokens(sum)));
        }
    }

    fn more_time(&mut self) {
        let of = self.of;
        for GivenRow { scope, name, until, since, actor, reason, ended_at, ended_by } in &of.extensions {
            let whom = if scope == "kind" { format!("its kind `{name}`") } else { String::from("it") };
            let end = minute(u64::try_from(*until).unwrap_or(0));
            if scope != "kind" {
                self.who("extend", Some(*since));
            }
            let what = format!("{actor} gave {whom} more time until {end} UTC: {reason}");
            self.add(Some(*since), Order::Begun, what);
            let by = ended_by.as_deref().unwrap_or("somebody");
            self.add(*ended_at, Order::Other, format!("{by} ended the time that {actor} gave {whom}"));
        }
    }

    fn sweep_notes(&mut self) {
        for sweep in &self.of.sweeps {
            for Act { at, actor, detail, .. } in sweep.notes() {
                let what = format!("{actor} noted about the sweep ({}): {detail}", sweep.by());
                self.lines.extend(i64::try_from(*at).ok().map(|at| (at, Order::Other, what)));
            }
        }
    }

    /// What was delivered leaves nothing.
    fn events(&mut self) {
        for event in &self.of.events {
            let text = |key: &str| event.get(key).and_then(|value| value.as_str()).unwrap_or_default();
            let number = |key: &str| event.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0);
            let name = text("id").split(':').next().unwrap_or_default();
            let tried = match number("deliveries") {
                1 => String::from("tried once"),
                times => format!("tried {times} times"),
            };
            let why = text("last_error");
            let why = if why.is_empty() { String::new() } else { format!(": {why}") };
            let what = match text("state") {
                "dead" => format!("The event `{name}` could not be delivered, {tried}{why}"),
                _ => format!("The event `{name}` is to be delivered, {tried}{why}"),
            };
            self.lines.push((number("due_at"), Order::Other, what));
        }
    }

    fn acts(&mut self) {
        for Act { id, at, actor, action, detail } in &self.of.acts {
            if self.told.contains(&id.as_str()) {
                continue;
            }
            let done = match action.as_str() {
                "note" => "Noted",
                "retry" | "retry_in_bulk" => "Retried",
                "cancel" => "Cancelled",
                "fail" => "Failed",
                "restore" => "Restored",
                "extend" => "Given more time",
                other => other,
            };
            let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            let what = format!("{done} by {actor}{detail}");
            self.lines.extend(i64::try_from(*at).ok().map(|at| (at, Order::Other, what)));
        }
    }
}

/// The number of the charge that an entry is about: of `refund2:c1` the second.
fn number(entry_key: &str, kind: &str) -> usize {
    let number = entry_key.strip_prefix(kind).and_then(|rest| rest.split(':').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// The attempt that had failed before this charge; `None` before the first.
fn retried(attempts: &[AttemptRow], charge: usize) -> Option<u32> {
    let failed = attempts.iter().filter(|attempt| attempt.outcome == "failed");
    failed.map(|attempt| attempt.attempt).nth(charge.checked_sub(2)?)
}
