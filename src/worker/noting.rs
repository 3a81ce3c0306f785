//! Notes of operators on creations and sweeps: the same over the API and on the dashboard.

use serde_json::json;

use super::app::App;
use super::problem::Problem;
use super::shards;
use crate::service::shards::run_each;
use crate::store::{self, Database as _, Row, Subject};

/// The longest note, in characters.
pub(super) const MAX_NOTE: usize = 2_000;

/// Adds a note that came by a form.
pub(super) async fn add(
    app: &App,
    actor: &str,
    about: Subject<'_>,
    text: &str,
    user_id: Option<&str>,
) -> Result<(), Problem> {
    // A form sends two characters for the end of a line, and counts one.
    let text = text.replace("\r\n", "\n");
    let length = text.chars().count();
    if text.contains('\0') {
        return Err(Problem::bad_request("the note has the character U+0000: expected text"));
    }
    if length == 0 || length > MAX_NOTE {
        return Err(Problem::bad_request(format!(
            "the note has {length} characters: expected 1 to {MAX_NOTE}"
        )));
    }
    of(app, actor, about, &text, user_id).await.map(drop)
}

/// Notes it, and answers with the row of the audit.
pub(super) async fn of(
    app: &App,
    actor: &str,
    about: Subject<'_>,
    text: &str,
    user_id: Option<&str>,
) -> Result<serde_json::Value, Problem> {
    let id = app.new_id()?;
    let note = store::note(&id, actor, text, about, app.now);
    let noted = match about {
        Subject::Creation(creation) => {
            shards::find(app, creation, user_id, async |_, database| {
                Ok(is_noted(&database.run(&note).await?))
            })
            .await?
        }
        // A sweep has a row on each database.
        Subject::Sweep(_) => {
            let mut noted = None;
            for results in run_each(&app.shards(), &note).await {
                noted = is_noted(&results?).or(noted);
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

fn is_noted(results: &[Vec<Row>]) -> Option<()> {
    results.last().filter(|rows| !rows.is_empty()).map(drop)
}
