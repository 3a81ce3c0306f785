use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::caller::Refusal;
use super::console;
use super::message::{Answered, failure, response};
use crate::rules::Timestamp;
use crate::view;

/// Nothing but the page's own style and script: prompts are untrusted text.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self' \
    'wasm-unsafe-eval'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

fn answer(status: u16, content_type: &str, more: &[(&str, &str)], body: Option<&str>) -> Answered {
    let mut headers = vec![
        ("Content-Type", content_type),
        ("Cache-Control", "private, no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
    ];
    headers.extend_from_slice(more);
    response(status, &headers, body)
}

const JSON: &str = "application/json; charset=utf-8";

pub(super) fn json(status: u16, body: &impl Serialize) -> Answered {
    answer(status, JSON, &[], Some(&serde_json::to_string(body).map_err(failure)?))
}

/// JSON with the server's `now` and an ETag, which is of what does not change with every question; 304 if it is `known`.
pub(super) fn tagged(body: &Value, now: Timestamp, known: Option<&str>) -> Answered {
    let hash = Sha256::digest(serde_json::to_string(body).map_err(failure)?);
    let tag: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("W/\"{tag}\"");
    let mut body = body.clone();
    if let Value::Object(body) = &mut body {
        body.insert(String::from("now"), now.as_millis().into());
    }
    // Asked again every time, and kept by nobody else.
    let headers = [("ETag", tag.as_str()), ("Cache-Control", "private, no-cache")];
    if known == Some(tag.as_str()) {
        return answer(304, JSON, &headers, None);
    }
    answer(200, JSON, &headers, Some(&serde_json::to_string(&body).map_err(failure)?))
}

pub(super) fn html(status: u16, body: String) -> Answered {
    let headers = [("Content-Security-Policy", CONTENT_SECURITY_POLICY)];
    answer(status, "text/html; charset=utf-8", &headers, Some(&body))
}

pub(super) fn open_metrics(body: &str) -> Answered {
    answer(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", &[], Some(body))
}

pub(super) fn error(status: u16, message: &str) -> Answered {
    json(status, &json!({ "error": message }))
}

pub(super) fn bad_request(message: &str) -> Answered {
    error(400, message)
}

/// The same answer whatever the reason; the reason goes to the log.
pub(super) fn unauthorized(path: &str, reason: &str) -> Answered {
    console::log(&view::refused_caller_line(path, reason));
    let response = error(401, "Unauthorized")?;
    response.headers().set("WWW-Authenticate", "Bearer")?;
    Ok(response)
}

/// The answer to an operator without a credential, or with one that does not allow what was asked.
pub(super) fn refused(path: &str, refusal: Refusal) -> Answered {
    match refusal {
        Refusal::Unauthorized(reason) => unauthorized(path, &reason),
        Refusal::Forbidden(reason) => {
            console::log(&view::refused_caller_line(path, &reason));
            error(403, &reason)
        }
    }
}

/// The answer to somebody who asks too often.
pub(super) fn too_many_requests() -> Answered {
    let response = error(429, "too many requests: try again in a minute")?;
    response.headers().set("Retry-After", "60")?;
    Ok(response)
}

/// [`unauthorized`], as a page.
pub(super) fn sign_in(path: &str, reason: &str, demo: bool) -> Answered {
    console::log(&view::refused_caller_line(path, reason));
    html(
        401,
        view::message_page(
            "Sign in to see your drafts",
            "You are signed out, or your session has ended.",
            demo,
        ),
    )
}

/// Nothing is done with a configuration that is not understood. What is wrong stands in the log and on `/readyz`.
pub(super) fn misconfigured(path: &str, reason: &str) -> Answered {
    let line = json!({ "level": "error", "event": "misconfigured", "message": reason, "path": path });
    console::error(&serde_json::to_string(&line).map_err(failure)?);
    error(503, "the service is not configured: see /readyz")
}

pub(super) fn not_found(path: &str) -> Answered {
    error(404, &format!("there is nothing at `{path}`"))
}

pub(super) fn method_not_allowed(allow: &str) -> Answered {
    let response = error(405, &format!("method not allowed: expected `{allow}`"))?;
    response.headers().set("Allow", allow)?;
    Ok(response)
}

pub(super) fn see_other(location: &str) -> Answered {
    let response = html(303, String::new())?;
    response.headers().set("Location", location)?;
    Ok(response)
}
