//! Notes of operators on creations and sweeps.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::read::Text;
use crate::store::Subject;
use crate::worker::app::App;
use crate::worker::caller::{Operator, Sweep};
use crate::worker::extract::{Json, Nothing, Path, Query};
use crate::worker::listing::OwnerQuery;
use crate::worker::noting::{MAX_NOTE, of};
use crate::worker::problem::{Answer, json};

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
