//! Retries by hand, cancellations and failures by hand: the same for an owner, on the page or by the API, for operators, on the dashboard
//! or by the API, and for the app.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use worker::console_log;

use super::app::App;
use super::courier;
use super::log;
use super::problem::{Answer, Problem, json};
use super::reporting::carry_out_by;
use crate::read::{Text, Whole};
use crate::rules::{Policy, Report, Status};
use crate::store::{CreationRow, Details};

/// The longest words to an owner, in characters.
const MAX_WORDS: usize = 1_000;

/// The body of a retry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryBody {
    attempt: Whole<1, 0xffff_ffff>,
}

impl RetryBody {
    /// As the rules take it.
    pub fn report(&self) -> Report<'static> {
        Report::Retry { attempt: self.attempt.get_u32() }
    }
}

/// The body of a cancellation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    attempt: Option<Whole<1, 0xffff_ffff>>,
}

impl CancelBody {
    /// As the rules take it.
    pub fn report<'a>(&self, policy: &'a Policy) -> Report<'a> {
        Report::Cancel { attempt: self.attempt.map(Whole::get_u32), policy }
    }
}

/// What a button of the page sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PressedForm {
    /// The creation.
    pub id: String,
    attempt: Whole<1, 0xffff_ffff>,
}

impl PressedForm {
    /// As a retry.
    pub fn retry(&self) -> RetryBody {
        RetryBody { attempt: self.attempt }
    }

    /// As a cancellation.
    pub fn cancel(&self) -> CancelBody {
        CancelBody { attempt: Some(self.attempt) }
    }
}

/// The body of a failure by hand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailNowBody {
    attempt: Whole<1, 0xffff_ffff>,
    error: Text<MAX_WORDS>,
}

impl FailNowBody {
    /// As the rules take it.
    pub fn report(&self) -> Report<'static> {
        Report::FailNow { attempt: self.attempt.get_u32() }
    }
}

/// Who asks for it.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// Its owner: it must be theirs.
    Owner(&'a str),
    /// A token of this name: the audit keeps it.
    Token(&'a str),
}

impl<'a> By<'a> {
    /// Whose it must be; empty for anybody's.
    const fn owner(self) -> &'a str {
        match self {
            By::Owner(user_id) => user_id,
            By::Token(_) => "",
        }
    }

    const fn actor(self) -> Option<&'a str> {
        match self {
            By::Owner(_) => None,
            By::Token(name) => Some(name),
        }
    }
}

/// Has a failed creation generated once more. `at` is its owner, where the caller says so.
pub(super) async fn retry(
    app: &App,
    id: &str,
    at: Option<&str>,
    by: By<'_>,
    body: &RetryBody,
) -> Result<CreationRow, Problem> {
    // The event is the workers' too: it is their offer.
    let details = Details {
        user_id: by.owner(),
        notify: courier::destinations(app).retry,
        // Owners are held to their limit; operators, and the app, know what they do.
        max_active: matches!(by, By::Owner(_)).then_some(&app.config.policy),
        ..Details::default()
    };
    let row = carry_out_by(app, id, at, body.report(), details, by.actor()).await?;
    if let By::Token(name) = by {
        console_log!("{}", log::retried(id, name));
    }
    Ok(row)
}

/// The same, with the answer of the API.
pub(super) async fn retried(app: &App, id: &str, at: Option<&str>, by: By<'_>, body: &RetryBody) -> Answer {
    let row = retry(app, id, at, by, body).await?;
    let answer = json!({
        "id": row.creation.id,
        // What came of this retry, whatever has become of it since.
        "status": Status::Pending.as_str(),
        "attempt": body.attempt.get_u32().saturating_add(1),
        "charged_tokens": row.creation.tokens,
    });
    Ok(json(StatusCode::OK, &answer))
}

/// Ends what nobody wants any more.
pub(super) async fn cancel(
    app: &App,
    id: &str,
    at: Option<&str>,
    by: By<'_>,
    body: &CancelBody,
) -> Result<CreationRow, Problem> {
    let details =
        Details { user_id: by.owner(), notify: courier::destinations(app).app, ..Details::default() };
    let row = carry_out_by(app, id, at, body.report(&app.config.policy), details, by.actor()).await?;
    if let By::Token(name) = by {
        console_log!("{}", log::cancelled(id, name));
    }
    Ok(row)
}

/// The same, with the answer of the API.
pub(super) async fn cancelled(
    app: &App,
    id: &str,
    at: Option<&str>,
    by: By<'_>,
    body: &CancelBody,
) -> Answer {
    Ok(over(&cancel(app, id, at, by, body).await?))
}

/// Fails what is active, in an operator's words, and gives all of its tokens back.
pub(super) async fn fail_now(
    app: &App,
    id: &str,
    at: Option<&str>,
    actor: &str,
    body: &FailNowBody,
) -> Result<CreationRow, Problem> {
    let details =
        Details { error: body.error.as_str(), notify: courier::destinations(app).app, ..Details::default() };
    let row = carry_out_by(app, id, at, body.report(), details, Some(actor)).await?;
    console_log!("{}", log::failed_by_operator(id, actor));
    Ok(row)
}

/// The answer about what has failed.
pub(super) fn over(row: &CreationRow) -> Response {
    let answer = json!({
        "id": row.creation.id,
        "status": Status::Failed.as_str(),
        "attempt": row.creation.attempt,
        "finished_at": row.finished_at,
        "tokens_used": row.used(),
        "refunded_tokens": row.refunded(),
    });
    json(StatusCode::OK, &answer)
}

/// Restores the result that came too late.
pub(super) async fn restore(
    app: &App,
    id: &str,
    at: Option<&str>,
    actor: &str,
) -> Result<CreationRow, Problem> {
    let details = Details { notify: courier::destinations(app).app, ..Details::default() };
    let row = carry_out_by(app, id, at, Report::Restore, details, Some(actor)).await?;
    console_log!("{}", log::restored(id, actor));
    Ok(row)
}
