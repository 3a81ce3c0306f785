//! Retries by hand and cancellations: the same for an owner, on the page or by the API, for operators and for the app.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::app::App;
use super::courier;
use super::problem::{Answer, json};
use super::reporting::carry_out;
use crate::read::Whole;
use crate::rules::{Policy, Report, Status};
use crate::store::Details;

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

/// Has a failed creation generated once more; `owner` is whose it must be, if it is not anybody's.
pub(super) async fn retried(app: &App, id: &str, at: Option<&str>, owner: &str, body: &RetryBody) -> Answer {
    let report = body.report();
    // The event is the workers' too: it is their offer.
    let details = Details {
        user_id: owner,
        notify: courier::destinations(app).retry,
        // Owners are held to their limit; operators, and the app, know what they do.
        max_active: (!owner.is_empty()).then_some(&app.config.policy),
        ..Details::default()
    };
    let row = carry_out(app, id, at, report, details).await?;
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
pub(super) async fn cancelled(
    app: &App,
    id: &str,
    at: Option<&str>,
    owner: &str,
    body: &CancelBody,
) -> Answer {
    let details = Details { user_id: owner, notify: courier::destinations(app).app, ..Details::default() };
    let row = carry_out(app, id, at, body.report(&app.config.policy), details).await?;
    let answer = json!({
        "id": row.creation.id,
        "status": Status::Failed.as_str(),
        "attempt": row.creation.attempt,
        "finished_at": row.finished_at,
        "tokens_used": row.used(),
        "refunded_tokens": row.refunded(),
    });
    Ok(json(StatusCode::OK, &answer))
}
