//! What handlers take out of a request. A failure is a [`Problem`] that quotes what was sent and says what would be right.

use std::error::Error as _;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::app::App;
use super::problem::Problem;
use crate::read::{self, Invalid};

/// The longest plan that is read, in bytes: more than one of 1,000 creations has, as a dry run answers it.
pub(super) const MAX_PLAN: usize = 4_000_000;
/// The longest body of another kind.
const MAX_JSON: usize = 1_000_000;
/// The longest body of somebody who has shown no credential: a form to sign in. Handlers name their caller before the body;
/// one that forgets it reads no more than this.
const MAX_UNIDENTIFIED: usize = 16_384;

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Problem::bad_request(invalid.message)
    }
}

/// The parameters of the query; any that `T` does not have is an error.
pub(super) struct Query<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Query(read::query(pairs(&parts.uri)?)?))
    }
}

/// The query of a route that has no parameters, or the body of one that has no keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The parameters of the query as they are, in order.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let unreadable =
        || Problem::bad_request("the query can't be read: expected UTF-8, with `%` before two digits");
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(uri.query().unwrap_or_default()).map_err(|_| unreadable())?;
    // Instead of what is not UTF-8: it would be another name than the one that was meant.
    let replaced = |text: &String| text.contains(char::REPLACEMENT_CHARACTER);
    if pairs.iter().any(|(key, value)| replaced(key) || replaced(value)) {
        Err(unreadable())
    } else {
        Ok(pairs)
    }
}

/// A part of the path, decoded.
pub(super) struct Path(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let invalid =
            |_| Problem::bad_request(format!("the path `{}` is not valid: expected UTF-8", parts.uri.path()));
        path.map(|axum::extract::Path(text)| Path(text)).map_err(invalid)
    }
}

/// The whole body, as text of at most `max` bytes. One that can't be read to its end is an error, for an empty one may mean
/// everything.
async fn text(request: Request, max: usize) -> Result<String, Problem> {
    let identified = request.extensions().get::<App>().is_some_and(|app| app.identified.get());
    let max = if identified { max } else { max.min(MAX_UNIDENTIFIED) };
    let body = to_bytes(request.into_body(), max).await.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            let message = format!("the body has more than {max} bytes: expected at most {max}");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
        } else {
            Problem::bad_request("the body can't be read to its end: send it again, whole")
        }
    })?;
    let text = String::from_utf8(body.into());
    let text = text.map_err(|_| Problem::bad_request("the body is not text: expected UTF-8"))?;
    // Some write a mark before it, and it means nothing.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// A plan, as text.
pub(super) struct Body(pub(super) String);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        text(request, MAX_PLAN).await.map(Body)
    }
}

/// A JSON object; an empty body is an empty object.
pub(super) struct Json<T, const MAX: usize = MAX_JSON>(pub(super) T);

impl<S: Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Json<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = text(request, MAX).await?;
        Ok(Json(read::json(body.as_bytes())?))
    }
}

/// The fields of a form, as a page sends it.
pub(super) struct Form<T, const MAX: usize = MAX_UNIDENTIFIED>(pub(super) T);

impl<S: Sync, T: DeserializeOwned, const MAX: usize> FromRequest<S> for Form<T, MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = text(request, MAX).await?;
        let invalid = |error| Problem::bad_request(format!("the form is not valid: {error}"));
        serde_urlencoded::from_str(&body).map(Form).map_err(invalid)
    }
}
