use axum::http::StatusCode;

use super::app::Context;
use super::problem::Problem;
use crate::rules::{Refusal, Report, Status};
use crate::service::creations::{ReportError, report};
use crate::store::{CreationRow, Details};

/// Carries out a report of a worker, an owner or an operator, and gives the creation as it is after it.
pub(super) async fn carry_out(
    context: &Context,
    id: &str,
    what: Report<'_>,
    details: Details<'_>,
) -> Result<CreationRow, Problem> {
    let row = report(&context.database, id, what, details, context.now).await;
    let row = row.map_err(|error| problem(error, details.keep && matches!(what, Report::Complete { .. })))?;
    if details.notify != 0 {
        context.emitted.set(true);
    }
    Ok(row)
}

/// The answer to a report that did not take effect. `keep` says whether a result that comes too late is kept.
pub(super) fn problem(error: ReportError, keep: bool) -> Problem {
    match error {
        ReportError::NotFound => Problem::not_found("there is no such creation"),
        ReportError::Refused { refusal, row } => {
            let kept = keep && refusal == Refusal::Over && row.late_at.is_some();
            let next = row.creation.draft().status.map(Status::next).unwrap_or_default();
            Problem::new(StatusCode::CONFLICT, refusal.to_string())
                .with("code", refusal.code())
                .with("status", row.creation.status)
                .with("attempt", row.creation.attempt)
                .with("next", next.iter().map(|status| status.as_str()).collect::<Vec<_>>())
                .with("kept", kept)
        }
        ReportError::InsufficientTokens { balance, tokens } => {
            let message = "insufficient tokens: the balance does not cover the charge";
            Problem::new(StatusCode::PAYMENT_REQUIRED, message)
                .with("balance", balance)
                .with("tokens", tokens)
        }
        ReportError::Different => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this `Idempotency-Key` was used for another creation: expected the same body",
        ),
        ReportError::Database(error) => {
            let message = "the database does not answer right now: repeat the request, it does no harm";
            Problem::database(&error, message)
        }
    }
}
