//! The rows of some users.

use std::rc::Rc;

use crate::image::{Audit, Image};

/// What of `all` is these users', and nothing that is nobody's.
pub fn of_users(all: &Image, is_one: impl Fn(&str) -> bool) -> Image {
    let of_creation = |id: &str| all.creations.get(id).is_some_and(|row| is_one(&row.user_id));
    let mut part = Image::default();
    let creations = all.creations.iter().filter(|(_, row)| is_one(&row.user_id));
    part.creations.extend(creations.map(|(id, row)| (id.clone(), row.clone())));
    let entries = all.ledger.iter().filter(|(_, entry)| is_one(&entry.user_id));
    part.ledger.extend(entries.map(|(key, entry)| (key.clone(), entry.clone())));
    let balances = all.balances.iter().filter(|(user, _)| is_one(user));
    part.balances.extend(balances.map(|(user, tokens)| (user.clone(), *tokens)));
    let attempts = all.attempts.iter().filter(|((id, _), _)| of_creation(id));
    part.attempts.extend(attempts.map(|(key, row)| (key.clone(), row.clone())));
    let rejected = all.rejected.iter().filter(|(id, _)| of_creation(id));
    part.rejected.extend(rejected.map(|(id, until)| (id.clone(), *until)));
    let given =
        all.extensions.iter().filter(|((scope, name, _), _)| scope == "creation" && of_creation(name));
    part.extensions.extend(given.map(|(key, row)| (key.clone(), row.clone())));
    let about = |row: &Audit| {
        row.subject.as_deref().and_then(|of| of.strip_prefix("creation:")).is_some_and(of_creation)
    };
    let audit = all.audit.iter().filter(|(_, row)| about(row));
    part.audit.extend(audit.map(|(id, row)| (id.clone(), row.clone())));
    part
}

/// What counts of `all`: the rows of those whose home it is, and what is nobody's.
pub fn that_counts(all: &Rc<Image>, is_home: impl Fn(&str) -> bool) -> Rc<Image> {
    let owners = all.creations.values().map(|row| row.user_id.as_str());
    let owners = owners.chain(all.ledger.values().map(|entry| entry.user_id.as_str()));
    if owners.chain(all.balances.keys().map(String::as_str)).all(&is_home) {
        return Rc::clone(all);
    }
    let part = of_users(all, is_home);
    let Image { shard, sweeps, events, moves, mut extensions, mut audit, .. } = Image::clone(all);
    // What is about a creation goes with its owner, and what is about a kind stays.
    extensions.retain(|key, _| key.0 == "kind" || part.extensions.contains_key(key));
    audit.retain(|id, row| row.subject.is_none() || part.audit.contains_key(id));
    Rc::new(Image { shard, sweeps, events, moves, extensions, audit, ..part })
}

/// Where one differs from the other, in words.
pub fn difference(one: &Image, other: &Image) -> String {
    let first = |what: &str, differs: Option<String>| differs.map(|at| format!("{what} {at}"));
    fn differs<K: Ord + Clone + std::fmt::Debug, V: PartialEq>(
        one: &std::collections::BTreeMap<K, V>,
        other: &std::collections::BTreeMap<K, V>,
    ) -> Option<String> {
        let at = one.keys().chain(other.keys()).find(|key| one.get(*key) != other.get(*key));
        at.map(|key| format!("{key:?}"))
    }
    first("the creation", differs(&one.creations, &other.creations))
        .or_else(|| first("the entry", differs(&one.ledger, &other.ledger)))
        .or_else(|| first("the balance of", differs(&one.balances, &other.balances)))
        .or_else(|| first("the attempt", differs(&one.attempts, &other.attempts)))
        .or_else(|| first("what was set aside of", differs(&one.rejected, &other.rejected)))
        .unwrap_or_else(|| String::from("what is nobody's"))
}
