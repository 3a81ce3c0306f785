//! What holds at every moment, whatever came before.

use std::collections::BTreeMap;

use stale_drafts::rules::Status;

use crate::image::{Creation, Entry, Image};
use crate::world::Violation;

/// Checks everything that stands.
pub fn check(image: &Image) -> Result<(), Violation> {
    let mut entries: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for entry in image.ledger.values() {
        let sum = sums.entry(&entry.user_id).or_default();
        *sum = sum.saturating_add(entry.tokens);
        if let Some(id) = &entry.creation_id {
            entries.entry(id).or_default().push(entry);
        }
    }
    for creation in image.creations.values() {
        money(creation, entries.get(creation.id.as_str()).map(Vec::as_slice).unwrap_or_default())?;
    }
    balances(image, &sums)?;
    for creation in image.creations.values() {
        attempts(creation, image)?;
        gone(creation)?;
        if creation.last_sign_of_life != creation.sign_of_life() {
            return Err(Violation::new(
                "one-last-sign-of-life",
                format!(
                    "the database takes {:?} for the last sign of life of {}, and the rules take {:?}",
                    creation.last_sign_of_life,
                    creation.id,
                    creation.sign_of_life()
                ),
            ));
        }
    }
    Ok(())
}

/// Every creation is charged once; refunded once if it failed, with the same number; charged again if it was restored.
fn money(creation: &Creation, entries: &[&Entry]) -> Result<(), Violation> {
    let Creation { id, user_id, status, tokens, restored_at, balance_elsewhere, .. } = creation;
    let of = |kind| entries.iter().filter(move |entry| entry.kind == kind);
    let keys = |kind| of(kind).map(|entry| entry.key.as_str()).collect::<Vec<_>>().join(" and ");
    let (charges, refunds, restores) = (of("charge").count(), of("refund").count(), of("restore").count());
    if refunds > 1 {
        let found = format!("{id} was refunded {refunds} times: {}", keys("refund"));
        return Err(Violation::new("refunded-once", found));
    }
    for entry in entries {
        let right = if entry.kind == "refund" { *tokens } else { tokens.saturating_neg() };
        if entry.tokens != right || entry.user_id != *user_id {
            let found = format!(
                "{} of {} tokens for {} is not what {id} of {user_id} cost: {tokens}",
                entry.key, entry.tokens, entry.user_id
            );
            return Err(Violation::new("the-refund-is-the-charge", found));
        }
    }
    // What an app has charged is noted with the refund.
    let noted = !balance_elsewhere || *status == Status::Failed || restored_at.is_some();
    if charges != usize::from(*tokens > 0 && noted) {
        let found = format!("{id} costs {tokens} tokens and was charged {charges} times");
        return Err(Violation::new("charged-once", found));
    }
    if *tokens == 0 {
        return Ok(());
    }
    if restores != usize::from(restored_at.is_some()) {
        let found = if restores == 0 {
            format!("{id} was restored and not charged again: its owner has the result and the tokens")
        } else {
            format!("{id} was charged again {restores} times, and restored at {restored_at:?}")
        };
        return Err(Violation::new("a-restore-is-charged", found));
    }
    let refunded = refunds > restores;
    if refunded != (*status == Status::Failed) {
        let found = format!("{id} is {status} and {}refunded", if refunded { "" } else { "not " });
        return Err(Violation::new("failed-means-refunded", found));
    }
    Ok(())
}

/// Every balance is the sum of its ledger.
fn balances(image: &Image, sums: &BTreeMap<&str, i64>) -> Result<(), Violation> {
    for user in sums.keys().copied().chain(image.balances.keys().map(String::as_str)) {
        let (sum, balance) = (sums.get(user), image.balances.get(user));
        if sum != balance {
            let word = |number: Option<&i64>| number.map_or(String::from("nothing"), i64::to_string);
            let found = format!("{user} has a balance of {}, and a ledger of {}", word(balance), word(sum));
            return Err(Violation::new("the-balance-is-the-ledger", found));
        }
    }
    Ok(())
}

/// The attempts before the present one ended once each, as retried; a restore left the failure that it undid.
fn attempts(creation: &Creation, image: &Image) -> Result<(), Violation> {
    let Creation { id, attempt, restored_at, .. } = creation;
    let rows = image.attempts.range((id.clone(), 0)..=(id.clone(), u32::MAX));
    let found: Vec<_> = rows.map(|((_, number), row)| (*number, row.outcome.as_str())).collect();
    let before = (1..*attempt).map(|number| (number, "retried"));
    let restored = restored_at.map(|_| (*attempt, "restored"));
    let expected: Vec<_> = before.chain(restored).collect();
    if found == expected {
        return Ok(());
    }
    let found =
        format!("{id} is at attempt {attempt}, and its attempts before are {found:?}: expected {expected:?}");
    Err(Violation::new("each-attempt-ends-once", found))
}

/// What an owner deleted is not there any more.
fn gone(creation: &Creation) -> Result<(), Violation> {
    let Creation { id, prompt, result_url, late_result_url, deleted_at, .. } = creation;
    let empty = prompt.is_empty() && result_url.is_none() && late_result_url.is_none();
    if deleted_at.is_none() || empty {
        return Ok(());
    }
    Err(Violation::new(
        "deleted-is-gone",
        format!("{id} was deleted, and its prompt or a result is still there"),
    ))
}
