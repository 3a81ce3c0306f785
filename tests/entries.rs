//! What the entries of a ledger say to their owner, and which charges a balance covers.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use stale_drafts::rules::{End, Movement, Used, covered};

const QUOTA: Option<&str> = Some("the quota is used up");

/// How an attempt failed.
fn failed(error: Option<&str>, cancelled: bool, used: Used) -> Option<End<'_>> {
    Some(End::Failed { error, cancelled, used })
}

#[test]
fn an_entry_says_why_tokens_went_or_came() {
    for (kind, key, end, movement) in [
        ("charge", "charge:c1", None, Movement::Charged),
        ("charge", "charge1:c1", None, Movement::Charged),
        ("charge", "charge2:c1", None, Movement::Retried),
        ("charge", "charge3:c1", Some(End::Done), Movement::Retried),
        ("charge", "charge:c1", failed(None, true, Used::Part), Movement::Kept),
        ("charge", "charge2:c1", failed(None, true, Used::Part), Movement::Kept),
        ("charge", "charge:c1", failed(None, true, Used::Nothing), Movement::Charged),
        ("charge", "charge:c1", failed(None, true, Used::All), Movement::Kept),
        ("charge", "charge:c1", failed(QUOTA, false, Used::Part), Movement::Charged),
        ("charge", "charge2:c1", failed(QUOTA, false, Used::Part), Movement::Retried),
        ("charge", "charge:c1", failed(QUOTA, false, Used::All), Movement::UsedUp(QUOTA)),
        ("charge", "charge2:c1", failed(None, false, Used::All), Movement::UsedUp(None)),
        ("refund", "refund:c1", None, Movement::Refunded(None)),
        ("refund", "refund:c1", Some(End::Done), Movement::NotUsed),
        ("refund", "refund:c1", failed(QUOTA, false, Used::Nothing), Movement::Refunded(QUOTA)),
        ("refund", "refund:c1", failed(None, false, Used::Nothing), Movement::Refunded(None)),
        ("refund", "refund:c1", failed(QUOTA, false, Used::Part), Movement::RefundedInPart(QUOTA)),
        ("refund", "refund:c1", failed(None, false, Used::Part), Movement::RefundedInPart(None)),
        ("refund", "refund:c1", failed(QUOTA, true, Used::Nothing), Movement::Cancelled),
        // What its owner has cancelled is no failure to them, whatever it had used.
        ("refund", "refund:c1", failed(QUOTA, true, Used::Part), Movement::Cancelled),
        ("restore", "restore:c1", failed(QUOTA, false, Used::Nothing), Movement::Restored),
        ("grant", "grant:invoice-7", None, Movement::Granted("invoice-7")),
        ("grant", "invoice-7", None, Movement::Granted("invoice-7")),
        ("grant", "import:anna", None, Movement::Imported),
        ("grant", "app:restore:c1", None, Movement::PaidElsewhere),
        ("carry", "carry:anna:2026-01", None, Movement::Carried("2026-01")),
        ("carry", "carry", None, Movement::Carried("carry")),
        ("adjustment", "adjustment:c1", None, Movement::Other("adjustment")),
    ] {
        assert_eq!(Movement::of(kind, key, end), movement, "{kind} {key} {end:?}");
    }
}

#[test]
fn an_entry_is_about_the_charge_that_its_key_counts() {
    for (kind, key, number) in [
        ("charge", "charge:c1", 1),
        ("charge", "charge2:c1", 2),
        ("refund", "refund12:c1", 12),
        // An id may have colons and digits too.
        ("refund", "refund:2:3", 1),
        ("refund", "refund2:3:4", 2),
        ("refund", "charge2:c1", 1),
        ("charge", "charge2", 1),
        ("charge", "charge-2:c1", 1),
        ("charge", "", 1),
    ] {
        assert_eq!(Movement::charge_of(kind, key), number, "{kind} {key}");
    }
}

#[test]
fn an_entry_has_a_code_a_parameter_and_words() {
    for (movement, code, parameter, words) in [
        (Movement::Charged, "charged", None, "Charged when it was asked for"),
        (Movement::Retried, "retried", None, "Charged again, as it was retried after its failure"),
        (
            Movement::Kept,
            "kept",
            None,
            "Charged, and not refunded: it was cancelled after its work had begun",
        ),
        (
            Movement::UsedUp(Some("no key")),
            "used_up",
            Some(("error", "no key")),
            "Charged, and not refunded: it failed, and had used all of it: no key",
        ),
        (
            Movement::UsedUp(None),
            "used_up_without_reason",
            None,
            "Charged, and not refunded: it failed, and had used all of it",
        ),
        (
            Movement::Refunded(Some("no key")),
            "refunded",
            Some(("error", "no key")),
            "Refunded, since it failed: no key",
        ),
        (Movement::Refunded(None), "refunded_without_reason", None, "Refunded, since it failed"),
        (
            Movement::RefundedInPart(Some("no key")),
            "refunded_in_part",
            Some(("error", "no key")),
            "It failed, and what was not used came back: no key",
        ),
        (
            Movement::RefundedInPart(None),
            "refunded_in_part_without_reason",
            None,
            "It failed, and what was not used came back",
        ),
        (Movement::Cancelled, "cancelled", None, "Refunded, since it was cancelled"),
        (Movement::NotUsed, "not_used", None, "What was not used came back"),
        (
            Movement::Restored,
            "restored",
            None,
            "Charged again: its result came after the refund, and was restored",
        ),
        (Movement::Granted("invoice-7"), "granted", Some(("key", "invoice-7")), "Added to the balance"),
        (Movement::Imported, "imported", None, "Brought in from another system"),
        (Movement::PaidElsewhere, "paid_elsewhere", None, "Paid from the app's own balance"),
        (
            Movement::Carried("2026-01"),
            "carried",
            Some(("month", "2026-01")),
            "The sum of earlier entries, up to 2026-01",
        ),
        (
            Movement::Other("adjustment"),
            "other",
            Some(("type", "adjustment")),
            "An entry of the type adjustment",
        ),
    ] {
        let said = (movement.code(), movement.parameter(), movement.to_string());
        assert_eq!(said, (code, parameter, words.to_owned()));
    }
}

#[test]
fn a_balance_covers_charges_in_their_order_and_none_after_the_first_that_it_does_not() {
    let of = |balance: u64, charges: &[u64]| {
        covered(charges.iter().map(|tokens| ("ada", *tokens)), |owner| {
            assert_eq!(owner, "ada");
            balance
        })
    };
    assert_eq!(of(10, &[]), [false; 0]);
    assert_eq!(of(0, &[0, 1]), [true, false]);
    assert_eq!(of(10, &[4, 6]), [true, true]);
    assert_eq!(of(10, &[4, 7]), [true, false]);
    // The last one alone would be covered.
    assert_eq!(of(10, &[4, 7, 1]), [true, false, false]);
    assert_eq!(of(u64::MAX, &[u64::MAX, 1]), [true, true]);
    // Each owner has a balance of their own.
    let charges = [("ada", 6), ("ben", 6), ("ada", 5), ("ben", 4), ("ada", 1)];
    let balance = |owner: &str| if owner == "ada" { 10 } else { 100 };
    assert_eq!(covered(charges, balance), [true, true, false, true, false]);
}
