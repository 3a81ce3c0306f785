//! Creations found by what they are: the same over the API and on the dashboard.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDateTime, SecondsFormat};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::read::{Invalid, Name, Text};
use crate::rules::Timestamp;
use crate::service::explorer::{self, Explored, Places};
use crate::service::shards::Shard;
use crate::store::{self, D1, Outline, Reversed, Sought};
use crate::worker::app::App;
use crate::worker::draft::DraftView;
use crate::worker::listing::{PageSize, StatusWord};
use crate::worker::problem::Problem;

pub(in crate::worker) const MAX_WORD: usize = 200;
pub(in crate::worker) const MAX_CURSOR: usize = 16_384;
/// Failures are counted so far back.
const COUNTED_BACK_MS: u64 = 90 * 86_400_000;

/// What is sought: of `GET /api/search` and of the dashboard's explorer. Whatever is given holds for each that is found.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::worker) struct ExplorerQuery {
    user_id: Option<Name>,
    status: Option<StatusWord>,
    kind: Option<Name>,
    error_code: Option<Text<MAX_WORD>>,
    rule: Option<Text<MAX_WORD>>,
    since: Option<Instant>,
    until: Option<Instant>,
    failed_since: Option<Instant>,
    failed_until: Option<Instant>,
    order: Order,
    limit: Option<PageSize>,
    cursor: Option<Text<MAX_CURSOR>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::worker) enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The longest without a sign of life first: active ones only.
    Silent,
}

/// An instant in a query or a body: epoch milliseconds, or as RFC 3339 and a form write it, in UTC.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct Instant(pub(in crate::worker) Timestamp);

impl Instant {
    fn parse(text: &str) -> Option<Self> {
        let written = || {
            // As pages and the command print it, a blank stands for the `T`.
            let text = text.replacen(' ', "T", 1);
            let utc = |format| NaiveDateTime::parse_from_str(&text, format).ok().map(|time| time.and_utc());
            let time = DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc());
            let time = time.or_else(|| {
                ["%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"].into_iter().find_map(utc)
            });
            time.map(|time| time.timestamp_millis())
        };
        let millis = text.parse::<i64>().ok().or_else(written)?;
        Timestamp::from_millis(millis).map(Instant)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InstantVisitor)
    }
}

struct InstantVisitor;

impl Visitor<'_> for InstantVisitor {
    type Value = Instant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("epoch milliseconds, or a time in UTC such as `2026-01-05T03:00Z`")
    }

    fn visit_u64<E: Error>(self, millis: u64) -> Result<Instant, E> {
        let instant = i64::try_from(millis).ok().and_then(Timestamp::from_millis).map(Instant);
        instant.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(millis), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Instant, E> {
        Instant::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

/// Where a page ended, as text that is safe in a URL.
pub(in crate::worker) struct PlacesCursor(pub(in crate::worker) Places);

impl PlacesCursor {
    /// Reads the `next_cursor` of the page before; without one, the beginning.
    pub(in crate::worker) fn read(cursor: Option<&str>) -> Result<Places, Problem> {
        let Some(cursor) = cursor else { return Ok(Places::new()) };
        let places = URL_SAFE_NO_PAD.decode(cursor).ok();
        let places = places.and_then(|places| serde_json::from_slice(&places).ok());
        places.ok_or_else(|| not_ours(cursor))
    }
}

impl fmt::Display for PlacesCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(json!(self.0).to_string()))
    }
}

fn not_ours(cursor: &str) -> Problem {
    Problem::bad_request(format!(
        "invalid `cursor` `{cursor}`: expected the `next_cursor` of the page before"
    ))
}

/// A creation and whose it is.
#[derive(Debug, Serialize)]
pub struct FoundView {
    /// Its owner.
    pub user_id: String,
    /// It itself.
    #[serde(flatten)]
    pub creation: DraftView,
}

/// A page of what was found.
#[derive(Debug, Default, Serialize)]
pub struct FoundPage {
    /// The server's clock, in epoch milliseconds.
    pub now: u64,
    /// What was found, in order.
    pub creations: Vec<FoundView>,
    /// What to give as `?cursor=` for the next page; `null` at the end.
    pub next_cursor: Option<String>,
    /// When the oldest creation was made that was looked at, in epoch milliseconds; `null` at the end.
    pub looked_back_to: Option<i64>,
    /// The databases that did not answer, if any: what they have is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<UnreachableShard>,
}

/// A database that did not answer.
#[derive(Debug, Serialize)]
pub struct UnreachableShard {
    /// Its binding.
    pub shard: String,
    /// Why.
    pub error: String,
}

/// An instant as RFC 3339 has it: to the millisecond, if that is not 0.
pub(in crate::worker) fn written(at: Timestamp) -> String {
    let time = i64::try_from(at.as_millis()).ok().and_then(DateTime::from_timestamp_millis);
    time.map_or_else(|| at.as_millis().to_string(), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// In words, with both instants.
pub(in crate::worker) fn reversed(window: Reversed) -> Invalid {
    let Reversed { first, last, begin, end } = window;
    let (begin, end) = (written(begin), written(end));
    let message =
        format!("`{last}` is `{end}`, and `{first}` is `{begin}`: expected an end after its beginning");
    Invalid { path: last.to_owned(), message }
}

impl ExplorerQuery {
    /// As the statements take it.
    pub(in crate::worker) fn sought(&self) -> Result<Sought<'_>, Invalid> {
        let sought = Sought {
            user_id: self.user_id.as_ref().map(Name::as_str),
            status: self.status.map(|status| status.status().as_str()),
            kind: self.kind.as_ref().map(Name::as_str),
            error_code: self.error_code.as_ref().map(Text::as_str),
            rule: self.rule.as_ref().map(Text::as_str),
            since: self.since.map(|Instant(since)| since),
            until: self.until.map(|Instant(until)| until),
            failed_since: self.failed_since.map(|Instant(since)| since),
            failed_until: self.failed_until.map(|Instant(until)| until),
        };
        let Sought { status, kind, .. } = sought;
        let by_these = Sought { status, kind, ..Sought::default() };
        let refused =
            |message: &str| Err(Invalid { path: String::from("order"), message: message.to_owned() });
        if self.order == Order::Silent && sought != by_these {
            return refused("`order` is `silent`: expected no more than `status` and `kind` beside it");
        }
        if self.order == Order::Silent
            && status.is_some_and(|status| !["pending", "processing"].contains(&status))
        {
            return refused("`order` is `silent`: expected the `status` `pending` or `processing`, or none");
        }
        sought.in_order().map_err(reversed)
    }

    /// In which order.
    pub(in crate::worker) const fn order(&self) -> Order {
        self.order
    }

    /// A page of what is sought.
    pub(in crate::worker) async fn find(&self, app: &App) -> Result<FoundPage, Problem> {
        let limit = self.limit.map_or(app.config.page_size, |limit| limit.get());
        let sought = self.sought()?;
        let from = PlacesCursor::read(self.cursor.as_ref().map(Text::as_str))?;
        let all = app.replicas();
        let shards: Vec<Shard<'_, D1>> = match sought.user_id {
            Some(user_id) => all.get(app.shard_of(user_id).0).copied().into_iter().collect(),
            None => all,
        };
        let explored = match self.order {
            Order::Newest => explorer::newest(&shards, &app.config.shards, &sought, &from, limit).await,
            Order::Silent => {
                let Sought { status, kind, .. } = sought;
                explorer::silent(&shards, &app.config.shards, status, kind, &from, limit).await
            }
        };
        let Explored { rows, next, back_to, missing } = explored;
        if let Some((_, error)) = missing.first().filter(|_| missing.len() == shards.len()) {
            return Err(error.clone().into());
        }
        let policy = &app.config.policy;
        let found = |row: store::PageRow| FoundView {
            user_id: row.creation.user_id.clone(),
            creation: DraftView::new(row, app.now, policy),
        };
        let missing = missing.into_iter();
        Ok(FoundPage {
            now: app.now.as_millis(),
            creations: rows.into_iter().map(found).collect(),
            next_cursor: next.map(|next| PlacesCursor(next).to_string()),
            looked_back_to: back_to,
            unreachable: missing
                .map(|(shard, error)| UnreachableShard { shard, error: error.to_string() })
                .collect(),
        })
    }

    /// Within which instants failures are counted by the hour: both ends included.
    pub(in crate::worker) fn failed_within(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let latest = now.latest_sign_of_life();
        let last = self.failed_until.map_or(latest, |Instant(until)| until.min(latest));
        let earliest = last.saturating_sub(COUNTED_BACK_MS);
        (self.failed_since.map_or(earliest, |Instant(since)| since.max(earliest)), last)
    }

    /// What the newest creations that are sought amount to, with the largest groups and owners.
    pub(in crate::worker) async fn outline(&self, app: &App, largest: u32) -> Result<Outline, Problem> {
        let asked = store::outline(&self.sought()?, largest, self.failed_within(app.now));
        let mut outline = Outline::default();
        for answer in crate::service::shards::run_each(&app.replicas(), &asked).await {
            // Who does not answer is named with the list.
            let Ok(results) = answer else { continue };
            outline.add(Outline::read(results)?);
        }
        outline.keep(largest);
        Ok(outline)
    }
}
