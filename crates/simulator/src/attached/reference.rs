//! What each transaction is to leave in the app's tables: a second, plain implementation in Rust.

use std::collections::BTreeSet;

use rusqlite::types::Value;
use stale_drafts::rules::Status;

use super::gid;
use super::image::{App, Row};
use super::write::{Insert, Pays, Verb, What, time};
use crate::call::{Call, TheirsCall};
use crate::image::{Creation, Image};
use crate::world::Violation;

/// What a write of the app leaves.
pub struct Left {
    /// The tables.
    pub app: App,
    /// The rows that it was about.
    pub touched: BTreeSet<i64>,
    /// The row that had timed out, so that its write was to change nothing.
    pub late: Option<i64>,
}

/// The columns that a time-out keeps.
const KEPT: [&str; 4] = ["state", "error_message", "result_url", "finished_at"];

/// What a write of the app is to leave: what SQLite would leave without us, but for one that comes after a time-out. `None` if
/// SQLite refuses it.
pub fn theirs(before: &Image, call: &TheirsCall) -> Option<Left> {
    let TheirsCall { write, now, number } = call;
    let mut left = Left { app: before.app.clone(), touched: BTreeSet::new(), late: None };
    left.touched.extend(write.what.gid());
    let changed = match &write.what {
        What::Join(Pays { user, credits, .. }) => {
            left.app.credits.entry(*user).or_insert(*credits);
            true
        }
        What::Insert(insert) => left.insert(before, insert, *now, *number)?,
        What::Delete(gid) => left.app.rows.remove(gid).is_some(),
        What::Move(from, to) => {
            left.touched.insert(*to);
            match left.app.rows.remove(from) {
                None => false,
                Some(_) if left.app.rows.contains_key(to) => return None,
                Some(row) => left.app.rows.insert(*to, row).is_none(),
            }
        }
        what => left.update(before, what, *now, *number),
    };
    if let Some(Pays { user, credits, if_changed }) = write.pays
        && (changed || !if_changed)
        && let Some(has) = left.app.credits.get_mut(&user)
    {
        *has = has.saturating_add(credits);
    }
    Some(left)
}

impl Left {
    fn update(&mut self, before: &Image, what: &What, now: i64, number: u64) -> bool {
        let Some((gid, row)) = what.gid().and_then(|gid| Some((gid, self.app.rows.get_mut(&gid)?))) else {
            return false;
        };
        let then = row.clone();
        row.0.extend(what.set(now, number));
        if KEPT.iter().any(|column| then.get(column) != row.get(column)) && timed_out(before, gid, &then) {
            *row = then;
            self.late = Some(gid);
        }
        self.late.is_none()
    }

    /// Whether it changed a row; `None` if it is refused.
    fn insert(&mut self, before: &Image, insert: &Insert, now: i64, number: u64) -> Option<bool> {
        let rows = &mut self.app.rows;
        let next = rows.keys().next_back().map_or(1, |last| last.saturating_add(1));
        let key = insert.gid.unwrap_or(next);
        self.touched.insert(key);
        let new = Row(insert.values(now, number).into_iter().collect());
        let Some(then) = rows.get_mut(&key) else {
            rows.insert(key, new.whole());
            return Some(true);
        };
        if timed_out(before, key, then) {
            self.late = Some(key);
            return Some(false);
        }
        match insert.verb {
            Verb::Plain => None,
            Verb::Ignore => Some(false),
            Verb::Replace => {
                *then = new.whole();
                Some(true)
            }
            Verb::Upsert => {
                then.0.insert("state", new.get("state").clone());
                then.0.insert("updated_at", new.get("created_at").clone());
                Some(true)
            }
        }
    }
}

impl Row {
    /// With NULL in every column that was not set.
    fn whole(mut self) -> Self {
        for column in super::image::COLUMNS {
            self.0.entry(column).or_insert(Value::Null);
        }
        self
    }
}

/// Whether a row has timed out. One that has the key of an earlier one has not: it has not its word and its text. The text alone
/// may come with a save of the earlier one.
pub fn timed_out(image: &Image, gid: i64, row: &Row) -> bool {
    let text = Some(row.text("error_message"));
    row.state() == "error" && image.timed_out(gid).is_some_and(|creation| creation.error.as_deref() == text)
}

/// What a sweep or a restore is to leave: it writes what it did to creations back, and gives and takes their tokens. Or what it
/// was not to do at all.
pub fn ours(before: &Image, after: &Image, call: &Call) -> Result<App, Violation> {
    let overwritten = |found| Violation::new("nothing-of-theirs-is-overwritten", format!("{call}: {found}"));
    let unpaid = |found| Violation::new("a-time-out-pays-once", format!("{call}: {found}"));
    let mut app = before.app.clone();
    for (id, now) in &after.creations {
        let (Some(gid), Some(then)) = (gid(id), before.creations.get(id)) else { continue };
        let failed = now.sweep_id.is_some() && then.sweep_id.is_none();
        let restored = now.restored_at.is_some() && then.restored_at.is_none();
        let retried = now.attempt != then.attempt;
        if !failed && !restored && !retried {
            continue;
        }
        let Some(row) = app.rows.get_mut(&gid) else {
            return Err(overwritten(format!("{id} is {}, and the app has no row of it", now.status)));
        };
        let was = if restored { &["error"][..] } else { &["queued", "running"] };
        if !was.contains(&row.state()) {
            let found =
                format!("{id} is {}, and its row was `{}`: expected one of {was:?}", now.status, row.state());
            return Err(overwritten(found));
        }
        written(row, now);
        let tokens = if retried {
            0
        } else if failed {
            now.tokens
        } else {
            now.tokens.saturating_neg()
        };
        if tokens == 0 {
            continue;
        }
        match now.user_id.parse().ok().and_then(|user: i64| app.credits.get_mut(&user)) {
            Some(credits) if restored && *credits < now.tokens => {
                return Err(unpaid(format!("{id} was restored, and user {} can't pay for it", now.user_id)));
            }
            Some(credits) => *credits = credits.saturating_add(tokens),
            None => {
                return Err(unpaid(format!(
                    "{id} moves {tokens} tokens, and the app has no user {}",
                    now.user_id
                )));
            }
        }
    }
    Ok(app)
}

/// A row after its creation came to its present status.
fn written(row: &mut Row, creation: &Creation) {
    let text = |text: &str| Value::Text(text.to_owned());
    let finished = match creation.finished_at {
        Value::Integer(millis) => time(millis),
        _ => Value::Null,
    };
    match creation.status {
        Status::Failed => {
            let error = creation.error.as_deref().map_or(Value::Null, text);
            row.0.extend([("state", text("error")), ("error_message", error), ("finished_at", finished)]);
        }
        Status::Draft => {
            row.0.extend([
                ("state", text("succeeded")),
                ("error_message", Value::Null),
                ("finished_at", finished),
            ]);
            match creation.result_url.as_deref() {
                None | Some("app:late") => {}
                Some(url) => {
                    row.0.insert("result_url", text(url));
                }
            }
        }
        _ => row.0.extend([("state", text("queued")), ("started_at", Value::Null)]),
    }
}
