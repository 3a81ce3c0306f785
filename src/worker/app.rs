use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use wasm_bindgen::JsCast as _;
use worker::Env;
use worker::send::SendWrapper;

use super::cors::Sharing;
use super::problem::Problem;
use super::{courier, monitor};
use crate::auth::{Scope, Secret, SecretError};
use crate::config::{Config, ConfigError, MORE_API_TOKENS, can_be_deployed};
use crate::read;
use crate::rules::Timestamp;
use crate::service::monitor::Occasion;
use crate::service::outbox::REQUEST_MS;
use crate::store::D1;

/// What one invocation works with: one clock reading, one configuration, one database.
pub(super) struct Context {
    pub(super) now: Timestamp,
    pub(super) config: Config,
    pub(super) database: D1,
    pub(super) env: Env,
    /// Whether the host is this machine.
    pub(super) local: bool,
    /// Whether the local demo's sign-in is there.
    pub(super) demo: bool,
    /// Whether an event may have been written, so that the outbox is delivered after the answer.
    pub(super) emitted: Cell<bool>,
    /// Whether the monitor may run beside the answer: the caller has shown a valid credential, and this is not a dry run.
    pub(super) monitors: Cell<bool>,
    /// Whether the caller has shown a valid credential: before that, little of a body is read.
    pub(super) identified: Cell<bool>,
}

/// The [`Context`] as handlers share it. A Worker has one thread.
#[derive(Clone)]
pub(super) struct App(Arc<SendWrapper<Context>>);

impl Deref for App {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for App {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let app = parts.extensions.get::<App>().cloned();
        app.ok_or_else(|| Problem::misconfigured(parts.uri.path(), "the route has no context"))
    }
}

/// The runtime's side of a request.
#[derive(Clone)]
pub(super) struct Invocation {
    pub(super) env: Env,
    pub(super) context: Arc<worker::Context>,
}

impl<S: Sync> FromRequestParts<S> for Invocation {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let invocation = parts.extensions.get::<Invocation>().cloned();
        invocation.ok_or_else(|| Problem::misconfigured(parts.uri.path(), "the route has no environment"))
    }
}

/// The layer that gives the routes their [`App`], or answers that the configuration is not valid. What may wait runs after the
/// answer.
pub(super) async fn provide(invocation: Invocation, mut request: Request, next: Next) -> Response {
    let mut context = match Context::new(&invocation.env) {
        Ok(context) => context,
        Err(error) => {
            let refused = Problem::misconfigured(request.uri().path(), &error).into_response();
            // A listed origin's page would only see that something failed.
            let allowed = config(&invocation.env).map(|config| config.allowed_origins).unwrap_or_default();
            return Sharing::of(&allowed, &request).mark(refused);
        }
    };
    let host = request.uri().host().unwrap_or_default();
    context.local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    // Two conditions, and neither is met by a deployed configuration left at its defaults.
    context.demo = context.local && text(&context.env, "DEMO_SIGN_IN").as_deref() == Some("local");
    let app = App(Arc::new(SendWrapper::new(context)));
    request.extensions_mut().insert(app.clone());
    let response = next.run(request).await;
    let monitor = app.monitors.get() && monitor::is_due(&app);
    if monitor || app.emitted.get() {
        invocation.context.wait_until(async move {
            if monitor {
                monitor::run(&app, Occasion::Request).await;
            }
            if app.emitted.get() {
                courier::deliver(&app, REQUEST_MS).await;
            }
        });
    }
    response
}

impl Context {
    /// The context of an invocation.
    pub(super) fn new(env: &Env) -> Result<Self, String> {
        let config = config(env).map_err(|error| format!("the configuration is not valid: {error}"))?;
        let binding = &config.binding;
        let no_database =
            |_| format!("the database binding `{binding}` is not there: expected one in `d1_databases`");
        let database = env.d1(binding).map_err(no_database)?;
        Ok(Context {
            now: now(),
            config,
            database: D1::new(database),
            env: env.clone(),
            local: false,
            demo: false,
            emitted: Cell::new(false),
            monitors: Cell::new(false),
            identified: Cell::new(false),
        })
    }

    /// Notes that the caller has shown a valid credential.
    pub(super) fn identified(&self) {
        self.identified.set(true);
        self.monitors.set(true);
    }

    /// Notes that an operator has. Who only reads has nothing written, beside the answer either.
    pub(super) fn identified_for(&self, scope: Scope) {
        self.identified.set(true);
        self.monitors.set(scope != Scope::Read);
    }

    /// 16 random hexadecimal digits.
    pub(super) fn random_text(&self) -> Result<String, Problem> {
        Ok(random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// An id for what begins now: a UUIDv7.
    pub(super) fn new_id(&self) -> Result<String, Problem> {
        let id = uuid::Builder::from_unix_timestamp_millis(self.now.as_millis(), &random()?);
        Ok(id.into_uuid().hyphenated().to_string())
    }

    /// What signs and verifies the users' tokens, where they are signed by HS256.
    pub(super) fn jwt_secret(&self) -> Result<Secret, String> {
        self.secret("JWT_SECRET").map_err(|error| error.to_string())
    }

    /// A secret of the configuration, if it is fit for use.
    pub(super) fn secret(&self, name: &'static str) -> Result<Secret, SecretError> {
        Secret::own(name, |name| text(&self.env, name), &self.config.api_tokens)
    }

    /// A variable or secret, as it is.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(&self.env, name)
    }
}

fn random<const N: usize>() -> Result<[u8; N], Problem> {
    let mut random = [0; N];
    let failed = |error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("no random numbers: {error}"));
    getrandom::fill(&mut random).map(|()| random).map_err(failed)
}

/// The one place where the Worker reads the clock.
#[expect(clippy::disallowed_methods, reason = "every shell reads the clock in one place, and this is it")]
pub(super) fn now() -> Timestamp {
    // A Date is a whole number of milliseconds far below 2^53.
    Timestamp::from_millis(js_sys::Date::now() as i64).unwrap_or(Timestamp::MAX)
}

/// The table `STALE_DRAFTS`, or its defaults where there is none.
pub(super) fn config(env: &Env) -> Result<Config, ConfigError> {
    let mut config = match variable(env, "STALE_DRAFTS")? {
        Some(table) => Config::from_json(&table)?,
        None => Config::default(),
    };
    let names = js_sys::Object::keys(env.unchecked_ref::<js_sys::Object>()).into_iter();
    let names = names.filter_map(|name| name.as_string());
    for name in names.filter(|name| name.starts_with(MORE_API_TOKENS)) {
        if let Some(list) = variable(env, &name)? {
            config.add_api_tokens(&name, &list)?;
        }
    }
    Ok(config)
}

/// A variable that holds JSON; as text, if it is a secret.
fn variable(env: &Env, name: &str) -> Result<Option<Value>, ConfigError> {
    let variable = js_sys::Reflect::get(env, &name.into()).unwrap_or_default();
    if variable.is_undefined() {
        return Ok(None);
    }
    // As JSON first: straight into a struct, unknown keys would be dropped.
    let value = serde_wasm_bindgen::from_value::<Value>(variable);
    let mut value = value.map_err(|_| ConfigError::new(format!("`{name}` can't be read: expected JSON")))?;
    if let Some(parsed) = value.as_str().and_then(read::any_json) {
        value = parsed;
    }
    can_be_deployed(name, &value)?;
    Ok(Some(value))
}

fn text(env: &Env, name: &str) -> Option<String> {
    js_sys::Reflect::get(env, &name.into()).ok()?.as_string()
}
