//! Retries of many creations from the explorer: chosen there or all that match, previewed, and then exactly those.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::read::{self, Text};
use crate::worker::app::App;
use crate::worker::at_dashboard::{Answer, OwnForm, Page};
use crate::worker::exploring::MAX_CURSOR;
use crate::worker::pages::{RetriesView, found_address, retries_page, retries_preview_page};
use crate::worker::problem::{Problem, html};
use crate::worker::retries::{self, Filter, MAX_ROWS, Plan};

const MAX_REASON: usize = 1_000;
/// What of the explorer's address says which failed creations are meant; beside them, `status` may say `failed` only.
const FILTER: [&str; 8] =
    ["user_id", "kind", "error_code", "rule", "since", "until", "failed_since", "failed_until"];

#[derive(Deserialize)]
struct CursorForm {
    cursor: Option<Text<MAX_CURSOR>>,
}

#[derive(Deserialize)]
struct ReasonForm {
    reason: Option<Text<MAX_REASON>>,
}

/// `POST /dashboard/retries/preview`: what would be retried, of what was chosen or of all that match.
#[worker::send]
pub(in crate::worker) async fn preview(app: App, form: OwnForm) -> Answer {
    let sought = form.field("sought");
    let wrong = |problem: Problem| Page::leading_to(found_address(sought), "Back to the creations", problem);
    let filter = if form.field("which") == "all" {
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(sought).unwrap_or_default();
        let given =
            pairs.into_iter().filter(|(key, value)| FILTER.contains(&key.as_str()) && !value.is_empty());
        let filter: Filter = read::query(given).map_err(|invalid| wrong(invalid.into()))?;
        if filter.sought().map_err(|invalid| wrong(invalid.into()))?.has_no_filter() {
            return Err(wrong(Problem::bad_request(
                "choose a filter first, such as an error code, a kind, an owner or a time: without one this would be all that has ever failed",
            )));
        }
        Some(filter)
    } else {
        None
    };
    let filter = filter.as_ref().map(Filter::sought).transpose().map_err(Problem::from)?;
    let preview = if let Some(filter) = &filter {
        let CursorForm { cursor } = form.read(&["cursor"])?;
        retries::find(&app, filter, cursor.as_ref().map(Text::as_str), MAX_ROWS).await?
    } else {
        let chosen: Vec<_> = form.all("creation").collect();
        if chosen.is_empty() {
            return Err(wrong(Problem::bad_request("nothing is chosen: mark at least one creation")));
        }
        let plan: Plan = read::json(format!("[{}]", chosen.join(",")).as_bytes()).map_err(Problem::from)?;
        retries::preview(&app, &plan.planned().map_err(Problem::from)?).await?
    };
    let csrf = form.csrf();
    let view = RetriesView { csrf: &csrf, sought, filter };
    Ok(html(StatusCode::OK, retries_preview_page(&preview, view)))
}

/// `POST /dashboard/retries`: carries out the plan of a preview. To send it again is harmless.
#[worker::send]
pub(in crate::worker) async fn apply(app: App, form: OwnForm) -> Answer {
    let sought = form.field("sought");
    let wrong = |problem: Problem| {
        Page::leading_to(found_address(sought), "Back to the creations", form.refused(problem))
    };
    let ReasonForm { reason } = form.read(&["reason"]).map_err(wrong)?;
    let plan: Plan = read::json(form.field("plan").as_bytes()).map_err(|invalid| wrong(invalid.into()))?;
    let reason = reason.as_ref().map_or("", Text::as_str);
    let outcome = retries::apply(&app, form.actor(), &plan.planned().map_err(Problem::from)?, reason).await?;
    let csrf = form.csrf();
    let view = RetriesView { csrf: &csrf, sought, filter: None };
    let beyond = Some(form.field("cursor")).filter(|cursor| !cursor.is_empty());
    Ok(html(StatusCode::OK, retries_page(&outcome, beyond, view)))
}
