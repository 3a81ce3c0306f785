//! What the queries of several lists have in common.

use serde::Deserialize;

use crate::read::{Name, whole};
use crate::rules::Status;

/// How many rows a page has.
#[derive(Clone, Copy, Deserialize)]
pub(in crate::worker) struct PageSize(#[serde(deserialize_with = "whole::<1, 100, _>")] u32);

impl PageSize {
    pub(in crate::worker) const fn get(self) -> u32 {
        self.0
    }
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
