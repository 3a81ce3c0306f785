use std::cell::Cell;

use wasm_bindgen::JsValue;

use super::message::Request;
use super::url;
use crate::auth::{Secret, SecretError};
use crate::config::{Config, ConfigError};
use crate::d1::D1;
use crate::rules::Timestamp;

/// What one invocation works with: one clock reading, one configuration, one database.
pub(super) struct Context {
    pub(super) now: Timestamp,
    pub(super) config: Config,
    pub(super) database: D1,
    pub(super) env: JsValue,
    /// Whether the host is this machine.
    pub(super) local: bool,
    /// Whether the local demo's sign-in is there.
    pub(super) demo: bool,
    /// Whether there is something to tell the rest of the app.
    pub(super) tell: Cell<bool>,
    /// Whether whoever asks has shown a credential.
    pub(super) known: Cell<bool>,
}

impl Context {
    /// The context of a request.
    pub(super) fn new(env: &JsValue, request: &Request) -> Result<Self, String> {
        let local = url::hostname(request).is_some_and(|host| is_local(&host));
        let mut context = Self::scheduled(env)?;
        // Two conditions, and neither is met by a deployed configuration left at its defaults.
        context.local = local;
        context.demo = local && text(env, "DEMO_SIGN_IN").as_deref() == Some("local");
        Ok(context)
    }

    /// The context of the cron trigger.
    pub(super) fn scheduled(env: &JsValue) -> Result<Self, String> {
        Ok(Context {
            now: now(),
            config: config(env).map_err(|error| format!("the configuration is not valid: {error}"))?,
            database: D1::new(env, "DB")
                .ok_or("the database binding `DB` is not there: expected a `[[d1_databases]]` table")?,
            env: env.clone(),
            local: false,
            demo: false,
            tell: Cell::new(false),
            known: Cell::new(false),
        })
    }

    /// 16 random hexadecimal digits.
    pub(super) fn random_text(&self) -> Result<String, String> {
        Ok(random::<8>()?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// An id for what begins now: a UUIDv7.
    pub(super) fn new_id(&self) -> Result<String, String> {
        let random = random::<10>()?;
        let millis = self.now.as_millis();
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().hyphenated().to_string())
    }

    /// What signs and verifies the users' tokens, where they are signed by HS256.
    pub(super) fn jwt_secret(&self) -> Result<Secret, String> {
        self.secret("JWT_SECRET").map_err(|error| error.to_string())
    }

    /// A secret of the configuration, if it is fit for use.
    pub(super) fn secret(&self, name: &'static str) -> Result<Secret, SecretError> {
        Secret::new(name, text(&self.env, name).as_deref())
    }

    /// A variable or secret, as it is.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        text(&self.env, name)
    }
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut random = [0; N];
    getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(random)
}

/// The one place where the Worker reads the clock.
#[expect(clippy::disallowed_methods, reason = "every shell reads the clock in one place, and this is it")]
pub(super) fn now() -> Timestamp {
    // A Date is a whole number of milliseconds far below 2^53.
    Timestamp::from_millis(js_sys::Date::now() as i64).unwrap_or(Timestamp::MAX)
}

/// The table `STALE_DRAFTS`, or its defaults where there is none.
pub(super) fn config(env: &JsValue) -> Result<Config, ConfigError> {
    let value = js_sys::Reflect::get(env, &JsValue::from_str("STALE_DRAFTS")).unwrap_or(JsValue::UNDEFINED);
    if value.is_undefined() {
        return Ok(Config::default());
    }
    // As JSON text: the reader that is there already. `serde-wasm-bindgen` would bring another.
    let text = js_sys::JSON::stringify(&value).ok().and_then(|text| text.as_string());
    let value: Option<serde_json::Value> = text.and_then(|text| serde_json::from_str(&text).ok());
    let value = value.ok_or_else(|| ConfigError::new("`STALE_DRAFTS` can't be read: expected a table"))?;
    Config::from_json(&value)
}

fn text(env: &JsValue, name: &str) -> Option<String> {
    js_sys::Reflect::get(env, &JsValue::from_str(name)).ok()?.as_string()
}

fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}
