//! Answers: one shape for everything that is wrong, and the few kinds of what is right.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use worker::{console_error, console_log};

use super::log;
use crate::service::shards::Unreachable;
use crate::store::DatabaseError;

/// The code of what is to be repeated until a move of buckets is done.
const MOVING: &str = "moving";
/// In so many seconds what moves is asked for again, and a database that does not answer.
const MOVED_AFTER_S: u16 = 5;
const AGAIN_AFTER_S: u16 = 10;

/// What is said where nothing is on record: see `worker::of_user`.
const UNRECORDED: &str = "it is not on record yet which users the database has: repeat the request, it does no harm; \
                          /readyz says what is in the way";

/// The code of what goes through when another creation of the same owner has ended, whenever that is.
pub(super) const TOO_MANY_ACTIVE: &str = "too_many_active";

/// What a route gives.
pub(super) type Answer = Result<Response, Problem>;

/// What is wrong: a status, and JSON with `error` and whatever else says more, such as `code`.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    message: String,
    more: Map<String, Value>,
    /// In so many seconds it may go through.
    retry_after: Option<u16>,
}

impl Problem {
    /// With this status and message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Problem { status, message: message.into(), more: Map::new(), retry_after: None }
    }

    /// 400: the message quotes what was sent and says what would be right.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 401: the same answer whatever the reason, which goes to the log.
    pub(super) fn unauthorized(path: &str, reason: &str) -> Self {
        console_log!("{}", log::refused_caller(path, reason));
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized")
    }

    /// 403: a valid credential that does not allow this.
    pub(super) fn forbidden(path: &str, reason: String) -> Self {
        console_log!("{}", log::refused_caller(path, &reason));
        Self::new(StatusCode::FORBIDDEN, reason)
    }

    /// 503: the configuration is not understood, so nothing is done. What is wrong is in the log and on `/readyz`.
    pub(super) fn misconfigured(path: &str, reason: &str) -> Self {
        console_error!("{}", log::misconfigured(path, reason));
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "the service is not configured: see /readyz")
            .with("code", "misconfigured")
    }

    /// 503: the database failed; its words go to the log.
    pub(super) fn database(error: &DatabaseError, message: &str) -> Self {
        let of = error.shard().map_or(String::new(), |shard| format!("`{shard}`: "));
        console_error!("{}", log::failed_read(&format!("{of}{error}")));
        Self::unanswered(error, message)
    }

    /// The same where the log has it already. Of several databases the message names the one that failed, and the answer has a
    /// `Retry-After`: the others go on, so somebody may well be waiting.
    pub(super) fn unanswered(error: &DatabaseError, message: &str) -> Self {
        let message = if error.is_unrecorded() { UNRECORDED } else { message };
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        let Some(shard) = error.shard() else { return problem };
        let message = if error.is_of_schema() {
            format!("the database `{shard}` lacks the schema: /readyz says what to do")
        } else if message.contains(&format!("`{shard}`")) {
            message.to_owned()
        } else if message.contains("database") {
            message.replacen("database", &format!("database `{shard}`"), 1)
        } else {
            format!("{message} (the database `{shard}` does not answer)")
        };
        Problem { message, retry_after: Some(AGAIN_AFTER_S), ..problem }
    }

    /// 503: the user's bucket is being moved to another database, as `Retry-After` says.
    pub(super) fn moving() -> Self {
        let message = "what is this user's is on its way to another database, or there already: repeat the request, it does no harm; if it stays so, /readyz says why";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, message).with("code", MOVING);
        Problem { retry_after: Some(MOVED_AFTER_S), ..problem }
    }

    /// The same with one key more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    /// What else it says, for a page that shows it.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.more.get(key).and_then(Value::as_u64)
    }

    /// The same of what it lists.
    pub fn words(&self, key: &str) -> Vec<&str> {
        let listed = self.more.get(key).and_then(Value::as_array);
        listed.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// For a page that shows it.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// For a page that shows it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// By what an owner's page says it.
    pub fn code(&self) -> &str {
        self.more.get("code").and_then(Value::as_str).unwrap_or_else(|| code(self.status))
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        if error.is_moving() {
            return Self::moving();
        }
        Self::database(&error, "the database does not answer right now: see /readyz")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, message, mut more, retry_after } = self;
        more.insert(String::from("error"), message.into());
        // 401 says nothing else, whatever the reason.
        if status != StatusCode::UNAUTHORIZED {
            more.entry("code").or_insert_with(|| code(status).into());
        }
        let waits = more.get("code").is_some_and(|code| code == TOO_MANY_ACTIVE);
        let mut response = json(status, &more);
        let headers = response.headers_mut();
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS if !waits => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
            }
            _ => {}
        }
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// What a program goes by, where a route has no code of its own.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::PAYMENT_REQUIRED => "insufficient_tokens",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        StatusCode::URI_TOO_LONG => "uri_too_long",
        StatusCode::UNPROCESSABLE_ENTITY => "idempotency_key_reused",
        StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
        status if status.is_server_error() => "unavailable",
        _ => "invalid_request",
    }
}

const JSON: &str = "application/json; charset=utf-8";

/// JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(CONTENT_TYPE, JSON)], text).into_response(),
        // No type here has anything that JSON can't say.
        Err(error) => {
            console_error!("{}", log::failed_read(&error.to_string()));
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// JSON of what those databases say that answer. Where one does not, `unreachable` names it, and its rows are missing.
pub(super) fn partial(mut body: Value, unreachable: &[Unreachable]) -> Response {
    for Unreachable { shard, error } in unreachable {
        console_error!("{}", log::failed_read(&format!("`{shard}`: {error}")));
    }
    if let (Value::Object(body), false) = (&mut body, unreachable.is_empty()) {
        body.insert(String::from("unreachable"), named(unreachable).into());
    }
    json(StatusCode::OK, &body)
}

/// Those that do not answer, as JSON.
pub(super) fn named(unreachable: &[Unreachable]) -> Vec<Value> {
    unreachable.iter().map(|Unreachable { shard, error }| json!({ "shard": shard, "error": error })).collect()
}

/// JSON with the server's `now` and an ETag, which is of what does not change with every question; 304 if the caller has it.
pub(super) fn tagged(body: &impl Serialize, now: u64, headers: &HeaderMap) -> Answer {
    let invalid =
        |error: serde_json::Error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let mut body = serde_json::to_value(body).map_err(invalid)?;
    let hash = Sha256::digest(serde_json::to_string(&body).map_err(invalid)?);
    let tag: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let known = headers.get_all("If-None-Match").iter().any(|known| names(known, &tag));
    let tag = format!("W/\"{tag}\"");
    if let Value::Object(body) = &mut body {
        body.insert(String::from("now"), now.into());
    }
    let answer = if known {
        (StatusCode::NOT_MODIFIED, [(CONTENT_TYPE, JSON)]).into_response()
    } else {
        json(StatusCode::OK, &body)
    };
    // Asked again every time, and kept by nobody else.
    Ok(([(ETAG, tag.as_str()), (CACHE_CONTROL, "private, no-cache")], answer).into_response())
}

/// Whether a tag is among those of a header, weak or not: a list, or `*` for any.
fn names(known: &HeaderValue, tag: &str) -> bool {
    known.to_str().unwrap_or_default().split(',').map(str::trim).any(|known| {
        let known = known.strip_prefix("W/").unwrap_or(known);
        known == "*" || known.strip_prefix('"').and_then(|known| known.strip_suffix('"')) == Some(tag)
    })
}

/// A page.
pub(super) fn html(status: StatusCode, page: String) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// 303: what to look at next.
pub(super) fn see_other(location: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// 404 for a path that no route has.
pub(super) async fn nothing_here(uri: axum::http::Uri) -> Problem {
    Problem::not_found(format!("there is nothing at `{}`", uri.path()))
}

/// 405: axum adds `Allow`.
pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method not allowed: the header `Allow` lists those that are",
    )
}
