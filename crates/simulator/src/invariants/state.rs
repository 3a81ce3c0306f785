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
        money(creation, entries.get(creation.id.as_str()).map(Vec::as_slice).unwrap_or_default(), image)?;
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

/// Every creation is charged once, and once more by each retry by hand. Of each charge that is over, what was not used went back, once;
/// what was restored is charged again with what had gone back.
fn money(creation: &Creation, entries: &[&Entry], image: &Image) -> Result<(), Violation> {
    let Creation { id, user_id, status, tokens, restored_at, balance_elsewhere, charge, .. } = creation;
    let of = |kind: &'static str| entries.iter().filter(move |entry| entry.kind == kind);
    let keys = |kind| of(kind).map(|entry| entry.key.as_str()).collect::<Vec<_>>().join(" and ");
    let used = used(creation, image);
    let unused = |number: u32| {
        let used = used.get((number as usize).saturating_sub(1)).copied().flatten();
        used.map_or(0, |used| tokens.saturating_sub(used))
    };
    let mut numbers: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for entry in entries {
        numbers.entry(&entry.kind).or_default().push(number(entry));
    }
    let numbers = |kind| numbers.get(kind).cloned().unwrap_or_default();
    let mut refunds = numbers("refund");
    refunds.sort_unstable();
    if refunds.windows(2).any(|pair| pair.first() == pair.last())
        || refunds.iter().any(|number| number > charge)
    {
        let found = format!("{id} was charged {charge} times, and refunded by {}", keys("refund"));
        return Err(Violation::new("refunded-once", found));
    }
    for entry in entries {
        let number = number(entry);
        let right = match entry.kind.as_str() {
            "refund" => unused(number),
            "restore" => unused(number).saturating_neg(),
            _ => tokens.saturating_neg(),
        };
        if right != 0 && entry.tokens != right || entry.user_id != *user_id {
            let found = format!(
                "{} of {} tokens for {} is not what {id} of {user_id} cost and did not use: {right}",
                entry.key, entry.tokens, entry.user_id
            );
            return Err(Violation::new("the-refund-is-the-charge", found));
        }
    }
    // What an app has charged is noted with the refund.
    let noted = !balance_elsewhere || *status == Status::Failed || restored_at.is_some();
    let mut charges = numbers("charge");
    charges.sort_unstable();
    let right: Vec<u32> = (1..=*charge).filter(|_| *tokens > 0 && noted).collect();
    if charges != right {
        let found =
            format!("{id} costs {tokens} tokens, and its charges are {charges:?}: expected {right:?}");
        return Err(Violation::new("charged-once", found));
    }
    let restores = of("restore").count();
    let right = usize::from(restored_at.is_some() && unused(*charge) > 0);
    if restores != right || numbers("restore").iter().any(|number| number != charge) {
        let found = if restores == 0 {
            format!("{id} was restored and not charged again: its owner has the result and the tokens")
        } else {
            format!("{id} was charged again by {}, and restored at {restored_at:?}", keys("restore"))
        };
        return Err(Violation::new("a-restore-is-charged", found));
    }
    for number in 1..=*charge {
        let refunded = refunds.contains(&number);
        if refunded != (unused(number) > 0) {
            let found = format!(
                "charge {number} of {id} is {}refunded, and it is {status}",
                if refunded { "" } else { "not " }
            );
            return Err(Violation::new("failed-means-refunded", found));
        }
    }
    // The same once more, and from the other side.
    let sum = entries.iter().fold(0_i64, |sum, entry| sum.saturating_add(entry.tokens));
    let restored = if restored_at.is_some() { unused(*charge) } else { 0 };
    let used = used.iter().fold(restored, |sum, used| sum.saturating_add(used.unwrap_or(*tokens)));
    if noted && sum != used.saturating_neg() {
        let found = format!("{id} has used {used} tokens, and its entries sum up to {sum}");
        return Err(Violation::new("charged-is-used-and-refunded", found));
    }
    Ok(())
}

/// What of each charge was used as its attempts were over; `None` is not over yet. Of what was restored it is what had been used of the
/// failure.
fn used(creation: &Creation, image: &Image) -> Vec<Option<i64>> {
    let Creation { id, attempt, restored_at, status, .. } = creation;
    let rows = image.attempts.range((id.clone(), 0)..=(id.clone(), u32::MAX)).map(|(_, row)| row);
    let failed = rows.filter(|row| row.outcome == "failed").map(|row| Some(row.tokens_used.unwrap_or(0)));
    let present = match restored_at {
        Some(_) => image.attempts.get(&(id.clone(), *attempt)).map(|row| row.tokens_used.unwrap_or(0)),
        None => status.active().is_none().then(|| creation.used()),
    };
    failed.chain([present]).collect()
}

/// Which charge of its creation an entry is of: `refund2:c1` is of the second one.
fn number(entry: &Entry) -> u32 {
    let rest = entry.key.strip_prefix(&entry.kind).and_then(|rest| rest.split(':').next());
    rest.and_then(|number| number.parse().ok()).unwrap_or(1)
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

/// The attempts before the present one ended once each: as put back by a sweep, or as failed and retried by hand, which is the next charge.
/// A restore left the failure that it undid.
fn attempts(creation: &Creation, image: &Image) -> Result<(), Violation> {
    let Creation { id, attempt, charge, restored_at, .. } = creation;
    let rows = image.attempts.range((id.clone(), 0)..=(id.clone(), u32::MAX));
    let found: Vec<_> = rows.map(|((_, number), row)| (*number, row.outcome.as_str())).collect();
    let outcome = |number: u32| found.iter().find(|(at, _)| *at == number).map(|(_, outcome)| *outcome);
    let before = (1..*attempt).map(|number| match outcome(number) {
        Some("failed") => (number, "failed"),
        _ => (number, "retried"),
    });
    let restored = restored_at.map(|_| (*attempt, "restored"));
    let expected: Vec<_> = before.chain(restored).collect();
    let failed = found.iter().filter(|(_, outcome)| *outcome == "failed").count();
    if found == expected && u32::try_from(failed) == Ok(charge.saturating_sub(1)) {
        return Ok(());
    }
    let found = format!(
        "{id} is at attempt {attempt} and charge {charge}, and its attempts before are {found:?}: expected {expected:?}"
    );
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
