//! The operators' page. It is read with the scope `read`; what it does needs `sweep`, and the form's own token.

use js_sys::JSON;
use wasm_bindgen::JsValue;

use super::body::Form;
use super::console;
use super::context::Context;
use super::message::{Answered, Request, failure};
use super::sweeping::{self, Ask};
use super::{caller, operators, respond, url, watch};
use crate::auth::Scope;
use crate::auth::{csrf, csrf_matches};
use crate::input::{Plan, whole};
use crate::rules::Timestamp;
use crate::service::monitor::Health;
use crate::store::{self, Dashboard, Database as _, DatabaseError};
use crate::sweep::Source;
use crate::view::{self, DashboardView, message_page};

/// The cookie with an operator's credential: for this page only, and never for another site's request.
const COOKIE: &str = "operator";
const COOKIE_SECONDS: u32 = 43_200;
const HOUR_MS: u64 = 3_600_000;

/// Answers below `/dashboard`; `None` if there is no such route.
pub(super) async fn answer(context: &Context, request: &Request, method: &str) -> Option<Answered> {
    let path = request.path();
    let part = path.strip_prefix("/dashboard")?;
    Some(match (method, part) {
        ("GET", "") => page(context, request).await,
        ("POST", "/sign-in") => sign_in(context, request).await,
        ("POST", "/sign-out") => signed_out(),
        ("POST", "/preview" | "/apply" | "/pause" | "/resume") => act(context, request, part).await,
        ("GET", part) if part.starts_with("/creations/") => {
            explain(context, request, part.trim_start_matches("/creations/")).await
        }
        (_, "" | "/creations") => respond::method_not_allowed("GET"),
        (_, "/sign-in" | "/sign-out" | "/preview" | "/apply" | "/pause" | "/resume") => {
            respond::method_not_allowed("POST")
        }
        _ => return None,
    })
}

/// The operator at the dashboard and the credential that stands for them; otherwise the answer: the page to sign in, or a refusal.
///
/// Forms carry what is made of that credential. So each is tried by itself: a cookie that somebody else has set may not sign
/// the forms of whom Cloudflare Access lets in.
async fn operator(context: &Context, request: &Request, scope: Scope) -> Result<(String, String), Answered> {
    let presented = caller::at_dashboard(request, COOKIE);
    let assertion = caller::assertion(request);
    let by_token = caller::allowed(context, presented.as_deref(), None, scope).await;
    let (allowed, credential) = match (&by_token, &assertion) {
        (Err(caller::Refusal::Unauthorized(_)), Some(_)) => {
            (caller::allowed(context, None, assertion.as_deref(), scope).await, assertion)
        }
        _ => (by_token, presented.clone()),
    };
    match allowed {
        Ok(actor) => Ok((actor, credential.unwrap_or_default())),
        Err(caller::Refusal::Unauthorized(reason)) => {
            console::log(&view::refused_caller_line("/dashboard", &reason));
            let wrong = presented.is_some();
            Err(respond::html(401, view::operator_sign_in(context.demo, wrong)))
        }
        Err(caller::Refusal::Forbidden(reason)) => {
            console::log(&view::refused_caller_line("/dashboard", &reason));
            Err(respond::html(403, message_page("Not allowed", &reason, false)))
        }
    }
}

/// What is shown from `since` on.
pub(super) async fn read(context: &Context, since: Timestamp) -> Result<(Health, Dashboard), DatabaseError> {
    let batch = store::dashboard(&context.config.policy, context.now, since);
    let results = context.database.run(&batch).await?;
    let health = watch::look(context).await?;
    Ok((health, Dashboard::read(results)?))
}

/// `GET /dashboard?hours=24`
async fn page(context: &Context, request: &Request) -> Answered {
    let (actor, credential) = match operator(context, request, Scope::Read).await {
        Ok(operator) => operator,
        Err(answer) => return answer,
    };
    let mut hours = 24;
    let mut notice = String::new();
    for (key, value) in url::query(request) {
        match key.as_str() {
            "hours" => match whole(&key, &value, 1..=720) {
                Ok(number) => hours = number,
                Err(error) => {
                    return respond::html(400, message_page("There is no such page", &error, false));
                }
            },
            "done" => notice = value,
            _ => {}
        }
    }
    let since = context.now.saturating_sub(u64::from(hours).saturating_mul(HOUR_MS));
    match read(context, since).await {
        Ok((health, data)) => {
            let view = DashboardView {
                now: context.now,
                hours,
                actor: &actor,
                csrf: &csrf(&credential),
                notice: &notice,
                policy: &context.config.policy,
                health: &health,
                data: &data,
            };
            respond::html(200, view::dashboard_page(&view))
        }
        Err(error) => unavailable(&error),
    }
}

fn unavailable(error: &DatabaseError) -> Answered {
    console::error(&view::failed_read_line(&error.to_string()));
    let message = "The database does not answer right now. Nothing is lost; /readyz says more.";
    respond::html(503, message_page("Dashboard", message, false))
}

/// `GET /dashboard/creations/{id}`: all about one creation.
async fn explain(context: &Context, request: &Request, id: &str) -> Answered {
    if let Err(answer) = operator(context, request, Scope::Read).await {
        return answer;
    }
    match operators::explanation(context, id).await {
        Ok(explanation) => {
            // Indented by the runtime: another writer of JSON would be 2 kB of the Worker.
            let text = serde_json::to_string(&explanation).map_err(failure)?;
            let value = JSON::parse(&text)?;
            let pretty = JSON::stringify_with_replacer_and_space(&value, &JsValue::NULL, &2.into())?;
            respond::html(200, view::explanation_page(&explanation, &String::from(pretty)))
        }
        Err((status, error)) => respond::html(status, message_page("Dashboard", &error, false)),
    }
}

/// `POST /dashboard/sign-in`: keeps the credential in a cookie that no script can read and no other site can use.
async fn sign_in(context: &Context, request: &Request) -> Answered {
    let form = match Form::read(request).await {
        Ok(form) => form,
        Err(unread) => return not_done(unread),
    };
    // Beside `npm start`, whose secrets are this machine's only, a button is enough.
    let demo = context.demo && !form.field("demo").is_empty();
    let token = if demo { context.text("CLEANUP_TOKEN").unwrap_or_default() } else { form.field("token") };
    // Not by what comes with the request: what is kept in the cookie has to stand for itself.
    match caller::allowed(context, Some(token.trim()), None, Scope::Read).await {
        Ok(_) => {
            let secure = if context.local { "" } else { " Secure;" };
            let token = token.trim();
            let cookie = format!(
                "{COOKIE}={token}; Path=/dashboard; HttpOnly;{secure} SameSite=Strict; Max-Age={COOKIE_SECONDS}"
            );
            let response = respond::see_other("/dashboard")?;
            response.headers().set("Set-Cookie", &cookie)?;
            Ok(response)
        }
        Err(caller::Refusal::Unauthorized(reason)) => {
            console::log(&view::refused_caller_line("/dashboard/sign-in", &reason));
            respond::html(401, view::operator_sign_in(context.demo, true))
        }
        Err(caller::Refusal::Forbidden(reason)) => {
            respond::html(403, message_page("Not allowed", &reason, false))
        }
    }
}

fn signed_out() -> Answered {
    let response = respond::see_other("/dashboard")?;
    response
        .headers()
        .set("Set-Cookie", &format!("{COOKIE}=; Path=/dashboard; HttpOnly; SameSite=Strict; Max-Age=0"))?;
    Ok(response)
}

/// What an operator does: preview, apply a plan, pause, resume.
async fn act(context: &Context, request: &Request, action: &str) -> Answered {
    let (actor, credential) = match operator(context, request, Scope::Sweep).await {
        Ok(operator) => operator,
        Err(answer) => return answer,
    };
    let form = match Form::read(request).await {
        Ok(form) => form,
        Err(unread) => return not_done(unread),
    };
    if !csrf_matches(&credential, &form.field("csrf")) {
        let message =
            "This form was not made for you, or is too old. Go back to the dashboard and try again.";
        return not_done((403, String::from(message)));
    }
    let done = match action {
        "/preview" => return preview(context, &credential).await,
        "/apply" => apply(context, &actor, &form.field("plan")).await,
        "/pause" => control(context, &actor, true).await,
        _ => control(context, &actor, false).await,
    };
    match done {
        Ok(notice) => respond::see_other(&format!("/dashboard?done={notice}")),
        Err(refusal) => not_done(refusal),
    }
}

/// The page for what was not done, or not wholly, with its status.
fn not_done((status, why): (u16, String)) -> Answered {
    respond::html(status, message_page("Not done", &why, false))
}

async fn preview(context: &Context, credential: &str) -> Answered {
    let mut ask = Ask { dry_run: true, ..Ask::new(context, Source::Tool) };
    // What is shown can be applied as it is.
    ask.rows_per_sweep = ask.rows_per_sweep.min(Plan::MAX);
    match sweeping::run(context, ask).await {
        Ok((sweep_id, report)) => {
            let plan = serde_json::to_value(view::report_json(&report, &sweep_id, context.now, true));
            let plan = plan.map_err(failure)?;
            respond::html(200, view::preview_page(&plan, &csrf(credential)))
        }
        Err(error) => unavailable(&DatabaseError::new(error)),
    }
}

async fn apply(context: &Context, actor: &str, text: &str) -> Result<String, (u16, String)> {
    let plan = Plan::read(text, false).map_err(|error| (400, error))?;
    let plan = plan.ok_or_else(|| (400, String::from("there is no plan: preview first")))?;
    let planned = plan.planned();
    let ask = Ask {
        actor: Some(actor),
        planned: Some(&planned),
        plan_id: plan.plan_id.as_deref(),
        ..Ask::new(context, Source::Tool)
    };
    let (_, report) =
        sweeping::run(context, ask).await.map_err(|_| (503, String::from(sweeping::STOPPED)))?;
    Ok(format!("{}+marked+failed,+{}+retried", report.failed.len(), report.retried.len()))
}

async fn control(context: &Context, actor: &str, pause: bool) -> Result<String, (u16, String)> {
    let action = if pause { "pause" } else { "resume" };
    let id = context.new_id().map_err(|error| (503, error))?;
    let write = if pause {
        store::hold("paused", Some(actor), "by an operator", context.now)
    } else {
        store::release("paused")
    };
    let batch = [write, store::audit(&id, actor, action, "sweeping", context.now)];
    if let Err(error) = context.database.run(&batch).await {
        console::error(&view::failed_read_line(&error.to_string()));
        return Err((
            503,
            String::from("The database did not answer: look whether it was done, and try again."),
        ));
    }
    console::log(&view::action_line(actor, action));
    Ok(String::from(if pause { "sweeping+is+paused" } else { "sweeping+goes+on" }))
}

/// `GET /metrics`: for machines, as OpenMetrics has it.
pub(super) async fn metrics(context: &Context, request: &Request) -> Answered {
    if let Err(refusal) = caller::operator(context, request, Scope::Read).await {
        return respond::refused("/metrics", refusal);
    }
    match read(context, context.now).await {
        Ok((health, data)) => respond::open_metrics(&view::metrics(&health, &data)),
        Err(error) => {
            console::error(&view::failed_read_line(&error.to_string()));
            respond::error(503, "the database does not answer right now: see /readyz")
        }
    }
}
