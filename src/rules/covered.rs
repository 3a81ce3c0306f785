use std::collections::HashMap;

/// Which of several charges their owners' balances cover, in this order: each owner's go through as far as that owner's balance goes, and
/// none after the first one that it does not cover. So nobody overtakes a charge that stands before.
///
/// `balance` is what an owner has before the first one. The statement that retries many failed creations at once chooses by the same rule.
///
/// ```
/// use stale_drafts::rules::covered;
///
/// let charges = [("ada", 5), ("ben", 1), ("ada", 6), ("ada", 1)];
/// assert_eq!(covered(charges, |owner| if owner == "ada" { 10 } else { 1 }), [true, true, false, false]);
/// ```
pub fn covered<'a>(
    charges: impl IntoIterator<Item = (&'a str, u64)>,
    balance: impl Fn(&str) -> u64,
) -> Vec<bool> {
    let mut due: HashMap<&str, u64> = HashMap::new();
    let mut is_covered = |(owner, tokens): (&'a str, u64)| {
        let due = due.entry(owner).or_default();
        *due = due.saturating_add(tokens);
        *due <= balance(owner)
    };
    charges.into_iter().map(&mut is_covered).collect()
}
