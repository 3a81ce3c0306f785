//! Events that have not been delivered.

use axum::http::StatusCode;
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::read::{Text, whole};
use crate::service::shards::{part, run_each};
use crate::store;
use crate::worker::app::App;
use crate::worker::caller::{Operator, Read, Sweep};
use crate::worker::extract::{Json, Nothing, Query};
use crate::worker::problem::{Answer, Problem, json, partial};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct ListQuery {
    #[serde(default)]
    state: State,
    #[serde(default = "twenty", deserialize_with = "whole::<1, 100, _>")]
    limit: u32,
    cursor: Option<Place>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    #[default]
    Dead,
    Due,
}

const fn twenty() -> u32 {
    20
}

/// After the event that was due then and has this id.
struct Place(i64, String);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let place =
            text.split_once('.').and_then(|(due_at, id)| Some(Place(due_at.parse().ok()?, id.to_owned())));
        let expected = "the `next_cursor` of the page before";
        place.ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}

/// `GET /api/events?state=dead`: what has not been delivered, the first due first.
#[worker::send]
pub(in crate::worker) async fn list(
    app: App,
    _: Operator<Read>,
    Query(ListQuery { state, limit, cursor }): Query<ListQuery>,
) -> Answer {
    let state = match state {
        State::Dead => "dead",
        State::Due => "due",
    };
    let Place(due_at, id) = cursor.unwrap_or(Place(-1, String::new()));
    let statement = [store::events(state, (due_at, &id), limit.saturating_add(1))];
    let shards = app.replicas();
    let (there, unreachable) = part(&shards, run_each(&shards, &statement).await)?;
    let mut rows: Vec<_> = there.into_iter().flat_map(|(_, results)| results.into_iter().flatten()).collect();
    if shards.len() > 1 {
        let place = |row: &store::Row| {
            (row.get("due_at").and_then(Value::as_i64), row.get("id").map(Value::to_string))
        };
        rows.sort_by_key(place);
    }
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let cursor = |row: &store::Row| {
        let (due_at, id) = (row.get("due_at")?.as_i64()?, row.get("id")?.as_str()?);
        Some(format!("{due_at}.{id}"))
    };
    let next_cursor = rows.last().filter(|_| more).and_then(cursor);
    for row in &mut rows {
        let destinations = row.get("destinations").and_then(Value::as_u64).unwrap_or(0);
        row.insert(String::from("destinations"), store::destination_names(destinations).into());
    }
    let body = json!({ "now": app.now.as_millis(), "events": rows, "next_cursor": next_cursor });
    Ok(partial(body, &unreachable))
}

/// The body of `POST /api/events/replay`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    ids: Option<Vec<Text<500>>>,
    #[serde(default)]
    all: bool,
}

impl ReplayBody {
    /// At most so many events are named.
    pub const MAX: usize = 1_000;

    /// Those that are tried again; `None` for all of them.
    ///
    /// # Errors
    ///
    /// A text that says what would be right.
    pub fn ids(&self) -> Result<Option<Vec<&str>>, String> {
        let ids = match (&self.ids, self.all) {
            (Some(ids), false) => ids,
            (None, true) => return Ok(None),
            (None, false) => {
                return Err(String::from(
                    "nothing says which dead letters: expected their `ids`, or `\"all\": true` for all of them",
                ));
            }
            (Some(_), true) => {
                return Err(String::from("`all` is `true`, for all dead letters: leave out `ids`"));
            }
        };
        if ids.len() > Self::MAX {
            return Err(format!("`ids` has {} texts: expected at most {}", ids.len(), Self::MAX));
        }
        Ok(Some(ids.iter().map(Text::as_str).collect()))
    }
}

/// A thousand ids of 500 bytes, each of them escaped, fit.
const MAX_IDS: usize = 4_000_000;

/// `POST /api/events/replay`: dead letters are tried again: those in `ids`, or `all` of them.
#[worker::send]
pub(in crate::worker) async fn replay(
    app: App,
    _: Operator<Sweep>,
    Query(Nothing {}): Query<Nothing>,
    Json(body): Json<ReplayBody, MAX_IDS>,
) -> Answer {
    let ids = body.ids().map_err(Problem::bad_request)?;
    let statement = [store::replay(ids.as_deref(), app.now)];
    let answers = run_each(&app.shards(), &statement).await;
    let message = "the database does not answer right now: repeat the request, it does no harm";
    let mut replayed = 0_usize;
    for (at, answer) in answers.into_iter().enumerate() {
        let results = answer.map_err(|error| Problem::database(&error, message))?;
        let here = results.first().map_or(0, Vec::len);
        replayed = replayed.saturating_add(here);
        if here > 0 {
            app.emitted(at);
        }
    }
    Ok(json(StatusCode::OK, &json!({ "replayed": replayed })))
}
