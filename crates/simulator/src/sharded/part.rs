//! The rows of some users.

use std::rc::Rc;

use crate::image::Image;

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
    part
}

/// What counts of `all`: the rows of those whose home it is, and what is nobody's.
pub fn that_counts(all: &Rc<Image>, is_home: impl Fn(&str) -> bool) -> Rc<Image> {
    let owners = all.creations.values().map(|row| row.user_id.as_str());
    let owners = owners.chain(all.ledger.values().map(|entry| entry.user_id.as_str()));
    if owners.chain(all.balances.keys().map(String::as_str)).all(&is_home) {
        return Rc::clone(all);
    }
    let Image { shard, sweeps, events, moves, extensions, audit, .. } = Image::clone(all);
    Rc::new(Image { shard, sweeps, events, moves, extensions, audit, ..of_users(all, is_home) })
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
