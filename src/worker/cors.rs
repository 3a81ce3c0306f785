//! Pages of other origins: those that the configuration lists may call the users' routes. They send the user's token in the
//! `Authorization` header: no cookie is asked for, and none is sent.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// How far a request's answer is shared with the page that asks.
#[derive(Default)]
pub(super) struct Sharing {
    /// Whether it is for one of the users' routes, and any origin is listed at all.
    any: bool,
    /// The page's origin, if it is listed.
    origin: Option<HeaderValue>,
    /// Whether the browser only asks before it sends the page's request.
    asks: bool,
}

impl Sharing {
    /// Of a request, where `allowed` lists the origins.
    pub(super) fn of(allowed: &[String], request: &Request) -> Self {
        let for_users = request.uri().path().strip_prefix("/api/drafts");
        if allowed.is_empty() || !for_users.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Sharing::default();
        }
        let headers = request.headers();
        let origin =
            headers.get(ORIGIN).filter(|origin| allowed.iter().any(|allowed| *origin == allowed.as_str()));
        let asks = request.method() == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        Sharing { any: true, asks: asks && origin.is_some(), origin: origin.cloned() }
    }

    /// The answer to a browser that asks beforehand.
    pub(super) fn answer(&self) -> Option<Response> {
        self.asks.then(|| StatusCode::NO_CONTENT.into_response())
    }

    /// Says in an answer who may read it.
    pub(super) fn mark(self, mut response: Response) -> Response {
        let mut say = |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        if self.any {
            say(VARY, "Origin");
        }
        let Some(origin) = self.origin else { return response };
        if self.asks {
            say(ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE");
            say(ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type, If-None-Match");
            say(ACCESS_CONTROL_MAX_AGE, "3600");
        } else {
            say(ACCESS_CONTROL_EXPOSE_HEADERS, "ETag, Retry-After");
        }
        response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response
    }
}
