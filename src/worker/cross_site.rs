//! Which page has sent a request. A browser adds some credentials by itself, whichever page makes it send the request: its
//! cookies, and the session by which Cloudflare Access writes its assertion. So for a request that changes something they
//! count only if no other site's page can have sent it. This is the one place that reads them.

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, COOKIE, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::app::App;
use super::cors::Sharing;
use super::problem::Problem;
use crate::auth;

/// Browsers write it, and no page can: <https://www.w3.org/TR/fetch-metadata/>.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// A form can't send it, nor a script of another site without asking before.
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
const ACCESS_ASSERTION: HeaderName = HeaderName::from_static("cf-access-jwt-assertion");

/// Who has sent a request, as far as another site is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A page of this origin, or something that a page of another site can't do; or the request changes nothing.
    Own,
    /// A page of another site, or of another host of the same one.
    OtherSite,
    /// Nothing says so: no browser of this decade sends a POST like that.
    Unknown,
}

impl Sender {
    fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> Self {
        if method.is_safe() {
            return Sender::Own;
        }
        let own = match (headers.get(SEC_FETCH_SITE), headers.get(ORIGIN)) {
            (Some(site), _) => site == "same-origin",
            // Browsers before 2023 say no more.
            (None, Some(origin)) => origin.as_bytes() == self::origin(uri).as_bytes(),
            (None, None) if headers.contains_key(X_REQUESTED_WITH) => true,
            (None, None) => return Sender::Unknown,
        };
        if own { Sender::Own } else { Sender::OtherSite }
    }
}

fn origin(uri: &Uri) -> String {
    let authority = uri.authority().map(|authority| authority.as_str());
    format!("{}://{}", uri.scheme_str().unwrap_or_default(), authority.unwrap_or_default())
}

/// The layer that turns away what a page of another site sends, unless it comes with a bearer token, which no browser adds by
/// itself: so no route that changes something is reached, not even to sign in or out. Listed origins get to read the answers.
pub(super) async fn guard(app: App, request: Request, next: Next) -> Response {
    let sharing = Sharing::of(&app.config.allowed_origins, &request);
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let foreign = Sender::of(method, uri, headers) == Sender::OtherSite && bearer(headers).is_none();
    let response = match sharing.answer() {
        Some(answer) => answer,
        None if foreign => {
            Problem::unauthorized(uri.path(), "a page of another site has sent it").into_response()
        }
        None => next.run(request).await,
    };
    sharing.mark(response)
}

/// The token of `Authorization: Bearer …`. A header of another scheme is no credential here.
fn bearer(headers: &HeaderMap) -> Option<String> {
    text(headers, AUTHORIZATION).as_deref().and_then(auth::bearer).map(str::to_owned)
}

/// What came with a request to vouch for its caller.
pub(super) struct Credentials {
    /// The token of the `Authorization` header.
    pub(super) bearer: Option<String>,
    cookies: String,
    assertion: Option<String>,
    sender: Sender,
}

/// What Cloudflare Access says of whoever comes through it.
#[derive(Clone, Copy)]
pub(super) struct Assertion<'a> {
    pub(super) token: &'a str,
    /// Whether it counts for people too, and not only for a service token, which no browser has.
    pub(super) people: bool,
}

impl Credentials {
    /// Those of a request.
    pub(super) fn of(parts: &Parts) -> Self {
        let headers = &parts.headers;
        Credentials {
            bearer: bearer(headers),
            cookies: text(headers, COOKIE).unwrap_or_default(),
            assertion: text(headers, ACCESS_ASSERTION),
            sender: Sender::of(&parts.method, &parts.uri, headers),
        }
    }

    /// Those of a form that carries a token of its own, which another site's page can't know: it stands for `Sec-Fetch-Site`.
    /// Whoever takes them has to look at that token.
    pub(super) fn of_own_form(parts: &Parts) -> Self {
        let credentials = Self::of(parts);
        match credentials.sender {
            Sender::Unknown => Credentials { sender: Sender::Own, ..credentials },
            Sender::Own | Sender::OtherSite => credentials,
        }
    }

    /// The bearer token, or else the cookie.
    pub(super) fn token(&self, cookie: Option<&str>) -> Option<&str> {
        let cookie = cookie.filter(|_| self.sender == Sender::Own);
        self.bearer.as_deref().or_else(|| auth::cookie(&self.cookies, cookie?))
    }

    /// What Access says.
    pub(super) fn assertion(&self) -> Option<Assertion<'_>> {
        let token = self.assertion.as_deref().filter(|_| self.sender != Sender::OtherSite)?;
        Some(Assertion { token, people: self.sender == Sender::Own })
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
