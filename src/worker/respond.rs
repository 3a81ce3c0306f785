use ::worker::{Headers, Response, ResponseBuilder, console_error, console_log};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::caller::Refusal;
use crate::rules::Timestamp;
use crate::view;

/// Nothing but the page's own style and script: prompts are untrusted text.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self' \
    'wasm-unsafe-eval'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

fn builder(status: u16, content_type: &str) -> ::worker::Result<ResponseBuilder> {
    let headers = Headers::new();
    headers.set("Content-Type", content_type)?;
    headers.set("Cache-Control", "private, no-store")?;
    headers.set("X-Content-Type-Options", "nosniff")?;
    headers.set("Referrer-Policy", "same-origin")?;
    Ok(ResponseBuilder::new().with_status(status).with_headers(headers))
}

pub(super) fn json(status: u16, body: &impl Serialize) -> ::worker::Result<Response> {
    let body = serde_json::to_string(body)?;
    Ok(builder(status, "application/json; charset=utf-8")?.fixed(body.into_bytes()))
}

/// JSON with the server's `now` and an ETag, which is of what does not change with every question; 304 if it is `known`.
pub(super) fn tagged(body: &Value, now: Timestamp, known: Option<&str>) -> ::worker::Result<Response> {
    let hash = Sha256::digest(serde_json::to_string(body)?);
    let tag: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("W/\"{tag}\"");
    let mut body = body.clone();
    if let Value::Object(body) = &mut body {
        body.insert(String::from("now"), now.as_millis().into());
    }
    let response = if known == Some(tag.as_str()) {
        builder(304, "application/json; charset=utf-8")?.empty()
    } else {
        json(200, &body)?
    };
    response.headers().set("ETag", &tag)?;
    // Asked again every time, and kept by nobody else.
    response.headers().set("Cache-Control", "private, no-cache")?;
    Ok(response)
}

pub(super) fn html(status: u16, body: String) -> ::worker::Result<Response> {
    let builder = builder(status, "text/html; charset=utf-8")?
        .with_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)?;
    Ok(builder.fixed(body.into_bytes()))
}

pub(super) fn error(status: u16, message: &str) -> ::worker::Result<Response> {
    json(status, &json!({ "error": message }))
}

pub(super) fn bad_request(message: &str) -> ::worker::Result<Response> {
    error(400, message)
}

/// The same answer whatever the reason; the reason goes to the log.
pub(super) fn unauthorized(path: &str, reason: &str) -> ::worker::Result<Response> {
    console_log!("{}", view::refused_caller_line(path, reason));
    let response = error(401, "Unauthorized")?;
    response.headers().set("WWW-Authenticate", "Bearer")?;
    Ok(response)
}

/// The answer to an operator without a credential, or with one that does not allow what was asked.
pub(super) fn refused(path: &str, refusal: Refusal) -> ::worker::Result<Response> {
    match refusal {
        Refusal::Unauthorized(reason) => unauthorized(path, &reason),
        Refusal::Forbidden(reason) => {
            console_log!("{}", view::refused_caller_line(path, &reason));
            error(403, &reason)
        }
    }
}

/// The answer to somebody who asks too often.
pub(super) fn too_many_requests() -> ::worker::Result<Response> {
    let response = error(429, "too many requests: try again in a minute")?;
    response.headers().set("Retry-After", "60")?;
    Ok(response)
}

/// [`unauthorized`], as a page.
pub(super) fn sign_in(path: &str, reason: &str, demo: bool) -> ::worker::Result<Response> {
    console_log!("{}", view::refused_caller_line(path, reason));
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
pub(super) fn misconfigured(path: &str, reason: &str) -> ::worker::Result<Response> {
    console_error!(
        "{}",
        json!({ "level": "error", "event": "misconfigured", "message": reason, "path": path })
    );
    error(503, "the service is not configured: see /readyz")
}

pub(super) fn not_found(path: &str) -> ::worker::Result<Response> {
    error(404, &format!("there is nothing at `{path}`"))
}

pub(super) fn method_not_allowed(allow: &str) -> ::worker::Result<Response> {
    let response = error(405, &format!("method not allowed: expected `{allow}`"))?;
    response.headers().set("Allow", allow)?;
    Ok(response)
}

pub(super) fn see_other(location: &str) -> ::worker::Result<Response> {
    let response = html(303, String::new())?;
    response.headers().set("Location", location)?;
    Ok(response)
}
