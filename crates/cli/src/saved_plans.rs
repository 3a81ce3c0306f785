//! The plans of dry runs on this machine, kept for 7 days.

use std::path::PathBuf;
use std::time::Duration;

use etcetera::BaseStrategy as _;
use serde_json::Value;

use crate::exit::{Code, Error};

const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn path(plan_id: &str) -> Result<PathBuf, Error> {
    let valid = (1..=64).contains(&plan_id.len()) && plan_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !valid {
        let message = format!("invalid plan `{plan_id}`: expected the 12 digits that a dry run printed");
        return Err(Error::new(Code::InvalidInput, message));
    }
    let base = etcetera::choose_base_strategy()
        .map_err(|_| Error::new(Code::Failed, "there is no home folder to keep plans in"))?;
    let folder = base.state_dir().unwrap_or_else(|| base.data_dir()).join("mark-stale-drafts/plans");
    Ok(folder.join(format!("{plan_id}.json")))
}

/// Saves a plan: the answer of a dry run, and the limits that it used.
pub fn save(plan_id: &str, plan: &Value) -> Result<(), Error> {
    let path = path(plan_id)?;
    let failed = |error: std::io::Error| {
        Error::new(Code::Failed, format!("`{}` can't be written: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
        forget_old(folder);
    }
    std::fs::write(&path, plan.to_string()).map_err(failed)
}

/// Loads a plan that a dry run on this machine saved.
pub fn load(plan_id: &str) -> Result<Value, Error> {
    let path = path(plan_id)?;
    let text = std::fs::read_to_string(&path).map_err(|_| {
        let message = format!(
            "unknown plan `{plan_id}`: expected one that a dry run on this machine printed in the last 7 days"
        );
        Error::new(Code::InvalidInput, message)
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Error::new(Code::InvalidInput, format!("`{}` is damaged: {error}", path.display())))
}

fn forget_old(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age =
            entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > KEPT_FOR) {
            // A file that can't be removed does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
