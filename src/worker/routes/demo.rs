//! The sign-in of the local demo. It is there only where the host is this machine and `DEMO_SIGN_IN` is `local`,
//! which `npm start` writes into a file that is never deployed.

use super::body::Form;
use super::context::Context;
use super::message::{Answered, Request};
use super::respond;
use crate::auth::sign;
use crate::store::{self, Database as _};
use crate::view::{DemoUser, demo_page};

const DAY_MS: u64 = 86_400_000;

async fn users(context: &Context) -> Vec<DemoUser> {
    let results = context.database.run(&[store::balances(20)]).await.unwrap_or_default();
    let rows = results.into_iter().next().unwrap_or_default();
    let user = |row: store::Row| {
        Some(DemoUser {
            user_id: row.get("user_id")?.as_str()?.to_owned(),
            balance: row.get("tokens")?.as_u64()?,
        })
    };
    rows.into_iter().filter_map(user).collect()
}

/// `GET /demo`: the users to choose from.
pub(super) async fn page(context: &Context) -> Answered {
    respond::html(200, demo_page(&users(context).await))
}

/// `POST /demo`: signs in as the chosen user.
pub(super) async fn sign_in(context: &Context, request: &Request) -> Answered {
    let chosen = match Form::read(request).await {
        Ok(form) => form.field("user_id"),
        Err((status, error)) => return respond::error(status, &error),
    };
    if !users(context).await.iter().any(|user| user.user_id == chosen) {
        return respond::bad_request(&format!("`user_id` is `{chosen}`: expected one of the users on /demo"));
    }
    let expires_at = context.now.saturating_add(DAY_MS);
    let token = context
        .jwt_secret()
        .and_then(|secret| sign(&secret, &chosen, expires_at).map_err(|error| error.to_string()));
    match (token, &context.config.auth.cookie) {
        (Ok(token), Some(cookie)) => {
            let response = respond::see_other("/drafts")?;
            let cookie =
                format!("{cookie}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={}", DAY_MS / 1_000);
            response.headers().set("Set-Cookie", &cookie)?;
            Ok(response)
        }
        (Err(error), _) => respond::misconfigured("/demo", &error),
        (_, None) => respond::misconfigured("/demo", "`auth.cookie` is not set: expected a cookie's name"),
    }
}
