//! What handlers take out of a request. A failure is a [`Problem`] that quotes what was sent and says what would be right.

use std::error::Error as _;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::read::{self, Invalid};

/// The longest body that is read, in bytes: more than a plan of 1,000 creations has, as a dry run answers it.
const MAX_BYTES: usize = 4_000_000;

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
        Ok(Query(read::query(pairs(&parts.uri))?))
    }
}

/// The query of a route that has no parameters, or the body of one that has no keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The parameters of the query as they are, in order.
pub(super) fn pairs(uri: &Uri) -> Vec<(String, String)> {
    serde_urlencoded::from_str(uri.query().unwrap_or_default()).unwrap_or_default()
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

/// The whole body. One that can't be read to its end is an error, for an empty one may mean everything.
pub(super) struct Body(pub(super) String);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = to_bytes(request.into_body(), MAX_BYTES).await.map_err(|error| {
            if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
                let message =
                    format!("the body has more than {MAX_BYTES} bytes: expected at most {MAX_BYTES}");
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
            } else {
                Problem::bad_request("the body can't be read to its end: send it again, whole")
            }
        })?;
        let text = String::from_utf8(body.into());
        let text = text.map_err(|_| Problem::bad_request("the body is not text: expected UTF-8"))?;
        // Some write a mark before it, and it means nothing.
        Ok(Body(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
    }
}

/// A JSON object; an empty body is an empty object.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(body) = Body::from_request(request, state).await?;
        Ok(Json(read::json(body.as_bytes())?))
    }
}

/// The fields of a form, as a page sends it.
pub(super) struct Form<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Body(body) = Body::from_request(request, state).await?;
        let invalid = |error| Problem::bad_request(format!("the form is not valid: {error}"));
        serde_urlencoded::from_str(&body).map(Form).map_err(invalid)
    }
}
