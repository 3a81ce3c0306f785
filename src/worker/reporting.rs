use axum::http::{HeaderMap, StatusCode};

use super::app::Context;
use super::problem::{Problem, TOO_MANY_ACTIVE};
use super::shards;
use crate::rules::{Refusal, Report, Status};
use crate::service::creations::{ReportError, report};
use crate::store::{Acting, CreationRow, Details};

/// Carries out a report of a worker, an owner or an operator, and gives the creation as it is after it. `user_id` is its owner, where the
/// caller says so.
pub(super) async fn carry_out(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
    what: Report<'_>,
    details: Details<'_>,
) -> Result<CreationRow, Problem> {
    carry_out_by(context, id, user_id, what, details, None).await
}

/// The same, where it is to be kept who acts: a token's name.
pub(super) async fn carry_out_by(
    context: &Context,
    id: &str,
    user_id: Option<&str>,
    what: Report<'_>,
    details: Details<'_>,
    actor: Option<&str>,
) -> Result<CreationRow, Problem> {
    let audit_id = actor.map(|_| context.new_id()).transpose()?.unwrap_or_default();
    let act = actor.map(|actor| Acting { audit_id: &audit_id, actor });
    let details = Details { act, ..details };
    let late = match what {
        Report::Complete { result_url, .. } if details.keep => Some(result_url),
        _ => None,
    };
    // What is an owner's own doing looks whose it is.
    let asks_whose = !details.user_id.is_empty();
    let found = shards::find_whose(context, id, user_id, asks_whose, async |at, database| {
        match report(database, id, what, details, context.now).await {
            Ok(row) => Ok(Some((at, row))),
            Err(ReportError::NotFound) => Ok(None),
            Err(error) => Err(problem(error, late)),
        }
    });
    let Some((at, row)) = found.await? else {
        // A worker that is told that there is none gives up its work.
        let elsewhere = shards::may_be_elsewhere(context, id, user_id).await?;
        return Err(problem(if elsewhere { ReportError::Moving } else { ReportError::NotFound }, late));
    };
    if details.notify != 0 {
        context.emitted(at);
    }
    Ok(row)
}

/// The answer to a report that did not take effect. `late` is its result, where one is kept that comes too late: the first is, so another
/// one is not.
pub(super) fn problem(error: ReportError, late: Option<&str>) -> Problem {
    match error {
        ReportError::NotFound => Problem::not_found("there is no such creation"),
        ReportError::Refused { refusal, row } => {
            let over = matches!(refusal, Refusal::Over | Refusal::Cancelled);
            let kept =
                over && row.late_at.is_some() && late.is_some() && row.late_result_url.as_deref() == late;
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
        ReportError::TooManyActive { limit, kind, active } => {
            let kinds = kind.as_ref().map_or(String::new(), |kind| format!(" of the kind `{kind}`"));
            let message = format!(
                "as many of the owner's creations{kinds} are active as may be, {limit}: wait until one of them has ended"
            );
            Problem::new(StatusCode::TOO_MANY_REQUESTS, message)
                .with("code", TOO_MANY_ACTIVE)
                .with("limit", limit)
                .with("kind", kind)
                .with("active", serde_json::to_value(active).unwrap_or_default())
        }
        ReportError::Different => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "this `Idempotency-Key` was used for something else: expected the same body",
        ),
        ReportError::Moving => Problem::moving(),
        ReportError::BalanceTooLarge => {
            let message = "the balance would exceed 9007199254740991 tokens, and nothing was changed: \
                           the same request will never go through";
            Problem::new(StatusCode::CONFLICT, message).with("code", "balance_too_large")
        }
        ReportError::Rejected(error) => {
            let message = format!(
                "the database rejects it, and nothing was changed: `{error}`; repeating it is of no use before that is removed"
            );
            Problem::new(StatusCode::CONFLICT, message).with("code", "rejected")
        }
        ReportError::Database(error) => {
            let message = "the database does not answer right now: repeat the request, it does no harm";
            Problem::database(&error, message)
        }
    }
}

/// What names a request that may be sent again. White space around it names nothing.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("Idempotency-Key") else { return Ok(None) };
    // ASCII without control characters; a blank that is none of it is no part of the key either.
    let key = value.to_str().map(str::trim).ok();
    let valid = |key: &&str| (1..=200).contains(&key.len()) && !key.contains(char::is_control);
    let message =
        "`Idempotency-Key` is not valid: expected 1 to 200 ASCII characters without control characters";
    key.filter(valid).map(Some).ok_or_else(|| Problem::bad_request(message))
}
