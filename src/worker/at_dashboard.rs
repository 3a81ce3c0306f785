//! Who is at the dashboard, the forms that they send, and what is wrong as a page.

use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::app::App;
use super::caller::{Denial, Needed, Sweep, allowed};
use super::cross_site::Credentials;
use super::extract::{Form, MAX_PLAN};
use super::pages::{creation_address, operator_sign_in, refused_page};
use super::problem::{Problem, html};
use crate::auth::{csrf, csrf_matches};
use crate::read;
use crate::store::DatabaseError;

/// The cookie with an operator's credential: for this page only, and never for another site's request.
pub(super) const COOKIE: &str = "operator";
pub(super) const COOKIE_SECONDS: u32 = 43_200;

pub(super) type Answer = Result<Response, Page>;

/// What is wrong, as a page.
pub(super) struct Page {
    title: &'static str,
    problem: Problem,
    /// Where a link leads back, and what it says.
    back: (String, &'static str),
    /// What was written into the form that is refused.
    typed: String,
}

impl Page {
    pub(super) fn new(title: &'static str, problem: Problem) -> Self {
        let back = (String::from("/dashboard"), "Back to the dashboard");
        Page { title, problem, back, typed: String::new() }
    }

    /// With the way back to this address.
    pub(super) fn leading_to(address: String, words: &'static str, problem: impl Into<Page>) -> Self {
        Page { back: (address, words), ..problem.into() }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let Page { title, problem, back: (address, link), typed } = self;
        let words = match (problem.status(), problem.number("balance"), problem.number("tokens")) {
            (StatusCode::PAYMENT_REQUIRED, Some(balance), Some(tokens)) => format!(
                "The balance of its owner, {balance}, does not cover the charge of {tokens} tokens. Nothing was changed."
            ),
            _ => problem.message().to_owned(),
        };
        html(problem.status(), refused_page(title, &words, &typed, Some((&address, link))))
    }
}

impl From<Problem> for Page {
    fn from(problem: Problem) -> Self {
        Page::new("Not done", problem)
    }
}

impl From<DatabaseError> for Page {
    fn from(error: DatabaseError) -> Self {
        let message = "The database does not answer right now. Nothing is lost; /readyz says more.";
        Page::new("Dashboard", Problem::database(&error, message))
    }
}

/// The operator at the dashboard whose credential allows `N`, and that credential; otherwise the page to sign in, or a refusal.
///
/// Forms carry what is made of that credential. So each is tried by itself: a cookie that somebody else has set may not sign the
/// forms of whom Cloudflare Access lets in.
pub(super) struct AtDashboard<N> {
    pub(super) name: String,
    credential: String,
    scope: PhantomData<N>,
}

impl<S: Sync, N: Needed> FromRequestParts<S> for AtDashboard<N> {
    type Rejection = Response;

    #[worker::send]
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let app = App::from_request_parts(parts, state).await.map_err(Problem::into_response)?;
        Self::by(&app, &parts.uri, &Credentials::of(parts)).await
    }
}

impl<N: Needed> AtDashboard<N> {
    /// What their forms carry.
    pub(super) fn csrf(&self) -> String {
        csrf(&self.credential)
    }

    async fn by(app: &App, uri: &Uri, credentials: &Credentials) -> Result<Self, Response> {
        let presented = credentials.token(Some(COOKIE));
        let assertion = credentials.assertion();
        let by_token = allowed(app, presented, None, N::SCOPE).await;
        let (allowed, credential) = match (&by_token, assertion) {
            (Err(Denial::Unauthorized(_)), Some(vouching)) => {
                (allowed(app, None, assertion, N::SCOPE).await, Some(vouching.token))
            }
            _ => (by_token, presented),
        };
        match allowed {
            Ok(name) => {
                let credential = credential.unwrap_or_default().to_owned();
                Ok(AtDashboard { name, credential, scope: PhantomData })
            }
            Err(denial) => Err(turned_away(app, uri, denial, presented.is_some())),
        }
    }
}

/// The operator who has sent a form of the dashboard, and what is in it. Every button's handler takes it: it has looked at who
/// sends the form before it read it, and at the form's own token before anything is done.
pub(super) struct OwnForm {
    operator: AtDashboard<Sweep>,
    fields: Vec<(String, String)>,
}

impl OwnForm {
    /// Who has sent it, as the audit names them.
    pub(super) fn actor(&self) -> &str {
        &self.operator.name
    }

    /// What the forms of the page that answers carry.
    pub(super) fn csrf(&self) -> String {
        self.operator.csrf()
    }

    /// A field, or nothing.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// The creation that it is about, and its owner, where the page was asked for theirs.
    pub(super) fn creation(&self) -> (&str, Option<&str>) {
        (self.field("id"), Some(self.field("user_id")).filter(|user_id| !user_id.is_empty()))
    }

    /// Why it is refused: with the way back to its creation, if there is one, and with what was written.
    pub(super) fn refused(&self, problem: Problem) -> Page {
        let typed = ["text", "error", "reason"].map(|name| self.field(name).trim());
        let typed = typed.into_iter().find(|words| !words.is_empty()).unwrap_or_default().to_owned();
        let page = Page { typed, ..Page::from(problem) };
        match self.creation() {
            ("", _) => page,
            _ if page.problem.status() == StatusCode::NOT_FOUND => page,
            (id, user_id) => Page::leading_to(creation_address(id, user_id), "Back to the creation", page),
        }
    }

    /// All fields with this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// These fields; a form sends empty ones for what is not given.
    pub(super) fn read<T: DeserializeOwned>(&self, names: &[&str]) -> Result<T, Problem> {
        let given =
            self.fields.iter().filter(|(key, value)| names.contains(&key.as_str()) && !value.is_empty());
        Ok(read::query(given.cloned())?)
    }
}

impl<S: Send + Sync> FromRequest<S> for OwnForm {
    type Rejection = Response;

    #[worker::send]
    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let app = App::from_request_parts(&mut parts, state).await.map_err(Problem::into_response)?;
        let operator = AtDashboard::by(&app, &parts.uri, &Credentials::of_own_form(&parts)).await?;
        let form = Form::<_, MAX_PLAN>::from_request(Request::from_parts(parts, body), state).await;
        let Form(fields) = form.map_err(|problem| Page::from(problem).into_response())?;
        let form = OwnForm { operator, fields };
        if csrf_matches(&form.operator.credential, form.field("csrf")) {
            return Ok(form);
        }
        let message =
            "This form was not made for you, or is too old. Go back to the dashboard and try again.";
        Err(form.refused(Problem::new(StatusCode::FORBIDDEN, message)).into_response())
    }
}

/// The page for who is not let in; `wrong` if a credential was presented.
pub(super) fn turned_away(app: &App, uri: &Uri, denial: Denial, wrong: bool) -> Response {
    match denial {
        Denial::Unauthorized(reason) => {
            let problem = Problem::unauthorized(uri.path(), &reason);
            html(problem.status(), operator_sign_in(app.demo, wrong))
        }
        Denial::Forbidden(reason) => {
            let problem = Problem::forbidden(uri.path(), reason);
            Page::new("Not allowed", problem).into_response()
        }
    }
}
