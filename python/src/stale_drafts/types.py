"""The types of what the API answers, and of the events that a webhook gets.

Made from www/openapi.json by scripts/make_types.py: don't edit it.
"""

from typing import Literal, TypedDict, Union


class Act(TypedDict):
    """What an operator did, or noted."""

    id: str
    # Epoch ms.
    at: int
    # Who: a token's name.
    actor: str
    # `note`, or what was done.
    action: str
    # The note, or with what it was done.
    detail: str


class ActiveDraft(TypedDict):
    """A draft that is being generated."""

    id: str
    kind: str
    status: Literal["pending", "processing"]
    # From 1.
    attempt: int
    # Epoch ms.
    created_at: int | None
    # Epoch ms.
    queued_at: int | None
    # Epoch ms.
    started_at: int | None
    # Epoch ms.
    heartbeat_at: int | None
    # Percent.
    progress: int | None


# Hours as a decimal number above 0, or `never`.
Hours = Union[float, Literal["never"]]


# A named limit: 10 minutes, 30 minutes, 1 hour.
Preset = Literal["development", "budget", "production"]


# Minutes as a decimal number above 0, or `never`.
Minutes = Union[float, Literal["never"]]


class KindLimits(TypedDict, total=False):
    """Limits of one kind of creation."""

    # For everything.
    max_age_hours: Hours
    # For what waits for a worker.
    pending: Hours
    # For what a worker is at.
    processing: Hours
    # For what a worker is at that sends heartbeats: in place of `processing`.
    heartbeat_minutes: Minutes
    # For what a worker is at, in all, heartbeats or not.
    total_hours: Hours
    # How often it is tried before it fails; by default 1.
    attempts: int


class PolicySettings(TypedDict, total=False):
    """After how long a creation is stale. The most specific entry applies."""

    # For everything.
    max_age_hours: Hours
    # In place of `max_age_hours`.
    preset: Preset
    # For what waits for a worker.
    pending: Hours
    # For what a worker is at.
    processing: Hours
    # For what a worker is at that sends heartbeats: in place of `processing`.
    heartbeat_minutes: Minutes
    # For what a worker is at, in all, heartbeats or not.
    total_hours: Hours
    # How often it is tried before it fails; by default 1.
    attempts: int
    # Whether to keep a result that arrives after the refund, for an operator to restore.
    keep_late_results: bool
    # For one kind; comes before the others.
    kinds: dict[str, KindLimits]


class ActiveDrafts(TypedDict):
    # The server's clock, epoch ms.
    now: int
    user_id: str
    # Tokens.
    balance: int
    drafts: list[ActiveDraft]
    # By what they are judged, as the configuration has it.
    policy: PolicySettings


class Alive(TypedDict):
    status: Literal["ok"]
    version: str


class Completed(TypedDict):
    id: str
    status: Literal["draft"]
    # The attempt.
    attempt: int
    # Epoch ms.
    finished_at: int


Status = Literal["pending", "processing", "draft", "published", "failed"]


class Conflict(TypedDict):
    error: str
    code: Literal["illegal_transition", "taken", "attempt_over", "wrong_fence", "fence_missing", "active", "nothing_kept", "deleted"]
    status: Status
    # The present attempt.
    attempt: int
    # What would be legal.
    next: list[Status]
    # Whether a result that came too late was kept, for an operator to restore.
    kept: bool


class CountsCount(TypedDict):
    status: Literal["pending", "processing"]
    kind: str
    # False: the age can't be known.
    readable: bool
    # The band begins above this age.
    above_ms: int | None
    # And goes up to this one; null for the last.
    up_to_ms: int | None
    # The limit; null for `never`.
    max_age_ms: int | None
    # How many.
    creations: int
    # What they were charged.
    tokens: int


class Counts(TypedDict):
    # Epoch ms.
    now: int
    # Ascending.
    bands_ms: list[int]
    counts: list[CountsCount]


class Created(TypedDict):
    id: str
    user_id: str
    kind: str
    status: Literal["pending"]
    attempt: Literal[1]
    # What was charged.
    tokens: int
    # Epoch ms.
    created_at: int


class Draft(TypedDict):
    id: str
    kind: str
    # Untrusted text.
    prompt: str
    # `failed` for a stale creation, or `pending` if it is given another attempt; otherwise as stored.
    status: str
    stored_status: Status
    verdict: Literal["settled", "fresh", "stale", "unreadable"]
    badge: str
    # Why it failed, or why its age can't be known.
    error: str | None
    # The same as a stable code.
    error_code: str | None
    attempt: int
    # What it was charged.
    tokens: int
    # What the ledger says was refunded.
    refunded_tokens: int
    # Epoch ms; null if missing or malformed.
    created_at: int | None
    # Epoch ms.
    started_at: int | None
    # Epoch ms.
    heartbeat_at: int | None
    # Epoch ms.
    finished_at: int | None
    # The last instant at which it is not stale, epoch ms.
    deadline: int | None
    # The limit of an active creation; null for `never`.
    max_age_ms: int | None
    # Milliseconds since it was asked for.
    age_ms: int | None
    # When it was put back for another attempt, epoch ms.
    queued_at: int | None
    # How far its worker says that it is, in percent.
    progress: int | None
    # Where the result is: an `http` or `https` address. `null` if there is none, or if what an app has
    # written by SQL is no such address.
    result_url: str | None
    # When a result came too late and was kept, epoch ms.
    late_at: int | None
    # When that result was restored, epoch ms.
    restored_at: int | None
    # When its owner deleted it, epoch ms.
    deleted_at: int | None


# A creation as operators see it: what its owner sees.
Creation = Draft


class Archived(TypedDict):
    """What of a user's is archived, without what the user had deleted."""

    creations: int
    # Of the oldest, epoch ms; null if it can't be read.
    first_created_at: int | None
    # Of the newest.
    last_created_at: int | None
    # The same in words.
    message: str


class Creations(TypedDict):
    # Epoch ms.
    now: int
    user_id: str
    # Tokens.
    balance: int
    # The newest first.
    creations: list[Creation]
    # For the next page.
    next_cursor: str | None
    # At the end of the list: what is older and no longer in it.
    archived: Union[Archived, None]


class Deleted(TypedDict):
    id: str
    status: Status
    # The attempt.
    attempt: int
    # Epoch ms.
    deleted_at: int


class Finding(TypedDict):
    code: Literal["schema_not_current", "database_unreachable", "cron_not_running", "sweep_failing", "no_worker_running", "worker_died", "one_error_dominates", "one_kind_dominates", "tasks_redelivered", "unreadable_times", "creations_overdue", "creations_rejected", "circuit_breaker_open", "sweeping_paused", "ledger_differs", "many_stale", "outbox_stuck", "dead_letters", "archive_stuck"]
    severity: Literal["critical", "warning"]
    cause: str
    evidence: str
    remedy: str


class Diagnosis(TypedDict):
    # Epoch ms.
    now: int
    # Nothing is critical.
    healthy: bool
    # The critical ones first.
    findings: list[Finding]


class Drafts(TypedDict):
    # The server's clock, epoch ms.
    now: int
    user_id: str
    # Tokens.
    balance: int
    # The newest first.
    drafts: list[Draft]
    # For the next page; null at the end.
    next_cursor: str | None
    # How many the sweep failed as the list was opened.
    marked_as_failed: int
    # Whether that sweep went through.
    swept: bool
    # By what they are judged, as the configuration has it.
    policy: PolicySettings
    # At the end of the list: what is older and no longer in it.
    archived: Union[Archived, None]


# What is wrong, as a stable code.
ErrorCode = Literal["invalid_request", "unauthorized", "insufficient_tokens", "forbidden", "not_found", "method_not_allowed", "conflict", "illegal_transition", "taken", "attempt_over", "wrong_fence", "fence_missing", "active", "nothing_kept", "deleted", "balance_too_large", "payload_too_large", "uri_too_long", "idempotency_key_reused", "too_many_requests", "misconfigured", "moving", "unavailable"]


class ErrorBody(TypedDict):
    # What is wrong, quoting the input, and what would be right.
    error: str
    code: ErrorCode


class _OpenEventRequired(TypedDict):
    # `<type>:<creation>:<attempt>`, the same at every try.
    id: str
    state: Literal["due", "dead"]
    # When it is next tried, epoch ms.
    due_at: int
    # How often it was tried.
    deliveries: int
    # What came of the last try.
    last_error: str | None


class OpenEvent(_OpenEventRequired, total=False):
    """An event that has not been delivered to everybody."""

    # To whom it has not gone yet.
    destinations: list[Literal["queue", "webhook", "generations"]]
    # Epoch ms.
    created_at: int
    # `null` for an alert's.
    creation_id: str | None


class Events(TypedDict):
    # Epoch ms.
    now: int
    events: list[OpenEvent]
    # For the next page.
    next_cursor: str | None


class LedgerEntry(TypedDict):
    entry_key: str
    type: Literal["grant", "charge", "refund", "restore"]
    # Negative for a charge and for a restore, which charges again.
    tokens: int
    # Epoch ms.
    created_at: int
    # The sweep that refunded.
    sweep_id: str | None


class _SweepRequired(TypedDict):
    id: str
    source: Literal["cron", "page", "endpoint", "tool"]
    # Who asked: a user's id, a token's name, an issuer's name and email.
    actor: str | None
    # The plan that it carried out.
    plan_id: str | None
    # Epoch ms.
    started_at: int
    # Epoch ms; null if it runs or was cut off.
    finished_at: int | None
    # Milliseconds.
    duration_ms: int | None
    # Creations looked at.
    examined: int
    # Failed and refunded.
    failed: int
    # Had moved on between decision and write.
    raced: int
    # Rejected by the database.
    rejected: int
    # Age can't be known.
    unreadable: int
    # Refused and unreadable.
    skipped: int
    # Tokens.
    refunded_tokens: int
    # Whether stale creations remained.
    more: bool
    # What stopped it.
    error: str | None
    # Statements; null until it is noted.
    queries: int | None
    # As D1 bills them.
    rows_read: int | None
    # As D1 bills them.
    rows_written: int | None
    # Put back for another attempt.
    retried: int


class Sweep(_SweepRequired, total=False):
    # With several databases: the binding of the one that it was on.
    shard: str


class Attempt(TypedDict):
    """An attempt that is over and was not the last word."""

    attempt: int
    # Put back to pending; or a failure that a restore undid.
    outcome: Literal["retried", "restored"]
    # Who began it.
    worker: str | None
    # Epoch ms.
    started_at: int | None
    # Epoch ms.
    heartbeat_at: int | None
    # Epoch ms.
    finished_at: int
    # The status that it was stuck in.
    stuck_status: str | None
    # Milliseconds.
    age_ms: int | None
    # Milliseconds.
    max_age_ms: int | None
    # The entry of the policy by which it was stale.
    rule: str | None
    # Why it was over.
    error: str | None
    # The same as a stable code.
    error_code: str | None
    # The sweep that found it.
    sweep_id: str | None


class ExplanationSetAside(TypedDict):
    creation_id: str
    # When a sweep tries again: epoch ms.
    until: int
    # The database's.
    reason: str


class Explanation(TypedDict):
    # Epoch ms.
    now: int
    user_id: str
    creation: Creation
    # The entry of the policy that its limit comes from.
    rule: str | None
    ledger: list[LedgerEntry]
    # The sweeps that touched it.
    sweeps: list[Sweep]
    # Those that are over; `creation` has the present one.
    attempts: list[Attempt]
    # What has not been delivered of it.
    events: list[OpenEvent]
    # That sweeps leave it aside, since the database rejected what they wrote of it.
    set_aside: Union[ExplanationSetAside, None]
    # How many the policy gives.
    max_attempts: int
    # What operators did to it and noted about it, the oldest first.
    acts: list[Act]


class ArchivedExplanationArchived(TypedDict):
    # What the keys of the objects of its hour begin with.
    prefix: str
    # The keys of those that may hold it.
    objects: list[str]


class ArchivedExplanation(TypedDict):
    """What is known here of a creation that is archived."""

    # Epoch ms.
    now: int
    id: str
    user_id: str
    # Where the rest is, in words.
    message: str
    archived: ArchivedExplanationArchived
    ledger: list[LedgerEntry]


Explained = Union[Explanation, ArchivedExplanation]


class Failed(TypedDict):
    id: str
    status: Literal["failed"]
    # The attempt.
    attempt: int
    # Epoch ms.
    finished_at: int
    # What went back.
    refunded_tokens: int


class FoundCreation(TypedDict):
    """A creation and whose it is."""

    # Its owner.
    user_id: str
    id: str
    kind: str
    # Untrusted text.
    prompt: str
    # `failed` for a stale creation, or `pending` if it is given another attempt; otherwise as stored.
    status: str
    stored_status: Status
    verdict: Literal["settled", "fresh", "stale", "unreadable"]
    badge: str
    # Why it failed, or why its age can't be known.
    error: str | None
    # The same as a stable code.
    error_code: str | None
    attempt: int
    # What it was charged.
    tokens: int
    # What the ledger says was refunded.
    refunded_tokens: int
    # Epoch ms; null if missing or malformed.
    created_at: int | None
    # Epoch ms.
    started_at: int | None
    # Epoch ms.
    heartbeat_at: int | None
    # Epoch ms.
    finished_at: int | None
    # The last instant at which it is not stale, epoch ms.
    deadline: int | None
    # The limit of an active creation; null for `never`.
    max_age_ms: int | None
    # Milliseconds since it was asked for.
    age_ms: int | None
    # When it was put back for another attempt, epoch ms.
    queued_at: int | None
    # How far its worker says that it is, in percent.
    progress: int | None
    # Where the result is: an `http` or `https` address. `null` if there is none, or if what an app has
    # written by SQL is no such address.
    result_url: str | None
    # When a result came too late and was kept, epoch ms.
    late_at: int | None
    # When that result was restored, epoch ms.
    restored_at: int | None
    # When its owner deleted it, epoch ms.
    deleted_at: int | None


class FoundMissing(TypedDict):
    # Its binding.
    shard: str
    error: str


class _FoundRequired(TypedDict):
    # Epoch ms.
    now: int
    # In order.
    creations: list[FoundCreation]
    # For the next page.
    next_cursor: str | None
    # When the oldest creation was made that was looked at: epoch ms; null at the end.
    looked_back_to: int | None


class Found(_FoundRequired, total=False):
    # The databases that did not answer, if any: what they have is missing, and the next page asks them
    # again.
    missing: list[FoundMissing]


class Granted(TypedDict):
    user_id: str
    # What was granted.
    tokens: int
    # When, in epoch milliseconds.
    created_at: int
    # The user's balance now.
    balance: int


class Health(TypedDict):
    ready: bool
    checks: dict[str, str]


class HeartbeatNoted(TypedDict):
    id: str
    status: Literal["processing"]
    # The attempt.
    attempt: int
    # Epoch ms.
    heartbeat_at: int


class InsufficientTokens(TypedDict):
    error: str
    # Tokens.
    balance: int
    # What it would cost.
    tokens: int
    code: Literal["insufficient_tokens"]


class Move(TypedDict):
    """Buckets of users that move or have moved, as one of the two databases has it."""

    id: str
    role: Literal["source", "target"]
    first_bucket: int
    last_bucket: int
    # The binding of the other database.
    other: str
    state: str
    # Epoch ms.
    started_at: int
    # Epoch ms: when it came into its state.
    changed_at: int
    # Once it is verified.
    users: int | None
    creations: int | None
    # Of the ledger.
    entries: int | None


class MoveProgress(TypedDict):
    # Epoch ms.
    now: int
    id: str
    # Whether the goal is reached.
    done: bool
    # Epoch ms: until then no sweep decides on users who have arrived.
    waits_until: int | None
    source: Union[Move, None]
    target: Union[Move, None]


class _NewMoveRequired(TypedDict):
    # The binding of the database that they leave.
    source: str
    # The binding of the one that takes them.
    target: str
    # A range from 0 to 4095, such as `2048-4095`.
    buckets: str


class NewMove(_NewMoveRequired, total=False):
    # `moved`: everything is in the target, and waits; `done`: the target takes writes and the source is
    # trimmed, once the configuration says so; `cancelled`: as before.
    goal: Literal["moved", "done", "cancelled"]


class NewNote(TypedDict):
    # What others should know.
    text: str


class Policy(TypedDict):
    # As the configuration has it.
    policy: PolicySettings
    # How long an attempt may take in all, heartbeats or not, of the kind that may take longest: its
    # `total_hours` in ms. Null where a kind has no such limit.
    max_run_ms: int | None


class Published(TypedDict):
    id: str
    status: Literal["published"]
    # The attempt.
    attempt: int


class Rejected(TypedDict):
    # Of `rejected`, with what the database said.
    error: str
    # `rejected`: a constraint or a trigger of the database rejects it, such as one of the app's own.
    code: Literal["balance_too_large", "rejected"]


class Replayed(TypedDict):
    replayed: int


class Restored(TypedDict):
    id: str
    status: Literal["draft"]
    # The attempt.
    attempt: int
    # Epoch ms.
    restored_at: int
    # What was charged again.
    charged_tokens: int
    result_url: str


class LastSweep(TypedDict):
    """The newest sweep by cron."""

    # Epoch ms.
    started_at: int
    duration_ms: int | None
    error: str | None


class ShardFullness(TypedDict):
    # Its binding.
    shard: str
    # As the configuration has them.
    buckets: str
    # Its size; null if it does not answer.
    bytes: int | None
    # What D1 holds.
    max_bytes: int
    used_percent: int | None
    # From 70 % on.
    nearly_full: bool
    # An upper bound of its creations.
    creations: int | None
    # Counted up to 100,000.
    active: int | None
    last_sweep: Union[LastSweep, None]
    moves: list[Move]
    # Why it does not answer.
    error: str | None


class Shards(TypedDict):
    # Epoch ms.
    now: int
    shards: list[ShardFullness]


class Started(TypedDict):
    id: str
    status: Literal["processing"]
    # The attempt that has begun.
    attempt: int
    # What every later report of this attempt carries.
    fence: str
    user_id: str
    kind: str
    # Untrusted text.
    prompt: str
    # Epoch ms.
    started_at: int
    # How long it may be silent once it has sent a heartbeat, in ms; null for `never`.
    max_silence_ms: int | None


class SweepReportCost(TypedDict):
    # Statements.
    queries: int
    # As D1 bills them.
    rows_read: int
    # As D1 bills them.
    rows_written: int


class SweepReportRejected(TypedDict):
    id: str
    error: str


class Reason(TypedDict):
    id: str
    # A stable code.
    reason: str
    message: str


class Marked(TypedDict):
    id: str
    user_id: str
    kind: str
    attempt: int
    stuck_status: Literal["pending", "processing"]
    # Epoch ms.
    last_sign_of_life: int
    # Epoch ms.
    deadline: int
    # Milliseconds.
    age_ms: int
    # Milliseconds.
    max_age_ms: int
    # The entry of the policy.
    rule: str
    # What it was charged; refunded if it is failed.
    tokens: int
    # The stored text.
    error: str
    error_code: Literal["generation_timeout"]
    # Whether it is failed and refunded, or put back for another attempt.
    action: Literal["fail", "retry"]


class ShardSwept(TypedDict):
    # Its binding.
    shard: str
    marked_as_failed: int
    retried: int
    # Tokens.
    refunded_tokens: int
    # Whether stale creations remain there.
    more: bool
    # What suspended it there, in words.
    suspended: str | None
    # Why it stopped early, or was not reached.
    error: str | None


class _SweepReportRequired(TypedDict):
    success: Literal[True]
    # In a dry run, what would be.
    marked_as_failed: int
    dry_run: bool
    # Null in a dry run.
    sweep_id: str | None
    # In a dry run: names exactly these creations, as they are.
    plan_id: str | None
    # Epoch ms.
    now: int
    # Creations looked at.
    examined: int
    # Had moved on between decision and write.
    raced: int
    # Tokens.
    refunded_tokens: int
    # Whether stale creations remain.
    more: bool
    # What would suspend the sweep, in words: a pause, or the circuit breaker. Without `dry_run`, a
    # suspended sweep is answered with 409.
    suspended: str | None
    cost: SweepReportCost
    rejected: list[SweepReportRejected]
    # Creations of the plan that were left alone.
    skipped: list[Reason]
    # Their age can't be known.
    unreadable: list[Reason]
    creations: list[Marked]
    # Put back for another attempt; in a dry run, what would be.
    retried: int


class SweepReport(_SweepReportRequired, total=False):
    # With several databases: what was done on each. One with an `error` was reached in part, or not at
    # all.
    shards: list[ShardSwept]


class Sweeps(TypedDict):
    # Epoch ms.
    now: int
    # The newest first.
    sweeps: list[Sweep]
    # For the next page.
    next_cursor: str | None


class Unauthorized(TypedDict):
    """The same whatever the reason."""

    error: Literal["Unauthorized"]


class CreationEventData(TypedDict):
    creation_id: str
    user_id: str
    kind: str
    status: Status
    attempt: int
    # What it was charged.
    tokens: int
    # What went back.
    refunded_tokens: int
    # Why; more than 1,000 characters are cut.
    error: str | None
    # The same as a stable code.
    error_code: str | None
    # The sweep that found it stale.
    sweep_id: str | None
    # Where the result is.
    result_url: str | None


class CreationEvent(TypedDict):
    """A failure, a further attempt, or a restored result."""

    # `<what>:<creation>:<attempt>`, the same at every try.
    id: str
    type: Literal["creation.failed", "creation.retried", "creation.restored"]
    # Epoch ms.
    created_at: int
    data: CreationEventData


class AlertFiredData(TypedDict):
    code: str
    severity: Literal["warning", "critical"]
    # What is wrong, in words.
    cause: str
    evidence: str
    remedy: str


class AlertFired(TypedDict):
    """A health rule has begun to match."""

    # The same at every try.
    id: str
    type: Literal["alert.fired"]
    # Epoch ms.
    created_at: int
    data: AlertFiredData


class AlertResolvedData(TypedDict):
    code: str
    severity: Literal["warning", "critical"]
    # What is wrong, in words.
    cause: str
    # When it fired: epoch ms.
    since: int


class AlertResolved(TypedDict):
    """It no longer does."""

    # The same at every try.
    id: str
    type: Literal["alert.resolved"]
    # Epoch ms.
    created_at: int
    data: AlertResolvedData


# What the webhook and the queue `EVENTS` get, at least once.
Event = Union[CreationEvent, AlertFired, AlertResolved]
