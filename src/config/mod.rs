//! The configuration: the table `STALE_DRAFTS` of `wrangler.toml`, validated as a whole.
//!
//! ```
//! use serde_json::json;
//! use stale_drafts::config::Config;
//!
//! let config = Config::from_json(&json!({ "policy": { "max_age_hours": 0.5 }, "page_size": 50 })).unwrap();
//! assert_eq!(config.page_size, 50);
//!
//! let error = Config::from_json(&json!({ "page_size": 0 })).unwrap_err();
//! assert_eq!(error.to_string(), "`page_size` is `0`: expected a whole number from 1 to 100");
//! ```

mod auth;

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::rules::{CircuitBreaker, InvalidMaxAge, MaxAge, Policy, Setting, Thresholds};

pub use auth::{Algorithm, ApiToken, AuthConfig, Issuer, Scope};

/// What the Worker is told by its configuration. Secrets are not in it: see [`crate::auth`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// After how long a creation is stale.
    pub policy: Policy,
    /// The same as the configuration has it, in JSON: for the pages, which judge by it too.
    pub policy_json: String,
    /// Creations marked failed in one transaction: 1 to 1,000, by default 1,000.
    pub rows_per_transaction: u32,
    /// Creations looked at in one sweep: 1 to 100,000, by default 5,000.
    pub rows_per_sweep: u32,
    /// Drafts on a page of the list: 1 to 100, by default 20.
    pub page_size: u32,
    /// The Worker is ready while the last good sweep of the cron trigger is at most this old: 1 to 1,440 minutes,
    /// by default 10.
    pub max_minutes_since_sweep: u32,
    /// How the users' tokens are verified.
    pub auth: AuthConfig,
    /// The operators' and schedulers' own tokens.
    pub api_tokens: Vec<ApiToken>,
    /// Who else vouches for operators and schedulers.
    pub issuers: Vec<Issuer>,
    /// Where events are sent.
    pub webhook_url: Option<String>,
    /// How often the delivery of an event is tried: 1 to 100, by default 12.
    pub max_deliveries: u32,
    /// When a sweep is held because it would fail abnormally many creations; `None` for never.
    pub breaker: Option<CircuitBreaker>,
    /// From where on something is wrong.
    pub alerts: Thresholds,
    /// How many days rows are kept.
    pub keep: Keep,
}

/// How many days rows are kept: 1 to 3,650. The ledger, the creations and the audit are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Sweeps; by default 30.
    pub sweeps: u32,
    /// Events that were given up; by default 30.
    pub events: u32,
    /// Roll-ups by the hour, and alerts that are resolved; by default 400.
    pub rollups: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { sweeps: 30, events: 30, rollups: 400 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            policy: Policy::default(),
            policy_json: String::from("{}"),
            rows_per_transaction: 1_000,
            rows_per_sweep: 5_000,
            page_size: 20,
            max_minutes_since_sweep: 10,
            auth: AuthConfig::default(),
            api_tokens: Vec::new(),
            issuers: Vec::new(),
            webhook_url: None,
            max_deliveries: 12,
            breaker: Some(CircuitBreaker::default()),
            alerts: Thresholds::default(),
            keep: Keep::default(),
        }
    }
}

impl Config {
    /// Reads the table. A key that is left out has its default.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first key that is not understood, quotes its value and says what would be right.
    pub fn from_json(value: &Value) -> Result<Self, ConfigError> {
        let mut config = Config::default();
        for (key, value) in table("STALE_DRAFTS", value)? {
            match key.as_str() {
                "policy" => {
                    config.policy = policy(value)?;
                    config.policy_json = serde_json::to_string(value).unwrap_or_default();
                }
                "rows_per_transaction" => config.rows_per_transaction = whole(key, value, 1..=1_000)?,
                "rows_per_sweep" => config.rows_per_sweep = whole(key, value, 1..=100_000)?,
                "page_size" => config.page_size = whole(key, value, 1..=100)?,
                "max_minutes_since_sweep" => config.max_minutes_since_sweep = whole(key, value, 1..=1_440)?,
                "auth" => config.auth = auth::users(value)?,
                "api_tokens" => config.api_tokens = auth::tokens(value)?,
                "issuers" => config.issuers = auth::issuers(value)?,
                "webhook_url" => config.webhook_url = Some(auth::url(key, value)?),
                "max_deliveries" => config.max_deliveries = whole(key, value, 1..=100)?,
                "circuit_breaker" => config.breaker = breaker(value)?,
                "alerts" => config.alerts = thresholds(value)?,
                "keep_days" => config.keep = keep(value)?,
                _ => {
                    let keys = "`policy`, `rows_per_transaction`, `rows_per_sweep`, `page_size`, \
                                `max_minutes_since_sweep`, `auth`, `api_tokens`, `issuers`, `webhook_url`, `max_deliveries`, `circuit_breaker`, \
                                `alerts` or `keep_days`";
                    return Err(unknown(key, keys));
                }
            }
        }
        Ok(config)
    }
}

/// A limit in hours as a URL gives it.
///
/// # Errors
///
/// [`InvalidMaxAge`] quotes the text and says what would be right.
pub fn max_age(text: &str) -> Result<MaxAge, InvalidMaxAge> {
    // JSON's numbers, by the reader that is there already: std's own brings 15 kB of tables.
    let hours = serde_json::from_str::<Value>(text).ok().and_then(|value| value.as_f64());
    hours.and_then(MaxAge::checked).ok_or_else(|| InvalidMaxAge::new(text))
}

fn policy(value: &Value) -> Result<Policy, ConfigError> {
    let mut settings = Vec::new();
    flatten(&mut Vec::new(), table("policy", value)?, &mut settings);
    let settings = settings.iter().map(|(path, value, text)| {
        let setting = match value {
            Value::Number(number) => Setting::Number(number.as_f64().unwrap_or(f64::NAN), text),
            Value::String(text) => Setting::Text(text),
            _ => Setting::Other(text),
        };
        (path, setting)
    });
    Policy::from_settings(settings).map_err(|error| ConfigError(format!("policy: {error}")))
}

/// Every value that is not a table, with its path and its text.
fn flatten<'a>(
    path: &mut Vec<&'a str>,
    table: &'a Map<String, Value>,
    into: &mut Vec<(Vec<&'a str>, &'a Value, String)>,
) {
    for (key, value) in table {
        path.push(key);
        match value {
            // No policy is deeper than `kinds.video.processing`; what is deeper is reported as it stands. So is an empty
            // table, unless it is one of kinds or of a kind's limits.
            Value::Object(inner)
                if path.len() < 3 && (!inner.is_empty() || path.first() == Some(&"kinds")) =>
            {
                flatten(path, inner, into);
            }
            _ => into.push((path.clone(), value, serde_json::to_string(value).unwrap_or_default())),
        }
        path.pop();
    }
}

/// The numbers of a table, by its keys; each has its range.
fn numbers<const N: usize>(
    name: &str,
    value: &Value,
    keys: [(&str, RangeInclusive<u32>); N],
    mut numbers: [u32; N],
) -> Result<[u32; N], ConfigError> {
    for (key, value) in table(name, value)? {
        let known = keys.iter().zip(&mut numbers).find(|((known, _), _)| known == key);
        let Some(((_, range), number)) = known else {
            let known: Vec<_> = keys.iter().map(|(key, _)| format!("`{key}`")).collect();
            return Err(unknown(&format!("{name}.{key}"), &known.join(", ")));
        };
        *number = whole(&format!("{name}.{key}"), value, range.clone())?;
    }
    Ok(numbers)
}

fn breaker(value: &Value) -> Result<Option<CircuitBreaker>, ConfigError> {
    match value {
        Value::String(text) if text == "off" => return Ok(None),
        Value::Object(_) => {}
        _ => {
            let expected = "expected `\"off\"` or a table such as `{ creations = 1000, percent = 50 }`";
            return Err(ConfigError(format!("`circuit_breaker` is `{value}`: {expected}")));
        }
    }
    let CircuitBreaker { creations, percent, at_least } = CircuitBreaker::default();
    let keys = [("creations", 1..=1_000), ("percent", 1..=100), ("at_least", 1..=1_000)];
    let [creations, percent, at_least] =
        numbers("circuit_breaker", value, keys, [creations, percent, at_least])?;
    Ok(Some(CircuitBreaker { creations, percent, at_least }))
}

fn thresholds(value: &Value) -> Result<Thresholds, ConfigError> {
    const MINUTE_MS: u64 = 60_000;
    let keys = [
        ("overdue_minutes", 1..=1_440),
        ("stale_percent", 0..=100),
        ("error_percent", 1..=100),
        ("outbox_minutes", 1..=1_440),
    ];
    let [overdue, stale, error, outbox] = numbers("alerts", value, keys, [3, 20, 80, 15])?.map(u64::from);
    Ok(Thresholds {
        overdue_ms: overdue.saturating_mul(MINUTE_MS),
        stale_percent: stale,
        error_percent: error,
        outbox_ms: outbox.saturating_mul(MINUTE_MS),
    })
}

fn keep(value: &Value) -> Result<Keep, ConfigError> {
    let Keep { sweeps, events, rollups } = Keep::default();
    let keys = [("sweeps", 1..=3_650), ("events", 1..=3_650), ("rollups", 1..=3_650)];
    let [sweeps, events, rollups] = numbers("keep_days", value, keys, [sweeps, events, rollups])?;
    Ok(Keep { sweeps, events, rollups })
}

fn unknown(key: &str, keys: &str) -> ConfigError {
    ConfigError(format!("unknown key `{key}`: expected {keys}"))
}

fn table<'a>(key: &str, value: &'a Value) -> Result<&'a Map<String, Value>, ConfigError> {
    value
        .as_object()
        .ok_or_else(|| ConfigError(format!("`{key}` is {}: expected a table", quoted(key, value))))
}

/// A value as an error quotes it. Not where a credential may stand by mistake: `/readyz` shows the error to everybody.
fn quoted(key: &str, value: &Value) -> String {
    if matches!(key, "STALE_DRAFTS" | "webhook_url") || key.starts_with("api_tokens") {
        String::from("something else")
    } else {
        format!("`{value}`")
    }
}

fn whole(key: &str, value: &Value, range: RangeInclusive<u32>) -> Result<u32, ConfigError> {
    // JavaScript has one kind of number: 5 may arrive as 5.0.
    let number = value.as_f64().filter(|number| number.fract() == 0.0);
    match number.filter(|number| (f64::from(*range.start())..=f64::from(*range.end())).contains(number)) {
        // In range and whole, so the cast is exact.
        Some(number) => Ok(number as u32),
        None => Err(ConfigError(format!(
            "`{key}` is `{value}`: expected a whole number from {} to {}",
            range.start(),
            range.end()
        ))),
    }
}

fn text(key: &str, value: &Value) -> Result<String, ConfigError> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text.clone()),
        _ => Err(ConfigError(format!("`{key}` is {}: expected text", quoted(key, value)))),
    }
}

/// A configuration that is not understood: nothing runs with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        ConfigError(text.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
