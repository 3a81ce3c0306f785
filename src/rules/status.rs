use std::fmt;
use std::str::FromStr;

/// Where a creation stands in its life.
///
/// ```text
/// pending → processing → draft → published      the normal flow
///    │           │
///    └───────────┴─────→ failed                 a failure or a time-out, with a refund
/// ```
///
/// Every other change is illegal: [`Status::transition`] answers it with [`IllegalTransition`], and a
/// trigger in the database refuses it, whoever writes. Staying in a status is not a transition.
///
/// Three ways lead back, and none is in that picture: a sweep that puts a stale creation back to `pending` begins its next attempt
/// ([`Action::Retry`](super::Action::Retry)); so does whoever retries a `failed` one, and its owner is charged again
/// ([`Report::Retry`](super::Report::Retry)); and an operator who restores a `failed` one
/// whose result came too late makes it a `draft`, and charges for it again ([`Report::Restore`](super::Report::Restore)).
///
/// ```
/// use stale_drafts::rules::Status;
///
/// assert_eq!(Status::Pending.transition(Status::Processing), Ok(Status::Processing));
/// let late = Status::Failed.transition(Status::Draft).unwrap_err();
/// assert_eq!(late.to_string(), "a creation can't go from `failed` to `draft`: `failed` is final");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Asked for and paid; no worker has begun.
    Pending,
    /// A worker is generating it.
    Processing,
    /// Generated; its owner has not published it.
    Draft,
    /// Generated and published by its owner.
    Published,
    /// Given up; its tokens have gone back.
    Failed,
}

impl Status {
    /// Every status, in the order of a creation's life.
    pub const ALL: [Status; 5] =
        [Status::Pending, Status::Processing, Status::Draft, Status::Published, Status::Failed];

    /// The word that the database, JSON and the pages use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Processing => "processing",
            Status::Draft => "draft",
            Status::Published => "published",
            Status::Failed => "failed",
        }
    }

    /// The status as an active one, or `None` if nothing is being waited for.
    pub const fn active(self) -> Option<Active> {
        match self {
            Status::Pending => Some(Active::Pending),
            Status::Processing => Some(Active::Processing),
            Status::Draft | Status::Published | Status::Failed => None,
        }
    }

    /// The statuses that a creation may go to from here, in the order of [`Status::ALL`].
    pub const fn next(self) -> &'static [Status] {
        match self {
            Status::Pending => &[Status::Processing, Status::Failed],
            Status::Processing => &[Status::Draft, Status::Failed],
            Status::Draft => &[Status::Published],
            Status::Published | Status::Failed => &[],
        }
    }

    /// Goes from this status to `to`.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] if `to` is not in [`Status::next`].
    pub fn transition(self, to: Status) -> Result<Status, IllegalTransition> {
        if self.next().contains(&to) { Ok(to) } else { Err(IllegalTransition { from: self, to }) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// A status in which somebody waits for a worker: the only ones that can go stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Active {
    /// See [`Status::Pending`].
    Pending,
    /// See [`Status::Processing`].
    Processing,
}

impl Active {
    /// Both, in the order of a creation's life.
    pub const ALL: [Active; 2] = [Active::Pending, Active::Processing];

    /// The same status among all of them.
    pub const fn status(self) -> Status {
        match self {
            Active::Pending => Status::Pending,
            Active::Processing => Status::Processing,
        }
    }

    /// The word that the database, JSON and the pages use.
    pub const fn as_str(self) -> &'static str {
        self.status().as_str()
    }
}

impl fmt::Display for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A change of status that no creation may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IllegalTransition {
    /// The status that the creation is in.
    pub from: Status,
    /// The status that somebody asked for.
    pub to: Status,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to {
            return match self.from {
                Status::Failed => f.write_str("it has failed already"),
                status => write!(f, "it is `{status}` already"),
            };
        }
        write!(f, "a creation can't go from `{}` to `{}`: ", self.from, self.to)?;
        match self.from.next() {
            [] => write!(f, "`{}` is final", self.from),
            [only] => write!(f, "only `{only}` can follow"),
            [first, rest @ ..] => {
                write!(f, "only `{first}`")?;
                rest.iter().try_for_each(|next| write!(f, " or `{next}`"))?;
                f.write_str(" can follow")
            }
        }
    }
}

impl std::error::Error for IllegalTransition {}

/// Text that names no status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownStatus(String);

impl fmt::Display for UnknownStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown status `{}`: expected `pending`, `processing`, `draft`, `published` or `failed`",
            self.0
        )
    }
}

impl std::error::Error for UnknownStatus {}
