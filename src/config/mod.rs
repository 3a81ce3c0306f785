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

mod credentials;
mod policy;
mod shards;
mod table;
mod values;

use std::fmt;

use serde_json::Value;

pub use self::shards::{QUERIES_OF_A_SHARD, Shard, Shards, range};
use crate::auth::{ApiToken, AuthConfig, Issuer};
use crate::read::{self, Invalid};
use crate::rules::{CircuitBreaker, InvalidMaxAge, MaxAge, Policy, Thresholds};

/// What the configuration says. Secrets are not in it: see [`crate::auth`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The D1 databases; by default one, whose binding is `DB`.
    pub shards: Shards,
    /// After how long a creation is stale.
    pub policy: Policy,
    /// The same as the configuration has it, in JSON: for the pages, which judge by it too.
    pub policy_json: String,
    /// Creations failed or retried in one sweep, which is one transaction: 1 to 1,000, by default 1,000.
    pub rows_per_sweep: u32,
    /// How many queries the platform allows an invocation: 50 to 1,000, by default 1,000. The free plan has 50.
    pub queries_per_run: u32,
    /// Drafts on a page of the list: 1 to 100, by default 20.
    pub page_size: u32,
    /// The Worker is ready while the last good sweep of the cron trigger is younger than this: 1 to 1,440 minutes, by default 10; 0
    /// where no cron trigger is expected.
    pub max_minutes_since_sweep: u32,
    /// How the users' tokens are verified.
    pub auth: AuthConfig,
    /// The operators' and schedulers' own tokens.
    pub api_tokens: Vec<ApiToken>,
    /// Who else vouches for operators and schedulers.
    pub issuers: Vec<Issuer>,
    /// The origins whose pages may call the users' routes with a user's token; by default none.
    pub allowed_origins: Vec<String>,
    /// Where this Worker is reached from outside, for the links of what it sends; with the path under which an app embeds it.
    pub public_url: Option<String>,
    /// Where events are sent.
    pub webhook_url: Option<String>,
    /// How often the delivery of an event is tried: 1 to 100, by default 12.
    pub max_deliveries: u32,
    /// When the circuit breaker opens, because a sweep would fail abnormally many creations; `None` for never.
    pub breaker: Option<CircuitBreaker>,
    /// From where on something is wrong.
    pub alerts: Thresholds,
    /// How many days rows are kept.
    pub keep: Keep,
    /// Whether lists may be answered by replicas of the database; by default not.
    pub read_replicas: bool,
    /// Who is asked before a sweep fails or retries what a worker has begun; by default nobody.
    pub ask: Option<Ask>,
    /// The languages that the drafts page speaks, by their tags; the first is for whoever asks for none of them. By default English.
    pub languages: Vec<String>,
}

/// Who is asked before a sweep, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The address; `None` for the bound Worker's own.
    pub url: Option<String>,
    /// About at most so many creations at once: 1 to 1,000, by default 100.
    pub creations: u32,
    /// The answer comes within so many milliseconds: 1 to 20 seconds, by default 5.
    pub within_ms: u64,
}

/// How many days rows are kept: 1 to 3,650. The ledger and the audit are kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Sweeps; by default 30, or `creations` if these are fewer.
    pub sweeps: u32,
    /// Dead letters; by default 30.
    pub events: u32,
    /// Roll-ups by the hour, and alerts that are resolved; by default 400.
    pub rollups: u32,
    /// Creations that have ended: then they move to the archive. By default `None`: they are kept for ever. At least as many as sweeps.
    pub creations: Option<u32>,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { sweeps: 30, events: 30, rollups: 400, creations: None }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            shards: Shards::one("DB"),
            policy: Policy::default(),
            policy_json: String::from("{}"),
            rows_per_sweep: 1_000,
            queries_per_run: 1_000,
            page_size: 20,
            max_minutes_since_sweep: 10,
            auth: AuthConfig::default(),
            api_tokens: Vec::new(),
            issuers: Vec::new(),
            allowed_origins: Vec::new(),
            public_url: None,
            webhook_url: None,
            max_deliveries: 12,
            breaker: Some(CircuitBreaker::default()),
            alerts: Thresholds::default(),
            keep: Keep::default(),
            read_replicas: false,
            ask: None,
            languages: vec![String::from("en")],
        }
    }
}

impl Config {
    /// Reads the table. A key that is left out has its default.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first key that can't be read, quotes its value and says what would be right.
    pub fn from_json(value: &Value) -> Result<Self, ConfigError> {
        read::table::<table::Table>("STALE_DRAFTS", value, may_hold_a_secret)?.config()
    }

    /// Adds the tokens of a further variable called `name`: a list, as `api_tokens` is one.
    ///
    /// # Errors
    ///
    /// As [`Config::from_json`]'s. A name or token that is there already is an error too.
    pub fn add_api_tokens(&mut self, name: &str, list: &Value) -> Result<(), ConfigError> {
        let table = serde_json::json!({ "api_tokens": list });
        let read = read::table::<table::Table>("STALE_DRAFTS", &table, may_hold_a_secret);
        // It is read as the key of the table is, and the fault is in the variable.
        let own = |invalid: Invalid| ConfigError(invalid.message.replace("api_tokens", name));
        credentials::add_api_tokens(&mut self.api_tokens, name, read.map_err(own)?.api_tokens)
    }
}

/// The longest variable that Cloudflare takes, in bytes: <https://developers.cloudflare.com/workers/platform/limits/>.
const MAX_VARIABLE: usize = 5_120;

/// Whether a variable is short enough to be deployed, which a Worker on this machine would not notice.
///
/// # Errors
///
/// [`ConfigError`] says where its tokens may go.
pub fn can_be_deployed(name: &str, value: &Value) -> Result<(), ConfigError> {
    let bytes = value.to_string().len();
    if bytes <= MAX_VARIABLE {
        return Ok(());
    }
    Err(ConfigError(format!(
        "`{name}` has {bytes} bytes as JSON, and Cloudflare takes {MAX_VARIABLE} of one variable: \
         put `api_tokens` into `{MORE_API_TOKENS}`, and further ones into `{MORE_API_TOKENS}_2`"
    )))
}

/// What the names of the variables begin with that hold further tokens.
pub const MORE_API_TOKENS: &str = "STALE_DRAFTS_API_TOKENS";

/// No secret that is fit for use is as short, in JSON.
const QUOTABLE: usize = 24;

/// Whether a value is not to be quoted: `/readyz` shows errors to everybody.
fn may_hold_a_secret(path: &str, value: &Value) -> bool {
    let credential = path.starts_with("api_tokens") || path.ends_with("_url");
    // Where a table belongs, anything may be.
    let of_tables = path.ends_with(']') && !path.contains('.') && !path.starts_with("languages");
    let table = ["", "auth", "issuers"].contains(&path) || of_tables;
    credential || table || is_long(value)
}

fn is_long(value: &Value) -> bool {
    value.to_string().len() >= QUOTABLE
}

/// A limit in hours as a URL gives it.
///
/// # Errors
///
/// [`InvalidMaxAge`] quotes the text and says what would be right.
pub fn max_age(text: &str) -> Result<MaxAge, InvalidMaxAge> {
    text.parse()
}

/// A configuration that can't be read: nothing runs with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    /// An error with this text.
    pub fn new(text: impl Into<String>) -> Self {
        ConfigError(text.into())
    }
}

impl From<Invalid> for ConfigError {
    fn from(invalid: Invalid) -> Self {
        ConfigError(invalid.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
