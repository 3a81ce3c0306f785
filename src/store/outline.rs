//! What the newest creations that are sought amount to: how many are alike, whose they are, and when they failed. Each looks at the rows of
//! one window of [`super::explorer`] in each database.

use serde::Deserialize;

use super::explorer::{LOOKED_AT, NEWEST, sought, window};
use super::rows::nullable;
use super::typed::{sum, sum_of, typed_rows};
use super::{DatabaseError, Param, Row, Sought, Statement};
use crate::rules::Timestamp;

/// How many of the window are alike, the most frequent first; with each, how many such lines there are and what all of them sum up to.
#[rustfmt::skip]
const FACETS: &str = concat!(
    "SELECT status, kind, error_code, rule, count(*) AS creations, ", sum_of!("tokens"), " AS tokens,
       count(*) OVER () AS lines, sum(count(*)) OVER () AS all_creations, CAST(total(total(tokens)) OVER () AS INTEGER) AS all_tokens
     FROM stale_drafts_creations AS c NOT INDEXED
     WHERE ", window!(), " AND ", sought!(), "
     GROUP BY status, kind, error_code, rule ORDER BY creations DESC, status, kind, error_code, rule LIMIT ?12"
);

/// Who has most of them.
#[rustfmt::skip]
const OWNERS: &str = concat!(
    "SELECT user_id, count(*) AS creations, sum(status = 'failed') AS failed, ", sum_of!("tokens"), " AS tokens, count(*) OVER () AS owners
     FROM stale_drafts_creations AS c NOT INDEXED
     WHERE ", window!(), " AND ", sought!(), "
     GROUP BY user_id ORDER BY creations DESC, user_id LIMIT ?12"
);

/// How many of them failed in each hour from ?13 to ?14, and by what.
#[rustfmt::skip]
const FAILURES: &str = concat!(
    "SELECT c.finished_at / 3600000 * 3600000 AS hour, error_code, count(*) AS creations
     FROM stale_drafts_creations AS c NOT INDEXED
     WHERE ", window!(), " AND ", sought!(), "
       AND c.status = 'failed' AND typeof(c.finished_at) = 'integer' AND c.finished_at BETWEEN ?13 AND ?14
     GROUP BY hour, error_code ORDER BY hour DESC, creations DESC LIMIT ?12"
);

/// What there is of the newest creations that are sought: rows for [`Outline::read`]. It has the `largest` groups and owners, and what
/// failed within `failed`, both ends included.
pub fn outline(sought: &Sought<'_>, largest: u32, failed: (Timestamp, Timestamp)) -> [Statement; 3] {
    let (first, last) = failed;
    let params = |limit| sought.params(NEWEST, limit);
    let failures = params(LOOKED_AT).into_iter().chain([Param::from(first), last.into()]);
    [
        Statement::new(FACETS, params(largest)),
        Statement::new(OWNERS, params(largest)),
        Statement::new(FAILURES, failures.collect::<Vec<_>>()),
    ]
}

/// What the newest creations that are sought amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// How many are alike.
    pub facets: Facets,
    /// Those who have most, who has the most first.
    pub owners: Vec<OwnerOf>,
    /// How many owners there are with those that are left out.
    pub all_owners: u64,
    /// By what how many failed when: by the hour, in no order.
    pub failures: Vec<FailedHour>,
}

/// An owner of some of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OwnerOf {
    /// Who.
    pub user_id: String,
    /// How many are theirs,
    pub creations: u64,
    /// and how many of these have failed.
    pub failed: u64,
    /// What they were charged.
    #[serde(deserialize_with = "sum")]
    pub tokens: u64,
}

/// Creations that failed within an hour by the same code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct FailedHour {
    /// When the hour begins, in epoch milliseconds.
    pub hour: u64,
    /// By what.
    #[serde(deserialize_with = "nullable")]
    pub error_code: Option<String>,
    /// How many.
    pub creations: u64,
}

impl Outline {
    /// From the results of [`outline`].
    ///
    /// # Errors
    ///
    /// [`DatabaseError`] if they are not of the shape that was asked for.
    pub fn read(results: Vec<Vec<Row>>) -> Result<Self, DatabaseError> {
        #[derive(Deserialize)]
        struct All {
            owners: u64,
        }
        let [facets, owners, failures]: [Vec<Row>; 3] =
            results.try_into().map_err(|_| DatabaseError::new("expected three results"))?;
        let all: Option<All> = typed_rows(owners.iter().take(1).cloned().collect())?.pop();
        Ok(Outline {
            facets: Facets::read(facets)?,
            owners: typed_rows(owners)?,
            all_owners: all.map_or(0, |all| all.owners),
            failures: typed_rows(failures)?,
        })
    }

    /// Adds what another database has. Nobody is an owner in two.
    pub fn add(&mut self, other: Outline) {
        self.facets.add(other.facets);
        self.owners.extend(other.owners);
        self.all_owners = self.all_owners.saturating_add(other.all_owners);
        self.failures.extend(other.failures);
    }

    /// Leaves out all but so many of the largest groups and owners.
    pub fn keep(&mut self, largest: u32) {
        self.facets.keep(largest);
        self.owners
            .sort_by(|one, other| (other.creations, &one.user_id).cmp(&(one.creations, &other.user_id)));
        self.owners.truncate(largest as usize);
    }
}

/// Creations that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Facet {
    /// Their status.
    pub status: String,
    /// Their kind.
    pub kind: String,
    /// Why they failed.
    pub error_code: Option<String>,
    /// The entry of the policy by which a sweep failed them.
    pub rule: Option<String>,
    /// How many they are.
    pub creations: u64,
    /// What they were charged.
    #[serde(deserialize_with = "sum")]
    pub tokens: u64,
}

impl Facet {
    /// Whether the other one is of the same.
    fn is_like(&self, other: &Facet) -> bool {
        let of = |facet: &Facet| {
            (facet.status.clone(), facet.kind.clone(), facet.error_code.clone(), facet.rule.clone())
        };
        of(self) == of(other)
    }

    /// Adds what another database has.
    fn add(&mut self, other: &Facet) {
        self.creations = self.creations.saturating_add(other.creations);
        self.tokens = self.tokens.saturating_add(other.tokens);
    }
}

/// How many of the newest creations are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// The most frequent first.
    pub largest: Vec<Facet>,
    /// How many there are with those that are left out.
    pub lines: u64,
    /// Whether there may be more: what one of several databases leaves out, another may have or not.
    pub more: bool,
    /// How many creations all of them are.
    pub creations: u64,
    /// What all of them were charged.
    pub tokens: u64,
}

/// A row of [`FACETS`] beside the facet itself.
#[derive(Deserialize)]
struct OfAll {
    lines: u64,
    all_creations: u64,
    #[serde(deserialize_with = "sum")]
    all_tokens: u64,
}

impl Facets {
    fn read(rows: Vec<Row>) -> Result<Self, DatabaseError> {
        let all: Option<OfAll> = typed_rows(rows.iter().take(1).cloned().collect())?.pop();
        let (lines, creations, tokens) =
            all.map_or((0, 0, 0), |all| (all.lines, all.all_creations, all.all_tokens));
        Ok(Facets { largest: typed_rows(rows)?, lines, more: false, creations, tokens })
    }

    fn add(&mut self, other: Facets) {
        let cut = |facets: &Facets| facets.lines > facets.largest.len() as u64;
        let both = self.lines > 0 && other.lines > 0;
        self.more |= other.more || (both && (cut(self) || cut(&other)));
        self.creations = self.creations.saturating_add(other.creations);
        self.tokens = self.tokens.saturating_add(other.tokens);
        for facet in other.largest {
            match self.largest.iter_mut().find(|one| one.is_like(&facet)) {
                Some(sum) => sum.add(&facet),
                None => self.largest.push(facet),
            }
        }
        self.lines = self.lines.max(other.lines).max(self.largest.len() as u64);
    }

    fn keep(&mut self, largest: u32) {
        self.largest.sort_by_key(|facet| std::cmp::Reverse(facet.creations));
        self.largest.truncate(largest as usize);
    }
}
