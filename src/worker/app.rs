use std::cell::{Cell, OnceCell};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use wasm_bindgen::JsCast as _;
use worker::Env;
use worker::d1::D1SessionConstraint;
use worker::send::SendWrapper;

use super::cors::Sharing;
use super::of_user::OfUser;
use super::problem::Problem;
use super::{courier, language, monitor};
use crate::auth::{Scope, Secret, SecretError};
use crate::config::{Config, ConfigError, MORE_API_TOKENS, Shard, can_be_deployed};
use crate::read;
use crate::rules::{Bucket, Timestamp};
use crate::service;
use crate::service::monitor::Occasion;
use crate::service::outbox::REQUEST_MS;
use crate::store::D1;

/// One of several databases that has not answered within this time is given up, and the others go on.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// What one invocation works with: one clock reading, one configuration, its databases.
pub(super) struct Context {
    pub(super) now: Timestamp,
    pub(super) config: Config,
    /// In the order of `config.shards`.
    databases: Databases,
    /// The same for lists, once they are asked for.
    replicas: OnceCell<Databases>,
    pub(super) env: Env,
    /// Whether the host is this machine.
    pub(super) local: bool,
    /// Whether the local demo's sign-in is there.
    pub(super) demo: bool,
    /// The databases, by bits, in which an event may have been written, so that their outboxes are delivered after the answer.
    emitted: Cell<u128>,
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
    if monitor || app.has_emitted() {
        invocation.context.wait_until(async move {
            if monitor {
                monitor::run(&app, Occasion::Request).await;
            }
            if app.has_emitted() {
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
        let databases = databases(env, &config, D1SessionConstraint::FirstPrimary)?;
        Ok(Context {
            now: now(),
            config,
            databases,
            replicas: OnceCell::new(),
            env: env.clone(),
            local: false,
            demo: false,
            emitted: Cell::new(0),
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

    /// All databases.
    pub(super) fn shards(&self) -> Vec<service::shards::Shard<'_, D1>> {
        self.named(&self.databases)
    }

    /// All databases, for a list or a count that may be some seconds old where there are replicas.
    pub(super) fn replicas(&self) -> Vec<service::shards::Shard<'_, D1>> {
        if !self.config.read_replicas {
            return self.shards();
        }
        if self.replicas.get().is_none()
            && let Ok(made) = databases(&self.env, &self.config, D1SessionConstraint::FirstUnconstrained)
        {
            let _ = self.replicas.set(made);
        }
        self.named(self.replicas.get().unwrap_or(&self.databases))
    }

    fn named<'a>(&'a self, databases: &'a Databases) -> Vec<service::shards::Shard<'a, D1>> {
        let named = self.config.shards.iter().zip(databases.iter());
        named
            .map(|(Shard { binding, .. }, database)| service::shards::Shard { name: binding, database })
            .collect()
    }

    /// The place of the database that has all that is of a user, and it itself.
    pub(super) fn shard_of(&self, user_id: &str) -> (usize, &D1) {
        let at = self.config.shards.of(Bucket::of_user(user_id));
        (at, self.databases.get(at))
    }

    /// The database that has all that is of a user, for what concerns that user.
    pub(super) fn database_of(&self, user_id: &str) -> OfUser<'_> {
        OfUser::new(self, self.shard_of(user_id).1, Bucket::of_user(user_id))
    }

    /// How many queries each database may be asked in this invocation.
    pub(super) fn share_of_queries(&self) -> u64 {
        let queries = u64::from(self.config.queries_per_run);
        queries.checked_div(self.config.shards.iter().len() as u64).unwrap_or(queries)
    }

    /// Notes that an event may have been written in the database at this place.
    pub(super) fn emitted(&self, shard: usize) {
        self.emitted
            .set(self.emitted.get() | 1_u128.checked_shl(u32::try_from(shard).unwrap_or(0)).unwrap_or(0));
    }

    /// Whether an event may have been written.
    pub(super) fn has_emitted(&self) -> bool {
        self.emitted.get() != 0
    }

    /// Whether one may have been in the database at this place.
    pub(super) fn has_emitted_in(&self, shard: usize) -> bool {
        self.emitted.get() & 1_u128.checked_shl(u32::try_from(shard).unwrap_or(0)).unwrap_or(0) != 0
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

    /// An id for a creation of this user that begins now.
    pub(super) fn new_creation_id(&self, user_id: &str) -> Result<String, Problem> {
        let [.., a, b, c, d, e, f] = self.now.as_millis().to_be_bytes();
        let mut bytes: [u8; 16] = random()?;
        bytes[..6].copy_from_slice(&[a, b, c, d, e, f]);
        Ok(creation_id(bytes, user_id))
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

/// An id of a creation, of these bytes: a UUID of version 8 that carries the bucket of its owner. See [`Bucket::of_id`].
pub(super) fn creation_id(mut bytes: [u8; 16], user_id: &str) -> String {
    let bucket = Bucket::of_user(user_id).number().to_be_bytes();
    bytes[6..8].copy_from_slice(&bucket);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().hyphenated().to_string()
}

/// The databases of the configuration.
fn databases(env: &Env, config: &Config, first: D1SessionConstraint) -> Result<Databases, String> {
    let several = config.shards.are_several();
    let database = |Shard { binding, .. }: &Shard| {
        let missing =
            |_| format!("the database binding `{binding}` is not there: expected one in `d1_databases`");
        let mut database = D1::new(env.d1(binding).map_err(missing)?);
        if several {
            // One that is locked or slow is not to hold up what concerns the others.
            database = database.within(TIME_LIMIT).named(binding);
        }
        if config.read_replicas {
            let unknown = |error| {
                format!(
                    "the database binding `{binding}` knows no sessions, as `read_replicas` needs them: {error}"
                )
            };
            database = database.in_session(first).map_err(unknown)?;
        }
        Ok(database)
    };
    let mut made = config.shards.iter().map(database);
    let first = made.next().unwrap_or_else(|| Err(String::from("there is no database")))?;
    Ok(Databases { first, others: made.collect::<Result<_, _>>()? })
}

/// One database or several.
struct Databases {
    first: D1,
    others: Vec<D1>,
}

impl Databases {
    fn iter(&self) -> impl Iterator<Item = &D1> {
        [&self.first].into_iter().chain(&self.others)
    }

    /// The one at this place.
    fn get(&self, at: usize) -> &D1 {
        at.checked_sub(1).and_then(|at| self.others.get(at)).unwrap_or(&self.first)
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
    language::are_there(env, &config)?;
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
