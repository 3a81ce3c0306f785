//! A creation as its owner and operators see it, and pages of them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::read::Address;
use crate::rules::{
    Action, Ago, Badge, Cancellation, GENERATION_TIMEOUT, Judgement, Policy, Report, Status, Time, Timestamp,
    Verdict, badge, classify,
};
use crate::service::holds;
use crate::store::{self, DatabaseError, Page, PageRow, Row};
use crate::worker::archive::ArchivedView;
use crate::worker::error_params::ErrorParams;

/// One creation as its owner sees it: what the JSON of `GET /api/drafts` holds, and what the page is made from.
///
/// It is the verdict that is shown and not only the row: a stale creation reads `failed` even if the write that
/// should have marked it so did not go through.
#[derive(Clone, Debug, Serialize)]
pub struct DraftView {
    /// The creation's id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// What was asked for.
    pub prompt: String,
    /// `failed` for a stale creation, or `pending` if it is given another attempt; otherwise as stored.
    pub status: String,
    /// As stored.
    pub stored_status: String,
    /// `settled`, `fresh`, `stale` or `unreadable`.
    pub verdict: &'static str,
    /// A sign and a word, such as `❌ Failed`.
    pub badge: &'static str,
    /// The same as a stable code: a status, `retrying` or `needs_attention`.
    pub badge_code: &'static str,
    /// Why it failed, or why its age can't be known.
    pub error: Option<String>,
    /// The same as a stable code.
    pub error_code: Option<String>,
    /// What that text is made of, where it is the rules' own.
    pub error_params: Option<ErrorParams>,
    /// Which attempt at generating it this is, from 1.
    pub attempt: u32,
    /// What it was charged.
    pub tokens: u64,
    /// What the ledger says was refunded.
    pub refunded_tokens: u64,
    /// Epoch milliseconds; `null` if missing or malformed.
    pub created_at: Option<u64>,
    /// When it was put back for another attempt, in epoch milliseconds; `null` if missing or malformed.
    pub queued_at: Option<u64>,
    /// Epoch milliseconds; `null` if missing or malformed.
    pub started_at: Option<u64>,
    /// Epoch milliseconds; `null` if missing or malformed.
    pub heartbeat_at: Option<u64>,
    /// Epoch milliseconds.
    pub finished_at: Option<i64>,
    /// The last instant at which a fresh creation is not stale, in epoch milliseconds; `null` for `never`.
    pub deadline: Option<u64>,
    /// Until when it has more time, in epoch milliseconds: it is not stale before. An operator has given it that, or a move: see
    /// `held_until`. `null` where nobody has.
    pub extended_until: Option<u64>,
    /// The same instant where it has that time because its owner moves to another database, so that no sweep decides on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<u64>,
    /// The limit of an active creation, in milliseconds; `null` for `never` and for one that is not active.
    pub max_age_ms: Option<u64>,
    /// Milliseconds since it was asked for.
    pub age_ms: Option<u64>,
    /// How far its worker says that it is, in percent.
    pub progress: Option<u64>,
    /// Where the result is. What an app has written by SQL need not be an address that a browser may go to: then `null`.
    pub result_url: Option<String>,
    /// When a result came in too late and was kept, in epoch milliseconds.
    pub late_at: Option<i64>,
    /// When that result was restored, in epoch milliseconds.
    pub restored_at: Option<i64>,
    /// When its owner deleted it, in epoch milliseconds.
    pub deleted_at: Option<i64>,
    /// Whether it may be tried again now, for its price.
    pub can_retry: bool,
    /// Whether it may be cancelled now.
    pub can_cancel: bool,
    /// Whether an operator may fail it now.
    #[serde(skip_serializing)]
    pub can_fail: bool,
    /// Whether an operator may restore its late result now.
    #[serde(skip_serializing)]
    pub can_restore: bool,
    /// What goes back if it is cancelled now.
    #[serde(skip_serializing)]
    pub refund_if_cancelled: u64,
}

impl DraftView {
    /// What to show of a row at the instant `now`, under `policy`.
    pub fn new(mut row: PageRow, now: Timestamp, policy: &Policy) -> Self {
        let mut verdict = classify(&row.creation.draft(), now, policy);
        let held_until = held_until(&row, &verdict, now);
        if let Some(until) = held_until {
            row.creation.extended_until = Time::At(until);
            verdict = classify(&row.creation.draft(), now, policy);
        }
        let stored_status = row.creation.status.clone();
        let error_params = match verdict {
            Verdict::Settled(_) => ErrorParams::settled(&row),
            Verdict::Fresh { .. } => None,
            Verdict::Stale(staleness) => Some(ErrorParams::of(&staleness.error_text())),
            Verdict::Unreadable(reason) => ErrorParams::unreadable(reason),
        };
        let (name, error, error_code, status, deadline) = match verdict {
            Verdict::Settled(_) => {
                ("settled", row.error.clone(), row.error_code.clone(), stored_status.clone(), None)
            }
            Verdict::Fresh { deadline, .. } => ("fresh", None, None, stored_status.clone(), deadline),
            Verdict::Stale(staleness) => (
                "stale",
                Some(staleness.error_text().to_string()),
                Some(GENERATION_TIMEOUT.to_owned()),
                match staleness.action() {
                    Action::Fail => Status::Failed,
                    Action::Retry => Status::Pending,
                }
                .as_str()
                .to_owned(),
                Some(staleness.deadline()),
            ),
            Verdict::Unreadable(reason) => (
                "unreadable",
                Some(reason.to_string()),
                Some(reason.code().to_owned()),
                stored_status.clone(),
                None,
            ),
        };
        let created_at = row.creation.created_at.instant();
        let retry = Report::Retry { attempt: row.creation.attempt };
        let cancel = Report::Cancel { attempt: None, policy };
        let accepts = |report: Report<'_>| {
            row.snapshot().is_some_and(|snapshot| report.judge(&snapshot) == Judgement::Accept)
        };
        let can_retry = accepts(retry);
        // A stale one is about to fail by itself.
        let can_cancel = name != "stale" && accepts(cancel);
        let can_fail = accepts(Report::FailNow { attempt: row.creation.attempt });
        let can_restore = accepts(Report::Restore);
        let keeps = stored_status == Status::Processing.as_str()
            && policy.cancellation(&row.creation.kind) == Cancellation::Keep;
        DraftView {
            can_retry,
            can_cancel,
            can_fail,
            can_restore,
            refund_if_cancelled: if keeps { 0 } else { row.creation.tokens },
            kind: row.creation.kind,
            prompt: row.prompt,
            status,
            stored_status,
            verdict: name,
            badge: badge(&verdict),
            badge_code: Badge::of(&verdict).code(),
            error,
            error_code,
            error_params,
            attempt: row.creation.attempt,
            tokens: row.creation.tokens,
            refunded_tokens: row.refunded_tokens.unwrap_or(0),
            created_at: created_at.map(Timestamp::as_millis),
            queued_at: row.creation.queued_at.instant().map(Timestamp::as_millis),
            started_at: row.creation.started_at.instant().map(Timestamp::as_millis),
            heartbeat_at: row.creation.heartbeat_at.instant().map(Timestamp::as_millis),
            finished_at: row.finished_at,
            deadline: deadline.map(Timestamp::as_millis),
            extended_until: row.creation.extended_until.instant().map(Timestamp::as_millis),
            held_until: held_until.map(Timestamp::as_millis),
            max_age_ms: verdict.max_age_ms(),
            age_ms: created_at
                .filter(|created_at| *created_at <= now.latest_sign_of_life())
                .map(|created_at| now.millis_since(created_at)),
            progress: row.creation.progress,
            result_url: row.result_url.filter(|url| Address::parse(url).is_some()),
            late_at: row.late_at,
            restored_at: row.restored_at,
            deleted_at: row.deleted_at,
            id: row.creation.id,
        }
    }

    /// Where a browser may go for the result.
    pub fn link(&self) -> Option<&str> {
        self.result_url.as_deref()
    }

    /// Whether its deadline is put off, by an operator or by a move.
    pub fn is_put_off(&self) -> bool {
        self.verdict == "fresh" && self.extended_until.is_some() && self.extended_until == self.deadline
    }

    /// How many of its tokens it has used, where that is less than it was charged: a result, or a failure that was not for nothing.
    pub fn used_in_part(&self) -> Option<u64> {
        let used = self.tokens.saturating_sub(self.refunded_tokens);
        (self.refunded_tokens > 0 && (used > 0 || self.status != "failed")).then_some(used)
    }

    /// How long ago it was asked for.
    pub fn age(&self) -> Option<Ago> {
        self.age_ms.map(Ago)
    }
}

/// Until when no sweep decides on a draft, where that is later than its deadline: silence says nothing while its worker's reports are
/// refused, so it is not shown as failed.
fn held_until(row: &PageRow, verdict: &Verdict, now: Timestamp) -> Option<Timestamp> {
    let until = holds::until(row.hold?, now);
    let deadline = match verdict {
        Verdict::Fresh { deadline, .. } => *deadline,
        Verdict::Stale(staleness) => Some(staleness.deadline()),
        Verdict::Settled(_) | Verdict::Unreadable(_) => None,
    };
    deadline.is_some_and(|deadline| deadline < until).then_some(until)
}

/// A page of the drafts list: the JSON of `GET /api/drafts`, and what the page is made from.
#[derive(Clone, Debug, Serialize)]
pub struct DraftsView {
    /// The server's clock, in epoch milliseconds: what every age here is measured from.
    pub now: u64,
    /// Whose drafts these are.
    pub user_id: String,
    /// The user's balance, in tokens.
    pub balance: u64,
    /// The newest first.
    pub drafts: Vec<DraftView>,
    /// What to give as `?cursor=` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
    /// How many creations the sweep marked failed as the list was opened.
    pub marked_as_failed: usize,
    /// Whether that sweep did all that was due; if not, the cron trigger repeats it.
    pub swept: bool,
    /// At the end of the list: what is older and no longer in it; `null` if nothing is.
    pub archived: Option<ArchivedView>,
}

/// A place in the list, as text that is safe in a URL: what is given as `?cursor=` for the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Page);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}.{}", self.0.listed_at, self.0.id)))
    }
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (listed_at, id) = text.split_once('.')?;
        let listed_at = listed_at.parse::<i64>().ok()?;
        (listed_at.unsigned_abs() <= 1 << 53).then(|| Cursor(Page { listed_at, id: id.to_owned() }))
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "the `next_cursor` of the page before";
        Cursor::parse(&text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

/// One page of a user's creations.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The user's balance, in tokens.
    pub balance: u64,
    /// The creations, the newest first.
    pub drafts: Vec<DraftView>,
    /// Where the next page begins; `None` at the end.
    pub next_cursor: Option<String>,
    /// At the end: what is archived.
    pub archived: Option<ArchivedView>,
}

impl Listing {
    /// From the results of a batch that asks for the balance, for one creation more than `limit`, to know whether there is a
    /// next page, and for what is archived.
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(
        results: &[Vec<Row>],
        limit: u32,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Self, DatabaseError> {
        let [balance, page, archived] = results else {
            return Err(DatabaseError::new("expected three results"));
        };
        let archived = store::archived_of(archived.clone())?;
        let balance = balance.first().and_then(|row| row.get("tokens")).and_then(Value::as_u64);
        let mut rows = store::page_rows(page)?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more);
        let place = |row: &PageRow| Cursor(Page { listed_at: row.listed_at, id: row.creation.id.clone() });
        let next_cursor = last.map(|row| place(row).to_string());
        let drafts = rows.into_iter().map(|row| DraftView::new(row, now, policy)).collect();
        let archived = archived.filter(|_| next_cursor.is_none()).map(ArchivedView::new);
        Ok(Listing { balance: balance.unwrap_or(0), drafts, next_cursor, archived })
    }
}
