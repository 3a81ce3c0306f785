use super::parameters::{parameters, whole};
use crate::config::{self, Config};
use crate::rules::{Active, Policy};
use crate::service::sweep::Source;

/// The parameters of `POST /api/generate/cleanup-stale`.
#[derive(Debug)]
pub struct Options {
    /// Whether nothing is written.
    pub dry_run: bool,
    /// The limits.
    pub policy: Policy,
    /// Only this user's.
    pub user_id: Option<String>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this status.
    pub status: Option<Active>,
    /// No more creations than this.
    pub limit: u32,
    /// Who says that they ask.
    pub source: Source,
    /// Whether creations are chosen by one of them.
    pub chosen: bool,
}

impl Options {
    /// Reads the pairs of a query.
    ///
    /// # Errors
    ///
    /// A text that quotes what is not understood and says what would be right.
    pub fn read(pairs: Vec<(String, String)>, config: &Config) -> Result<Self, String> {
        let known = ["dry_run", "max_age_hours", "user_id", "kind", "status", "limit", "source"];
        let [dry_run, max_age, user_id, kind, status, limit, source] = parameters(pairs, known)?;
        let chosen = user_id.is_some() || kind.is_some() || status.is_some() || limit.is_some();
        Ok(Options {
            dry_run: match dry_run.as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(value) => return Err(format!("`dry_run` is `{value}`: expected `true` or `false`")),
            },
            policy: match max_age {
                None => config.policy.clone(),
                Some(value) => {
                    let max_age =
                        config::max_age(&value).map_err(|error| format!("`max_age_hours`: {error}"))?;
                    config.policy.with_max_age(max_age)
                }
            },
            user_id,
            kind,
            status: match status {
                None => None,
                Some(value) => {
                    let status = Active::ALL.into_iter().find(|status| status.as_str() == value);
                    Some(status.ok_or_else(|| {
                        format!("`status` is `{value}`: expected `pending` or `processing`")
                    })?)
                }
            },
            limit: match limit {
                None => config.rows_per_sweep,
                Some(value) => whole("limit", &value, 1..=100_000)?,
            },
            source: match source.as_deref() {
                None | Some("endpoint") => Source::Endpoint,
                Some("tool") => Source::Tool,
                Some(value) => return Err(format!("`source` is `{value}`: expected `endpoint` or `tool`")),
            },
            chosen,
        })
    }
}
