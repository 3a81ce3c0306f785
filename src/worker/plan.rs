//! The plan that a request carries out.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};

use crate::read::{self, Invalid, Whole, whole};
use crate::rules::{Action, Planned};
use crate::service::sweep::MAX_ROWS;

/// The body of a request that carries out a plan: the answer of a dry run, or as much of it.
#[derive(Debug, Deserialize)]
pub struct Plan {
    plan_id: Option<PlanId>,
    creations: Vec<PlannedCreation>,
}

#[derive(Debug, Deserialize)]
struct PlannedCreation {
    id: String,
    stuck_status: String,
    #[serde(deserialize_with = "whole::<0, { u32::MAX as u64 }, _>")]
    attempt: u32,
    last_sign_of_life: Whole<0, { u64::MAX }>,
    action: PlannedAction,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PlannedAction {
    Fail,
    Retry,
}

/// Letters and digits.
#[derive(Debug)]
struct PlanId(String);

impl<'de> Deserialize<'de> for PlanId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        if (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(PlanId(id))
        } else {
            Err(D::Error::invalid_value(
                Unexpected::Str(&id),
                &"the `plan_id` of a dry run: letters and digits",
            ))
        }
    }
}

impl Plan {
    /// At most so many creations are carried out in one request.
    pub const MAX: u32 = MAX_ROWS;

    /// Reads a body; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`Invalid`] says what would be right.
    pub fn read(body: &[u8]) -> Result<Option<Self>, Invalid> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let plan: Plan = read::json(body)?;
        if plan.creations.len() > Self::MAX as usize {
            let message =
                format!("the plan has {} creations: expected at most {}", plan.creations.len(), Self::MAX);
            return Err(Invalid { path: String::from("creations"), message });
        }
        Ok(Some(plan))
    }

    /// Its name, if it says so.
    pub fn id(&self) -> Option<&str> {
        self.plan_id.as_ref().map(|id| id.0.as_str())
    }

    /// Its creations as the rules take them.
    pub fn planned(&self) -> Vec<Planned<'_>> {
        self.creations
            .iter()
            .map(|creation| Planned {
                id: &creation.id,
                stuck_status: creation.stuck_status.parse().ok(),
                attempt: creation.attempt,
                last_sign_of_life: creation.last_sign_of_life.get(),
                action: match creation.action {
                    PlannedAction::Fail => Action::Fail,
                    PlannedAction::Retry => Action::Retry,
                },
            })
            .collect()
    }
}
