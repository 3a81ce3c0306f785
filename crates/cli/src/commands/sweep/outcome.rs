//! What the plans of a run did.

use serde_json::{Value, json};

use crate::commands::note_left_out;
use crate::format::{is_retry, sum, summary};
use crate::output::{self, WARNING, count, list, note, number, styled, text};

#[derive(Default)]
pub struct Outcome {
    /// Creations that were marked failed or retried.
    pub creations: Vec<Value>,
    /// Creations that changed during the sweep.
    raced: u64,
    rejected: Vec<Value>,
    skipped: Vec<Value>,
    /// Of several databases, those that were not reached, each with its error.
    unreached: Vec<Value>,
    /// On whom the last plan did not decide, because of a move.
    left_out: Vec<Value>,
    sweep_ids: Vec<Value>,
    pub plan_ids: Vec<Value>,
    /// Ctrl-C stopped it.
    pub interrupted: bool,
    /// Stale creations remain that it should have marked.
    pub more: bool,
}

impl Outcome {
    /// Adds the answer to a plan.
    pub fn add(&mut self, answer: &Value) {
        self.creations.extend_from_slice(list(answer, "creations"));
        self.raced = self.raced.saturating_add(number(answer, "raced"));
        self.rejected.extend_from_slice(list(answer, "rejected"));
        self.skipped.extend_from_slice(list(answer, "skipped"));
        self.unreached.extend(super::unreached(answer).cloned());
        self.left_out = list(answer, "left_out").to_vec();
        self.sweep_ids.extend(answer.get("sweep_id").cloned());
    }

    /// Whether everything that was asked for is done.
    pub fn is_complete(&self) -> bool {
        !self.interrupted
            && !self.more
            && self.raced == 0
            && self.rejected.is_empty()
            && self.unreached.is_empty()
            && self.skipped.is_empty()
    }

    pub fn json(&self) -> Value {
        let (retried, failed): (Vec<_>, Vec<_>) = self.creations.iter().partition(|row| is_retry(row));
        json!({
            "success": self.is_complete(),
            "marked_as_failed": failed.len(),
            "retried": retried.len(),
            "refunded_tokens": sum(failed.iter().copied(), "tokens"),
            "raced": self.raced,
            "rejected": self.rejected,
            "skipped": self.skipped,
            "unreached": self.unreached,
            "left_out": self.left_out,
            "creations": self.creations,
            "sweep_ids": self.sweep_ids,
            "plan_ids": self.plan_ids,
            "interrupted": self.interrupted,
            "more": self.more,
        })
    }

    /// Prints it as a table or as JSON, and what was left out to stderr.
    pub fn show(&self, json: bool) {
        if json {
            output::json(&self.json());
        } else {
            super::table(&self.creations);
        }
        for row in &self.skipped {
            note(format!("{} {}: {}", styled(WARNING, "skipped:"), text(row, "id"), text(row, "message")));
        }
        for row in &self.rejected {
            let label = styled(WARNING, "rejected by the database:");
            note(format!("{label} {}: {}", text(row, "id"), text(row, "error")));
        }
        for shard in &self.unreached {
            let label = styled(WARNING, "not reached:");
            note(format!("{label} {}: {}", text(shard, "shard"), text(shard, "error")));
        }
        note_left_out(&json!({ "left_out": self.left_out }));
        if self.raced > 0 {
            let raced = count(self.raced, "creation");
            note(format!("{} {raced} changed during the sweep", styled(WARNING, "skipped:")));
        }
        note(format!("{}.", summary(&self.creations, "")));
        if self.interrupted {
            note("Interrupted between two transactions: run it again for the rest.");
        } else if self.more {
            note("More are stale: run it again.");
        }
    }
}
