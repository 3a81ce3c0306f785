//! What the queries of several lists have in common.

use axum::http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::extract::pairs;
use super::problem::Problem;
use crate::read::{self, Name, whole};
use crate::rules::Status;

/// How many rows a page has.
#[derive(Clone, Copy, Deserialize)]
pub(in crate::worker) struct PageSize(#[serde(deserialize_with = "whole::<1, 100, _>")] u32);

impl PageSize {
    pub(in crate::worker) const fn get(self) -> u32 {
        self.0
    }
}

/// Where in its list an owner's page begins, by its address. Links to a page gather parameters of other people's: those are left aside.
pub(super) fn place_on_page<Place: DeserializeOwned>(uri: &Uri) -> Result<Place, Problem> {
    let own = pairs(uri)?.into_iter().filter(|(key, _)| ["cursor", "limit"].contains(&key.as_str()));
    Ok(read::query(own)?)
}

/// A status, as it is stored.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::worker) enum StatusWord {
    Pending,
    Processing,
    Draft,
    Published,
    Failed,
}

impl StatusWord {
    pub(in crate::worker) const fn status(self) -> Status {
        match self {
            StatusWord::Pending => Status::Pending,
            StatusWord::Processing => Status::Processing,
            StatusWord::Draft => Status::Draft,
            StatusWord::Published => Status::Published,
            StatusWord::Failed => Status::Failed,
        }
    }
}

/// Whose creation it is. With several databases it says where one is whose id an app chose; one of ours says so itself.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OwnerQuery {
    pub(super) user_id: Option<Name>,
}
