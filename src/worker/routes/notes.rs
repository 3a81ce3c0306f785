//! Notes of operators on creations and sweeps.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::read::Text;
use crate::service::shards::run_each;
use crate::store::{self, Database as _, Subject};
use crate::worker::app::App;
use crate::worker::caller::{Operator, Sweep};
use crate::worker::extract::{Json, Nothing, Path, Query};
use crate::worker::problem::{Answer, Problem, json};
use crate::worker::routes::creations::OwnerQuery;
use crate::worker::shards;

const MAX_NOTE: usize = 2_000;

/// The body of a note.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::worker) struct NoteBody {
    text: Text<MAX_NOTE>,
}

/// `POST /api/creations/{id}/notes`
#[worker::send]
pub(in crate::worker) async fn creation(
    app: App,
    operator: Operator<Sweep>,
    Path(id): Path,
    Query(OwnerQuery { user_id }): Query<OwnerQuery>,
    Json(NoteBody { text }): Json<NoteBody>,
) -> Answer {
    let about = Subject::Creation(&id);
    let noted =
        of(&app, &operator.name, about, text.as_str(), user_id.as_ref().map(|name| name.as_str())).await?;
    Ok(json(StatusCode::CREATED, &noted))
}

/// `POST /api/sweeps/{id}/notes`
#[worker::send]
pub(in crate::worker) async fn sweep(
    app: App,
    operator: Operator<Sweep>,
    Path(id): Path,
    Query(Nothing {}): Query<Nothing>,
    Json(NoteBody { text }): Json<NoteBody>,
) -> Answer {
    let noted = of(&app, &operator.name, Subject::Sweep(&id), text.as_str(), None).await?;
    Ok(json(StatusCode::CREATED, &noted))
}

/// Adds a note that came by a form.
pub(in crate::worker) async fn add(
    app: &App,
    actor: &str,
    about: Subject<'_>,
    text: &str,
) -> Result<(), Problem> {
    let length = text.chars().count();
    if length == 0 || length > MAX_NOTE || text.contains('\0') {
        return Err(Problem::bad_request(format!(
            "the note has {length} characters: expected 1 to {MAX_NOTE}, without U+0000"
        )));
    }
    of(app, actor, about, text, None).await.map(drop)
}

async fn of(
    app: &App,
    actor: &str,
    about: Subject<'_>,
    text: &str,
    user_id: Option<&str>,
) -> Result<serde_json::Value, Problem> {
    let id = app.new_id()?;
    let note = [store::note(&id, actor, text, about, app.now)];
    let noted = match about {
        Subject::Creation(creation) => {
            shards::find(app, creation, user_id, async |_, database| {
                let results = database.run(&note).await?;
                Ok(results.into_iter().next().filter(|rows| !rows.is_empty()).map(drop))
            })
            .await?
        }
        // A sweep has a row on each database.
        Subject::Sweep(_) => {
            let mut noted = None;
            for results in run_each(&app.shards(), &note).await {
                noted = results?.into_iter().next().filter(|rows| !rows.is_empty()).map(drop).or(noted);
            }
            noted
        }
    };
    match noted {
        Some(()) => Ok(
            json!({ "id": id, "at": app.now.as_millis(), "actor": actor, "action": "note", "detail": text }),
        ),
        None => Err(Problem::not_found(match about {
            Subject::Creation(id) => format!("there is no creation `{id}`"),
            Subject::Sweep(id) => format!("there is no sweep `{id}`"),
        })),
    }
}
