//! What a source holds, counted.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use stale_drafts::rules::Status;

use crate::creation::{Creation, User};
use crate::document::Unreadable;

/// How many of the reasons are shown.
const SHOWN: usize = 10;

/// Counts and sums. Sums are exact whatever they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything that was read: what is below adds up to it.
    pub documents: u64,
    /// By status and kind: how many, and their tokens.
    pub creations: BTreeMap<(Status, String), (u64, u128)>,
    /// How many balances.
    pub users: u64,
    /// The sum of the balances.
    pub balances: u128,
    /// What failed and was not refunded in the old system.
    pub not_refunded: u64,
    /// Active creations without any time: no sweep fails them.
    pub without_time: u64,
    /// Documents of collections that the mapping does not name.
    pub others: BTreeMap<String, u64>,
    /// How many could not be read.
    pub unreadable: u64,
    /// The first of them.
    pub first_unreadable: Vec<Unreadable>,
}

impl Report {
    /// Counts a creation.
    pub fn creation(&mut self, creation: &Creation) {
        let (count, tokens) = self.creations.entry((creation.status, creation.kind.clone())).or_default();
        *count = count.saturating_add(1);
        *tokens = tokens.saturating_add(creation.tokens.into());
        if !creation.refunded {
            self.not_refunded = self.not_refunded.saturating_add(1);
        }
        let times = [creation.created_at, creation.started_at, creation.heartbeat_at];
        if creation.status.active().is_some() && times.iter().all(Option::is_none) {
            self.without_time = self.without_time.saturating_add(1);
        }
    }

    /// Counts a balance.
    pub fn user(&mut self, user: &User) {
        self.users = self.users.saturating_add(1);
        self.balances = self.balances.saturating_add(user.tokens.into());
    }

    /// Counts a document of another collection, by the collection's name.
    pub fn other(&mut self, collection: &str) {
        let name = collection.rsplit('/').next().unwrap_or_default();
        let count = self.others.entry(name.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts what could not be read.
    pub fn unreadable(&mut self, unreadable: &Unreadable) {
        self.unreadable = self.unreadable.saturating_add(1);
        if self.first_unreadable.len() < SHOWN {
            self.first_unreadable.push(unreadable.clone());
        }
    }

    /// How many creations there are in all.
    pub fn creations_in_all(&self) -> u64 {
        self.creations.values().fold(0, |sum, (count, _)| sum.saturating_add(*count))
    }

    /// As JSON. A sum that JSON's numbers do not hold exactly is text.
    pub fn json(&self) -> Json {
        let exact = |sum: u128| u64::try_from(sum).map_or_else(|_| json!(sum.to_string()), |sum| json!(sum));
        let creations: Vec<_> = self.creations.iter().map(|((status, kind), (count, tokens))| {
            json!({ "status": status.as_str(), "kind": kind, "creations": count, "tokens": exact(*tokens) })
        }).collect();
        let unreadable: Vec<_> = self
            .first_unreadable
            .iter()
            .map(|each| json!({ "path": each.path, "reason": each.reason }))
            .collect();
        json!({
            "documents": self.documents,
            "creations": creations,
            "users": self.users,
            "balances": exact(self.balances),
            "not_refunded": self.not_refunded,
            "without_time": self.without_time,
            "other_collections": self.others,
            "unreadable": self.unreadable,
            "first_unreadable": unreadable,
        })
    }
}
