use serde::Deserialize;
use serde_json::{Map, Value};

use super::credentials::{IssuerTable, TokenTable, UsersTable};
use super::shards::ShardTable;
use super::values::{Breaker, LanguageTag, Name, PublicUrl, Url};
use super::{Ask, Config, ConfigError, Keep, Shards, credentials, policy};
use crate::read::{Text, Whole};
use crate::rules::Thresholds;

const MINUTE_MS: u64 = 60_000;

/// The table `STALE_DRAFTS` as it is written. What is left out has its default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Table {
    binding: Option<Text<100>>,
    shards: Vec<ShardTable>,
    policy: Map<String, Value>,
    rows_per_sweep: Option<Whole<1, 1_000>>,
    queries_per_run: Option<Whole<50, 1_000>>,
    page_size: Option<Whole<1, 100>>,
    max_minutes_since_sweep: Option<Whole<0, 1_440>>,
    auth: UsersTable,
    pub(super) api_tokens: Vec<TokenTable>,
    issuers: Vec<IssuerTable>,
    allowed_origins: Vec<Name>,
    public_url: Option<PublicUrl>,
    webhook_url: Option<Url>,
    max_deliveries: Option<Whole<1, 100>>,
    circuit_breaker: Option<Breaker>,
    alerts: AlertsTable,
    keep_days: KeepTable,
    read_replicas: bool,
    ask: Option<AskTable>,
    languages: Option<Vec<LanguageTag>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AskTable {
    url: Option<Url>,
    creations: Option<Whole<1, 1_000>>,
    seconds: Option<Whole<1, 20>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AlertsTable {
    overdue_minutes: Option<Whole<1, 1_440>>,
    stale_percent: Option<Whole<0, 100>>,
    failed_percent: Option<Whole<1, 100>>,
    error_percent: Option<Whole<1, 100>>,
    outbox_minutes: Option<Whole<1, 1_440>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct KeepTable {
    sweeps: Option<Whole<1, 3_650>>,
    events: Option<Whole<1, 3_650>>,
    rollups: Option<Whole<1, 3_650>>,
    creations: Option<Whole<1, 3_650>>,
}

impl Table {
    pub(super) fn config(self) -> Result<Config, ConfigError> {
        let default = Config::default();
        let mut api_tokens = Vec::new();
        credentials::add_api_tokens(&mut api_tokens, "api_tokens", self.api_tokens)?;
        let origin = "an origin such as `https://app.example`: small letters, no path, no port 443";
        let shards = shards(self.binding, self.shards)?;
        let queries_per_run = self.queries_per_run.map_or(default.queries_per_run, Whole::get_u32);
        shards.fit(queries_per_run)?;
        credentials::all_fit("allowed_origins", &self.allowed_origins, Name::is_origin, origin)?;
        Ok(Config {
            shards,
            policy: policy::read(&self.policy)?,
            policy_json: Value::Object(self.policy).to_string(),
            rows_per_sweep: self.rows_per_sweep.map_or(default.rows_per_sweep, Whole::get_u32),
            queries_per_run,
            page_size: self.page_size.map_or(default.page_size, Whole::get_u32),
            max_minutes_since_sweep: self
                .max_minutes_since_sweep
                .map_or(default.max_minutes_since_sweep, Whole::get_u32),
            auth: self.auth.config()?,
            api_tokens,
            issuers: credentials::issuers(self.issuers)?,
            allowed_origins: self.allowed_origins.into_iter().map(|origin| origin.0).collect(),
            public_url: self.public_url.map(|url| url.0),
            webhook_url: self.webhook_url.map(|url| url.0),
            max_deliveries: self.max_deliveries.map_or(default.max_deliveries, Whole::get_u32),
            breaker: self.circuit_breaker.map_or(default.breaker, |breaker| breaker.0),
            alerts: self.alerts.thresholds(default.alerts),
            keep: self.keep_days.keep(default.keep)?,
            read_replicas: self.read_replicas,
            ask: self.ask.map(AskTable::ask),
            languages: self.languages.map_or(Ok(default.languages), languages)?,
        })
    }
}

/// The tags of languages, each once.
fn languages(tags: Vec<LanguageTag>) -> Result<Vec<String>, ConfigError> {
    let tags: Vec<_> = tags.into_iter().map(|tag| tag.0).collect();
    if tags.is_empty() {
        return Err(ConfigError::new("`languages` is empty: expected at least one, such as `en`"));
    }
    let twice = tags
        .iter()
        .enumerate()
        .find(|(at, tag)| tags.iter().take(*at).any(|other| other.eq_ignore_ascii_case(tag)));
    match twice {
        Some((_, tag)) => Err(ConfigError(format!("`languages` names `{tag}` twice: expected it once"))),
        None => Ok(tags),
    }
}

/// One database by its binding, or several.
fn shards(binding: Option<Text<100>>, shards: Vec<ShardTable>) -> Result<Shards, ConfigError> {
    match (binding, shards.is_empty()) {
        (None, true) => Ok(Config::default().shards),
        (Some(binding), true) => Ok(Shards::one(binding.into_string())),
        (None, false) => Shards::new(shards),
        (Some(_), false) => Err(ConfigError::new(
            "`binding` is of one database, and `shards` lists several: leave out `binding`",
        )),
    }
}

impl AlertsTable {
    fn thresholds(self, default: Thresholds) -> Thresholds {
        let millis = |minutes: Option<Whole<1, 1_440>>, default| {
            minutes.map_or(default, |minutes| minutes.get().saturating_mul(MINUTE_MS))
        };
        Thresholds {
            overdue_ms: millis(self.overdue_minutes, default.overdue_ms),
            stale_percent: self.stale_percent.map_or(default.stale_percent, Whole::get),
            failed_percent: self.failed_percent.map_or(default.failed_percent, Whole::get),
            error_percent: self.error_percent.map_or(default.error_percent, Whole::get),
            outbox_ms: millis(self.outbox_minutes, default.outbox_ms),
        }
    }
}

impl AskTable {
    fn ask(self) -> Ask {
        Ask {
            url: self.url.map(|url| url.0),
            creations: self.creations.map_or(100, Whole::get_u32),
            within_ms: self.seconds.map_or(5, Whole::get).saturating_mul(1_000),
        }
    }
}

impl KeepTable {
    fn keep(self, default: Keep) -> Result<Keep, ConfigError> {
        let creations = self.creations.map(Whole::get_u32);
        let default_sweeps = creations.unwrap_or(default.sweeps).min(default.sweeps);
        let keep = Keep {
            sweeps: self.sweeps.map_or(default_sweeps, Whole::get_u32),
            events: self.events.map_or(default.events, Whole::get_u32),
            rollups: self.rollups.map_or(default.rollups, Whole::get_u32),
            creations,
        };
        // A sweep's row can be compared with what it did for as long as it is there.
        match creations.filter(|creations| *creations < keep.sweeps) {
            None => Ok(keep),
            Some(creations) => Err(ConfigError(format!(
                "`keep_days.creations` is `{creations}`: expected at least `keep_days.sweeps`, which is `{}`",
                keep.sweeps
            ))),
        }
    }
}
