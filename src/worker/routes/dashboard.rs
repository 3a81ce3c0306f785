//! The operators' page. It is read with the scope `read`; what it does needs `sweep`, and the form's own token.

use axum::http::header::SET_COOKIE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use worker::console_log;

use crate::auth::Scope;
use crate::read::{self, Text, whole};
use crate::service::audit;
use crate::service::shards::run_each;
use crate::service::sweep::Source;
use crate::store::{self, Outline};
use crate::worker::app::{App, Context};
use crate::worker::at_dashboard::{Answer, AtDashboard, COOKIE, COOKIE_SECONDS, OwnForm, Page, turned_away};
use crate::worker::caller::{Read, allowed};
use crate::worker::exploring::{ExplorerQuery, FoundPage, MAX_WORD, Order};
use crate::worker::extract::{Form, Path, pairs};
use crate::worker::log;
use crate::worker::monitor::{self, View};
use crate::worker::pages::{
    DashboardView, Done, ExplorerView, audit_page, creation_address, creation_page, dashboard_page,
    explorer_page, message_page, owners_page, preview_page,
};
use crate::worker::plan::Plan;
use crate::worker::problem::{Problem, html, see_other};
use crate::worker::shards::{self, Known};
use crate::worker::sweep_json::SweepJson;
use crate::worker::sweeping::{self, Stopped, SweepOptions};

const HOUR_MS: u64 = 3_600_000;

#[derive(Deserialize)]
struct PageQuery {
    #[serde(default = "a_day", deserialize_with = "whole::<1, 720, _>")]
    hours: u32,
}

const fn a_day() -> u32 {
    24
}

/// `GET /dashboard?hours=24`
#[worker::send]
pub(in crate::worker) async fn page(app: App, operator: AtDashboard<Read>, uri: Uri) -> Answer {
    // Links gather parameters of other people's.
    let own = pairs(&uri)?.into_iter().filter(|(key, _)| key == "hours");
    let query = read::query::<PageQuery>(own);
    let no_page = |invalid: read::Invalid| Page::new("There is no such page", invalid.into());
    let PageQuery { hours } = query.map_err(no_page)?;
    let done = Done::read(uri.query().unwrap_or_default());
    let since = app.now.saturating_sub(u64::from(hours).saturating_mul(HOUR_MS));
    // Who has just done something sees it.
    let shards = if done.words().is_none() { app.replicas() } else { app.shards() };
    let View { health, data, unreachable } = monitor::read(&app, &shards, since).await?;
    let view = DashboardView {
        now: app.now,
        hours,
        actor: &operator.name,
        csrf: &operator.csrf(),
        notice: &done,
        policy: &app.config.policy,
        health: &health,
        data: &data,
        unreachable: &unreachable,
    };
    Ok(html(StatusCode::OK, dashboard_page(&view)))
}

#[derive(Deserialize)]
struct AuditQuery {
    cursor: Option<Text<MAX_WORD>>,
}

/// So many lines of the audit are a page.
const AUDIT_PAGE: u32 = 50;

/// `GET /dashboard/audit`: all that operators did.
#[worker::send]
pub(in crate::worker) async fn audit(app: App, _operator: AtDashboard<Read>, uri: Uri) -> Answer {
    let own = pairs(&uri)?.into_iter().filter(|(key, _)| key == "cursor");
    let no_page = |invalid: read::Invalid| Page::new("There is no such page", invalid.into());
    let AuditQuery { cursor } = read::query(own).map_err(no_page)?;
    let before = cursor.as_ref().map(Text::as_str);
    let page = audit::audit(&app.replicas(), before, AUDIT_PAGE).await?;
    Ok(html(StatusCode::OK, audit_page(&page, before.is_none())))
}

/// `GET /dashboard/creations/{id}?user_id=ada`: all about one creation; the owner is needed only where several have one with this id.
#[worker::send]
pub(in crate::worker) async fn explain(
    app: App,
    operator: AtDashboard<Read>,
    Path(id): Path,
    uri: Uri,
) -> Answer {
    let done = Done::read(uri.query().unwrap_or_default());
    let given = pairs(&uri)?;
    let whose = given.iter().find(|(key, value)| key == "user_id" && !value.is_empty());
    let user_id = whose.map(|(_, user_id)| user_id.as_str());
    match shards::explanation(&app, &id, user_id).await {
        Ok(Known::Here(explanation)) => {
            Ok(html(StatusCode::OK, creation_page(&explanation, user_id, &operator.csrf(), &done)))
        }
        Ok(Known::Archived(archived)) => {
            let next = Some(("/dashboard", "Back to the dashboard"));
            Ok(html(StatusCode::OK, message_page(&id, &archived.message, next)))
        }
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            Err(Page::new("There is no such creation", problem))
        }
        Err(problem) => match problem.words(shards::OWNERS).as_slice() {
            [] => Err(problem.into()),
            owners => Ok(html(problem.status(), owners_page(&id, owners))),
        },
    }
}

/// What of a query the explorer takes: a form sends empty fields for what is not sought, and links gather parameters of other people's.
const SOUGHT: [&str; 12] = [
    "status",
    "kind",
    "user_id",
    "error_code",
    "rule",
    "since",
    "until",
    "failed_since",
    "failed_until",
    "order",
    "limit",
    "cursor",
];
/// So many lines say what there is most of, and who has most.
const LARGEST: u32 = 12;

/// `GET /dashboard/creations`: creations found by what they are; with `id`, the way to that one.
#[worker::send]
pub(in crate::worker) async fn explorer(app: App, operator: AtDashboard<Read>, uri: Uri) -> Answer {
    let given: Vec<_> = pairs(&uri)?.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    if let Some((_, id)) = given.iter().find(|(key, _)| key == "id") {
        return Ok(see_other(&creation_address(id.trim(), None)));
    }
    let is_chosen = given.iter().any(|(key, value)| key == "select" && value == "page");
    let sought: Vec<_> = given.into_iter().filter(|(key, _)| SOUGHT.contains(&key.as_str())).collect();
    let csrf = operator.csrf();
    // What was sought stays in the form.
    let not_sought = |invalid: read::Invalid| {
        let (page, outline) = (FoundPage::default(), Outline::default());
        let view = ExplorerView {
            sought: &sought,
            invalid: Some(&invalid.message),
            page: &page,
            outline: &outline,
            failed_within: (app.now, app.now),
            csrf: &csrf,
            has_filter: false,
            is_chosen: false,
        };
        html(StatusCode::BAD_REQUEST, explorer_page(&view))
    };
    let query = match read::query::<ExplorerQuery>(sought.clone()) {
        Ok(query) => query,
        Err(invalid) => return Ok(not_sought(invalid)),
    };
    let has_filter = match query.sought() {
        Ok(sought) => !sought.has_no_filter(),
        Err(invalid) => return Ok(not_sought(invalid)),
    };
    let page = query.find(&app).await?;
    // Those that are silent are not looked for among the newest.
    let outline = match query.order() {
        Order::Newest => query.outline(&app, LARGEST).await?,
        Order::Silent => Outline::default(),
    };
    let view = ExplorerView {
        sought: &sought,
        invalid: None,
        page: &page,
        outline: &outline,
        failed_within: query.failed_within(app.now),
        csrf: &csrf,
        has_filter,
        is_chosen,
    };
    Ok(html(StatusCode::OK, explorer_page(&view)))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::worker) struct SignInForm {
    token: String,
    /// Beside `npm start`, whose secrets are this machine's only, a button is enough.
    demo: String,
}

/// `POST /dashboard/sign-in`: keeps the credential in a cookie that no script can read and no other site can use.
#[worker::send]
pub(in crate::worker) async fn sign_in(
    app: App,
    uri: Uri,
    form: Result<Form<SignInForm>, Problem>,
) -> Answer {
    let Form(form) = form?;
    let demo = app.demo && !form.demo.is_empty();
    let token = if demo { app.text("CLEANUP_TOKEN").unwrap_or_default() } else { form.token };
    let token = token.trim();
    // Not by what comes with the request: what is kept in the cookie has to vouch for itself.
    if let Err(denial) = allowed(&app, Some(token), None, Scope::Read).await {
        return Ok(turned_away(&app, &uri, denial, true));
    }
    // What a cookie can't hold would come back as something else.
    if !token.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)) {
        let message =
            "This token has characters that a cookie can't hold: expected letters, digits and punctuation.";
        return Err(Problem::bad_request(message).into());
    }
    let secure = if app.local { "" } else { " Secure;" };
    let cookie = format!(
        "{COOKIE}={token}; Path=/dashboard; HttpOnly;{secure} SameSite=Strict; Max-Age={COOKIE_SECONDS}"
    );
    Ok(([(SET_COOKIE, cookie)], see_other("/dashboard")).into_response())
}

/// `POST /dashboard/sign-out`
pub(in crate::worker) async fn sign_out() -> Response {
    let cookie = format!("{COOKIE}=; Path=/dashboard; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(SET_COOKIE, cookie)], see_other("/dashboard")).into_response()
}

/// `POST /dashboard/preview`: what a sweep would do, with a button to do exactly that.
#[worker::send]
pub(in crate::worker) async fn preview(app: App, form: OwnForm) -> Answer {
    let mut options = SweepOptions { dry_run: true, ..SweepOptions::new(&app, Source::Tool) };
    // What is shown can be applied as it is.
    options.limit_of_all = Some(options.limit.min(Plan::MAX));
    let swept = sweeping::run(&app, options).await;
    let (sweep_id, outcome) = swept.map_err(|Stopped(error)| Page::from(error))?;
    let plan = SweepJson::new(&outcome, &sweep_id, app.now, true);
    Ok(html(StatusCode::OK, preview_page(&plan, &form.csrf())))
}

/// `POST /dashboard/apply`: carries out the plan of a preview.
#[worker::send]
pub(in crate::worker) async fn apply(app: App, form: OwnForm) -> Answer {
    let plan = Plan::read(form.field("plan").as_bytes()).map_err(Problem::from)?;
    let plan = plan.ok_or_else(|| Problem::bad_request("there is no plan: preview first"))?;
    let planned = plan.planned();
    let options = SweepOptions {
        actor: Some(form.actor()),
        planned: Some(&planned),
        plan_id: plan.id(),
        ..SweepOptions::new(&app, Source::Tool)
    };
    let (_, outcome) = sweeping::run(&app, options).await.map_err(Problem::from)?;
    let unreached = outcome.shards.iter().filter(|shard| shard.error.is_some()).count();
    let [failed, retried, unreached] = [outcome.failed.len(), outcome.retried.len(), unreached]
        .map(|number| u64::try_from(number).unwrap_or(u64::MAX));
    Ok(see_other(&Done::swept(failed, retried, unreached).at("/dashboard")))
}

/// `POST /dashboard/pause`: no sweep runs until an operator resumes, but for confirmed plans.
#[worker::send]
pub(in crate::worker) async fn pause(app: App, form: OwnForm) -> Answer {
    let write = store::hold("paused", Some(form.actor()), "by an operator", app.now);
    control(&app, form.actor(), "pause", write).await?;
    Ok(see_other(&Done::paused().at("/dashboard")))
}

/// `POST /dashboard/resume`
#[worker::send]
pub(in crate::worker) async fn resume(app: App, form: OwnForm) -> Answer {
    control(&app, form.actor(), "resume", store::release("paused")).await?;
    Ok(see_other(&Done::resumed().at("/dashboard")))
}

/// Pauses or resumes, with a row of the audit.
async fn control(
    context: &Context,
    actor: &str,
    action: &str,
    write: store::Statement,
) -> Result<(), Problem> {
    let id = context.new_id()?;
    let batch = [write, store::audit(&id, actor, action, "sweeping", context.now)];
    let message = "The database did not answer: look whether it was done, and try again.";
    let written = run_each(&context.shards(), &batch).await;
    for written in written {
        written.map_err(|error| Problem::database(&error, message))?;
    }
    console_log!("{}", log::operator_action(actor, action));
    Ok(())
}
