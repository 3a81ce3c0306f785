//! The plans of dry runs, kept on this machine until they are applied or a week has passed.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::exit::{Code, Failure};
use crate::settings::folder;

const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn path(plan_id: &str) -> Result<PathBuf, Failure> {
    let good = !plan_id.is_empty()
        && plan_id.len() <= 64
        && plan_id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !good {
        let message = format!("`{plan_id}` is no plan: expected the 12 digits that a dry run printed");
        return Err(Failure::new(Code::BadInput, message));
    }
    let folder =
        folder(true).ok_or_else(|| Failure::new(Code::Failed, "there is no home folder to keep plans in"))?;
    Ok(folder.join("plans").join(format!("{plan_id}.json")))
}

/// Keeps a plan: what the dry run answered, and by which limits.
pub fn save(plan_id: &str, plan: &Value) -> Result<(), Failure> {
    let path = path(plan_id)?;
    let failed = |error: std::io::Error| {
        Failure::new(Code::Failed, format!("`{}` can't be written: {error}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
        forget_old(folder);
    }
    std::fs::write(&path, plan.to_string()).map_err(failed)
}

/// The plan that a dry run on this machine printed.
pub fn load(plan_id: &str) -> Result<Value, Failure> {
    let path = path(plan_id)?;
    let text = std::fs::read_to_string(&path).map_err(|_| {
        let message = format!(
            "there is no plan `{plan_id}` on this machine: expected one that a dry run printed within a week"
        );
        Failure::new(Code::BadInput, message)
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Code::BadInput, format!("`{}` is damaged: {error}", path.display())))
}

fn forget_old(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age =
            entry.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > KEPT_FOR) {
            // One that stays is no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
