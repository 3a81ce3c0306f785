//! The sign-in of the local demo. It is there only where the host is this machine and `DEMO_SIGN_IN` is `local`, which
//! `npm start` writes into a file that is never deployed.

use axum::extract::FromRequestParts;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde::Deserialize;

use crate::auth::sign;
use crate::service::shards::run_each;
use crate::store;
use crate::worker::app::{App, Context};
use crate::worker::extract::Form;
use crate::worker::pages::{DemoUser, demo_page};
use crate::worker::problem::{Answer, Problem, html, nothing_here, see_other};

const DAY_MS: u64 = 86_400_000;
/// So many users are shown.
const DEMO_USERS: u32 = 20;

/// The [`App`] where the demo is; elsewhere there is nothing at its path.
pub(in crate::worker) struct Demo(App);

impl<S: Sync> FromRequestParts<S> for Demo {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let app = App::from_request_parts(parts, state).await?;
        if app.demo { Ok(Demo(app)) } else { Err(nothing_here(parts.uri.clone()).await) }
    }
}

async fn users(context: &Context) -> Vec<DemoUser> {
    let statement = [store::balances(DEMO_USERS)];
    let answers = run_each(&context.shards(), &statement).await;
    let rows = answers.into_iter().flat_map(Result::unwrap_or_default).flatten();
    let user = |row: store::Row| {
        Some(DemoUser {
            user_id: row.get("user_id")?.as_str()?.to_owned(),
            balance: row.get("tokens")?.as_u64()?,
        })
    };
    let mut users: Vec<_> = rows.filter_map(user).collect();
    users.sort_by(|one, other| one.user_id.cmp(&other.user_id));
    users.truncate(DEMO_USERS as usize);
    users
}

/// `GET /demo`: the users to choose from.
#[worker::send]
pub(in crate::worker) async fn page(Demo(app): Demo) -> Answer {
    Ok(html(StatusCode::OK, demo_page(&users(&app).await)))
}

#[derive(Deserialize)]
pub(in crate::worker) struct SignInForm {
    #[serde(default)]
    user_id: String,
}

/// `POST /demo`: signs in as the chosen user.
#[worker::send]
pub(in crate::worker) async fn sign_in(Demo(app): Demo, uri: Uri, Form(form): Form<SignInForm>) -> Answer {
    let chosen = form.user_id;
    if !users(&app).await.iter().any(|user| user.user_id == chosen) {
        let message = format!("`user_id` is `{chosen}`: expected one of the users on /demo");
        return Err(Problem::bad_request(message));
    }
    let misconfigured = |reason: &str| Problem::misconfigured(uri.path(), reason);
    let secret = app.jwt_secret().map_err(|error| misconfigured(&error))?;
    let expires_at = app.now.saturating_add(DAY_MS);
    let token = sign(&secret, &chosen, expires_at).map_err(|error| misconfigured(&error.to_string()))?;
    let cookie = app.config.auth.cookie.as_ref();
    let cookie = cookie.ok_or_else(|| misconfigured("`auth.cookie` is not set: expected a cookie's name"))?;
    let cookie = format!("{cookie}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}", DAY_MS / 1_000);
    Ok(([(SET_COOKIE, cookie)], see_other("/drafts")).into_response())
}
