use serde_json::Value;

use crate::rules::{Action, Planned, Status};

/// The body of a request that carries out a plan: what a dry run answered, or as much of it.
#[derive(Debug)]
pub struct Plan {
    /// The name of the plan, if it says so.
    pub plan_id: Option<String>,
    creations: Vec<PlannedCreation>,
}

#[derive(Debug)]
struct PlannedCreation {
    id: String,
    stuck_status: Option<Status>,
    attempt: u32,
    last_sign_of_life: u64,
    action: Action,
}

impl PlannedCreation {
    fn read(value: &Value) -> Option<Self> {
        Some(PlannedCreation {
            id: value.get("id")?.as_str()?.to_owned(),
            stuck_status: value.get("stuck_status")?.as_str()?.parse().ok(),
            attempt: u32::try_from(value.get("attempt")?.as_u64()?).ok()?,
            last_sign_of_life: value.get("last_sign_of_life")?.as_u64()?,
            action: match value.get("action")?.as_str()? {
                "retry" => Action::Retry,
                "fail" => Action::Fail,
                _ => return None,
            },
        })
    }
}

impl Plan {
    /// At most this many creations are carried out in one request.
    pub const MAX: u32 = 5_000;

    /// Reads a body; `None` if it is empty. `chosen` says whether the query chooses creations too.
    ///
    /// # Errors
    ///
    /// A text that names what is not understood and says what would be right.
    pub fn read(text: &str, chosen: bool) -> Result<Option<Self>, String> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let expected = "expected `{\"plan_id\": …, \"creations\": […]}` as a dry run answers it";
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("the body is no JSON ({error}): {expected}"))?;
        let list = value.get("creations").and_then(Value::as_array);
        let list = list.ok_or_else(|| format!("the body has no list `creations`: {expected}"))?;
        if list.len() > Self::MAX as usize {
            return Err(format!("the plan has {} creations: expected at most {}", list.len(), Self::MAX));
        }
        let one = |(creation, at)| {
            PlannedCreation::read(creation).ok_or_else(|| {
                format!("`creations[{at}]` is no creation of a plan: expected `id`, `stuck_status`, `attempt`, `last_sign_of_life` and `action`, `fail` or `retry`")
            })
        };
        let creations = list.iter().zip(0_usize..).map(one).collect::<Result<_, _>>()?;
        let plan_id = value.get("plan_id").filter(|id| !id.is_null());
        let good =
            |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let plan_id = match plan_id.map(|id| id.as_str().filter(good).map(str::to_owned)) {
            Some(None) => {
                return Err(String::from(
                    "`plan_id` is not the `plan_id` of a dry run: expected letters and digits",
                ));
            }
            Some(id) => id,
            None => None,
        };
        let plan = Plan { plan_id, creations };
        if chosen {
            return Err(String::from(
                "a plan says itself which creations it is for: leave out `user_id`, `kind`, `status` and `limit`",
            ));
        }
        Ok(Some(plan))
    }

    /// Its creations as the rules take them.
    pub fn planned(&self) -> Vec<Planned<'_>> {
        self.creations
            .iter()
            .map(|creation| Planned {
                id: &creation.id,
                stuck_status: creation.stuck_status,
                attempt: creation.attempt,
                last_sign_of_life: creation.last_sign_of_life,
                action: creation.action,
            })
            .collect()
    }
}
