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
    # Until when it has more time, epoch ms: it is not stale before. An operator has given it that, or a
    # move of its owner to another database.
    extended_until: int | None
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
    # How many of this kind of one owner may be active, beside the limit of all kinds.
    max_active: int
    # What cancelling does once a worker has begun: all tokens go back, they are used up, or it is
    # refused.
    cancel: Literal["refund", "keep", "never"]


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
    # How many creations of one owner may be active, of all kinds; no limit if left out.
    max_active: int
    # Whether to keep a result that arrives after the refund, for an operator to restore.
    keep_late_results: bool
    # For one kind; comes before the others.
    kinds: dict[str, KindLimits]
    # What cancelling does once a worker has begun: all tokens go back, they are used up, or it is
    # refused.
    cancel: Literal["refund", "keep", "never"]


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


class Balance(TypedDict):
    # The server's clock, epoch ms.
    now: int
    user_id: str
    # Tokens.
    balance: int
    # Whether the sweep before it carried out all that it met, as in `GET /api/drafts`, where what is set
    # aside for a later try is seen too; null with `user_id`.
    swept: bool | None


class Cancelled(TypedDict):
    id: str
    status: Literal["failed"]
    # The attempt.
    attempt: int
    # Epoch ms.
    finished_at: int
    # What of the charge is used up.
    tokens_used: int
    # What went back.
    refunded_tokens: int


class ShardCompaction(TypedDict):
    """What was summed up in one database."""

    # Its binding.
    shard: str
    # Entries that left the ledger, or would.
    entries: int
    # Entries that came in for them: one for each user and month that had none.
    carries: int
    # Objects that were written.
    objects: int
    # Their bytes.
    bytes: int
    # Why it stopped there: what is left is summed up the next time.
    error: str | None


class Compaction(TypedDict):
    """What was summed up, or would be."""

    # Epoch ms.
    now: int
    before: str
    dry_run: bool
    # Entries that left the ledger, or would.
    entries: int
    # Entries that came in for them: one for each user and month that had none.
    carries: int
    # Objects that were written.
    objects: int
    # Their bytes.
    bytes: int
    # Whether it goes on.
    more: bool
    # What to send as `cursor` for that; null at the end.
    cursor: str | None
    # Of each database that was asked.
    shards: list[ShardCompaction]


class Completed(TypedDict):
    id: str
    status: Literal["draft"]
    # The attempt.
    attempt: int
    # Epoch ms.
    finished_at: int
    # What of the charge is used up.
    tokens_used: int
    # What went back.
    refunded_tokens: int


Status = Literal["pending", "processing", "draft", "published", "failed"]


class Conflict(TypedDict):
    error: str
    code: Literal["illegal_transition", "taken", "attempt_over", "wrong_fence", "fence_missing", "active", "not_active", "nothing_kept", "deleted", "cancelled", "not_cancellable", "more_than_charged", "other_attempt", "settled_elsewhere", "balance_elsewhere"]
    status: Status
    # The present attempt.
    attempt: int
    # What would be legal.
    next: list[Status]
    # Whether the result of this report, which came too late, is kept for an operator to restore. Of
    # several, the first is.
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


class Unreachable(TypedDict):
    """One of several databases that does not answer."""

    # Its binding.
    shard: str
    # Why.
    error: str


class _CountsRequired(TypedDict):
    # Epoch ms.
    now: int
    # Ascending.
    bands_ms: list[int]
    counts: list[CountsCount]


class Counts(_CountsRequired, total=False):
    # Only there where one of several databases does not answer: the counts are without what it has.
    unreachable: list[Unreachable]


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


class TimeoutParams(TypedDict):
    """What the text of a time-out is made of."""

    # The status that it was stuck in.
    status: Literal["pending", "processing"]
    # How long, rounded as it is said: hours have one decimal, and all else has none.
    count: float
    # Of what, as `Intl.NumberFormat` names units.
    unit: Literal["hour", "minute", "second"]
    # How many attempts there were.
    attempts: int


class TimeParams(TypedDict):
    """What the reason is made of why a time can't be read."""

    # The time.
    field: Literal["created_at", "queued_at", "started_at", "heartbeat_at", "extended_until"]


class _DraftRequired(TypedDict):
    id: str
    kind: str
    # Untrusted text.
    prompt: str
    # `failed` for a stale creation, or `pending` if it is given another attempt; otherwise as stored.
    status: str
    stored_status: Status
    verdict: Literal["settled", "fresh", "stale", "unreadable"]
    # A sign and words, in English.
    badge: str
    # The same as a stable code.
    badge_code: Literal["pending", "processing", "draft", "published", "failed", "retrying", "needs_attention"]
    # Why it failed, or why its age can't be known; in English, where it is the rules' own.
    error: str | None
    # The same as a stable code.
    error_code: str | None
    # What that text is made of, for whoever says it in another language; null where it is not the rules'
    # own, such as a worker's error.
    error_params: Union[TimeoutParams, TimeParams, None]
    attempt: int
    # What it was charged.
    tokens: int
    # What the ledger says was refunded of the present charge.
    refunded_tokens: int
    # Epoch ms; null if missing or malformed.
    created_at: int | None
    # Epoch ms.
    started_at: int | None
    # Epoch ms.
    heartbeat_at: int | None
    # Until when it has more time, epoch ms: it is not stale before. An operator has given it that, or a
    # move: see `held_until`.
    extended_until: int | None
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
    # Whether it may be tried again now, for its price.
    can_retry: bool
    # Whether it may be cancelled now.
    can_cancel: bool


class Draft(_DraftRequired, total=False):
    # The same as `extended_until`, where it has that time because its owner moves to another database: no
    # sweep decides on it. While the move is under way it is put off further. Only where that is later
    # than its deadline.
    held_until: int


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
    code: Literal["schema_not_current", "database_unreachable", "database_shared", "buckets_misplaced", "move_unfinished", "cron_not_running", "sweep_failing", "no_worker_running", "worker_died", "one_error_dominates", "one_kind_dominates", "tasks_redelivered", "unreadable_times", "creations_overdue", "creations_rejected", "circuit_breaker_open", "sweeping_paused", "ledger_differs", "many_stale", "many_failed", "outbox_stuck", "dead_letters", "archive_not_bound", "archive_stuck"]
    severity: Literal["critical", "warning"]
    # Of findings about failures, the code that most have: what `/api/search` finds them by.
    error_code: str | None
    cause: str
    evidence: str
    remedy: str


class LeftOut(TypedDict):
    # The move, as `GET /api/shards` has it.
    move_id: str
    # How many; counted up to 100,000.
    users: int
    # Until when, epoch ms; null while the move is under way: sweeps decide 15 minutes after it.
    until: int | None


class _DiagnosisRequired(TypedDict):
    # Epoch ms.
    now: int
    # Nothing is critical.
    healthy: bool
    # The critical ones first.
    findings: list[Finding]


class Diagnosis(_DiagnosisRequired, total=False):
    # The users on whom no sweep decides because of a move. Only where there are any.
    left_out: list[LeftOut]


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
    # Whether all that is due was carried out: `false` after an error, while sweeping is suspended, where
    # more is due than one sweep does, and where the database rejects it: then also while it is set aside
    # for a later try and on this page.
    swept: bool
    # By what they are judged, as the configuration has it.
    policy: PolicySettings
    # At the end of the list: what is older and no longer in it.
    archived: Union[Archived, None]


# What is wrong, as a stable code.
ErrorCode = Literal["invalid_request", "unauthorized", "insufficient_tokens", "forbidden", "not_found", "method_not_allowed", "conflict", "illegal_transition", "taken", "attempt_over", "wrong_fence", "fence_missing", "active", "not_active", "nothing_kept", "deleted", "balance_too_large", "rejected", "payload_too_large", "uri_too_long", "idempotency_key_reused", "too_many_requests", "too_many_active", "misconfigured", "moving", "unavailable", "cancelled", "not_cancellable", "more_than_charged", "other_attempt", "settled_elsewhere", "balance_elsewhere"]


class _ErrorBodyRequired(TypedDict):
    # What is wrong, quoting the input, and what would be right.
    error: str
    code: ErrorCode


class ErrorBody(_ErrorBodyRequired, total=False):
    # Whose it may be, where several users have a creation with this id: `user_id` in the query says which
    # is meant.
    user_ids: list[str]


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
    destinations: list[Literal["queue", "webhook", "generations", "slack", "discord"]]
    # Epoch ms.
    created_at: int
    # `null` for an alert's.
    creation_id: str | None


class _EventsRequired(TypedDict):
    # Epoch ms.
    now: int
    events: list[OpenEvent]
    # For the next page.
    next_cursor: str | None


class Events(_EventsRequired, total=False):
    # Only there where one of several databases does not answer: the page is without what it has, and no
    # later page goes back to that. List from the beginning again once it answers.
    unreachable: list[Unreachable]


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
    # What operators noted about it, the oldest first; 100 at most.
    notes: list[Act]


class Sweep(_SweepRequired, total=False):
    # With several databases: the binding of the one that it was on.
    shard: str


class Attempt(TypedDict):
    """An attempt that is over and was not the last word."""

    attempt: int
    # Put back to pending by a sweep; a failure that a restore undid; or one that somebody had tried
    # again.
    outcome: Literal["retried", "restored", "failed"]
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
    # What of its charge was used up; null: nothing was said.
    tokens_used: int | None


class GivenExtension(TypedDict):
    """More time that a creation was given."""

    scope: Literal["creation", "kind"]
    # The creation's id, or its kind.
    name: str
    # Its end, epoch ms.
    until: int
    # When it was given, epoch ms.
    since: int
    # By whom.
    actor: str
    # Why.
    reason: str
    # When somebody ended it before its end.
    ended_at: int | None
    # Who did.
    ended_by: str | None


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
    # Who has given it more time, the newest first.
    extensions: list[GivenExtension]
    # That sweeps leave it aside, since the database rejected what they wrote of it.
    set_aside: Union[ExplanationSetAside, None]
    # How many the policy gives.
    max_attempts: int
    # The worker that has the present attempt; `null` if none has said its name.
    worker: str | None
    # What operators did to it and noted about it, the oldest first.
    acts: list[Act]


class _ArchivedExplanationArchivedRequired(TypedDict):
    # What the keys of the objects of its hour begin with.
    prefix: str
    # The keys of those that may hold it.
    objects: list[str]


class ArchivedExplanationArchived(_ArchivedExplanationArchivedRequired, total=False):
    # If the ledger has its entries in the sum of a month: what the keys of the objects that have them one
    # by one begin with.
    ledger_prefix: str


class _ArchivedExplanationRequired(TypedDict):
    # Epoch ms.
    now: int
    id: str
    user_id: str
    # Where the rest is, in words.
    message: str
    archived: ArchivedExplanationArchived
    # Empty if its entries are in the sum of a month.
    ledger: list[LedgerEntry]


class ArchivedExplanation(_ArchivedExplanationRequired, total=False):
    """What is known here of a creation that is archived."""

    # Only there where one of several databases does not answer: what it has archived is not among the
    # objects.
    unreachable: list[Unreachable]


Explained = Union[Explanation, ArchivedExplanation]


class Extended(TypedDict):
    id: str
    status: Literal["pending", "processing"]
    # The attempt that has more time; another one begins without.
    attempt: int
    # Epoch ms; later than asked for, if it was so before.
    extended_until: int
    # The last instant at which it is not stale, epoch ms; null for `never`, and where its times can't be
    # read.
    deadline: int | None
    # Whether the deadline is what was asked for; false where a later one stays, and for null.
    is_put_off: bool


class ShardReached(TypedDict):
    shard: str
    # How many were changed.
    creations: int
    more: bool
    # Why it was not done: repeat the request.
    error: str | None


class ExtensionEnded(TypedDict):
    kind: str
    # Epoch ms.
    ended_at: int
    # How many creations had more time.
    released: int
    # Whether something is left, or a database has not answered: repeat the request.
    more: bool
    # Of several databases, each; empty of one.
    shards: list[ShardReached]


class Extension(TypedDict):
    """More time of a kind."""

    kind: str
    # Its end, epoch ms.
    until: int
    # When it was given, epoch ms.
    since: int
    # By whom.
    actor: str
    # Why.
    reason: str
    # When somebody ended it before its end.
    ended_at: int | None
    # Who did.
    ended_by: str | None
    # Whether it holds now.
    runs: bool
    # The databases that don't have it, of several: give it again.
    missing: list[str]


class SilentShard(TypedDict):
    shard: str
    error: str


class Extensions(TypedDict):
    # Epoch ms.
    now: int
    # At most 100 of each database, the latest end first.
    extensions: list[Extension]
    # The databases that did not answer, of several.
    silent: list[SilentShard]


class FailNow(TypedDict):
    # The attempt that is meant. So a repetition is the same one.
    attempt: int
    # What its owner reads.
    error: str


class Failed(TypedDict):
    id: str
    status: Literal["failed"]
    # The attempt.
    attempt: int
    # Epoch ms.
    finished_at: int
    # What of the charge is used up.
    tokens_used: int
    # What went back.
    refunded_tokens: int


class _FoundCreationRequired(TypedDict):
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
    # A sign and words, in English.
    badge: str
    # The same as a stable code.
    badge_code: Literal["pending", "processing", "draft", "published", "failed", "retrying", "needs_attention"]
    # Why it failed, or why its age can't be known; in English, where it is the rules' own.
    error: str | None
    # The same as a stable code.
    error_code: str | None
    # What that text is made of, for whoever says it in another language; null where it is not the rules'
    # own, such as a worker's error.
    error_params: Union[TimeoutParams, TimeParams, None]
    attempt: int
    # What it was charged.
    tokens: int
    # What the ledger says was refunded of the present charge.
    refunded_tokens: int
    # Epoch ms; null if missing or malformed.
    created_at: int | None
    # Epoch ms.
    started_at: int | None
    # Epoch ms.
    heartbeat_at: int | None
    # Until when it has more time, epoch ms: it is not stale before. An operator has given it that, or a
    # move: see `held_until`.
    extended_until: int | None
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
    # Whether it may be tried again now, for its price.
    can_retry: bool
    # Whether it may be cancelled now.
    can_cancel: bool


class FoundCreation(_FoundCreationRequired, total=False):
    """A creation and whose it is."""

    # The same as `extended_until`, where it has that time because its owner moves to another database: no
    # sweep decides on it. While the move is under way it is put off further. Only where that is later
    # than its deadline.
    held_until: int


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
    # Only there where one of several databases does not answer: what it has is missing, and the next page
    # asks it again.
    unreachable: list[Unreachable]


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


class KindExtended(TypedDict):
    kind: str
    # Epoch ms.
    until: int
    # How many creations have more time now.
    extended: int
    # Whether something is left, or a database has not answered: repeat the request with this `until`.
    more: bool
    # Of several databases, each; empty of one.
    shards: list[ShardReached]


class LedgerItemMessageParams(TypedDict, total=False):
    """What the message says beside its code."""

    # Why it failed, cut to 1,000 characters.
    error: str
    # Of that error, as a draft has it.
    error_code: str | None
    # What that error is made of, if it is a time-out.
    error_params: Union[TimeoutParams, None]
    # The key of a grant.
    key: str
    # Up to which month entries were summed up, such as `2026-01`.
    month: str
    # The type of an entry of a later version.
    type: str


class LedgerItem(TypedDict):
    """An entry of a user's ledger, with its reason in words."""

    # What names it for ever.
    entry_key: str
    # `grant`, `charge`, `refund`, `restore`, or one that a later version adds.
    type: str
    # Below zero if the owner paid.
    tokens: int
    # Epoch ms.
    created_at: int
    # The creation that it is about.
    creation_id: str | None
    # Its kind.
    kind: str | None
    # What was asked for, cut to 200 characters; empty if its owner has deleted it.
    prompt: str | None
    # Whether its owner has deleted it.
    deleted: bool
    # The sweep that refunded.
    sweep_id: str | None
    # Why, in words.
    message: str
    # The same as a stable code.
    message_code: Literal["charged", "retried", "kept", "used_up", "used_up_without_reason", "refunded", "refunded_without_reason", "refunded_in_part", "refunded_in_part_without_reason", "cancelled", "not_used", "restored", "granted", "imported", "paid_elsewhere", "carried", "other"]
    # What the message says beside its code.
    message_params: LedgerItemMessageParams


class ArchivedMoney(TypedDict):
    """What of a user's money is archived, with its creations."""

    # With those that the user had deleted.
    creations: int
    # The sum of their entries, but of those that are in the sum of a month, which is an entry itself:
    # below zero if the user paid.
    tokens: int
    # Of the oldest, epoch ms; null if it can't be read.
    first_created_at: int | None
    # Of the newest.
    last_created_at: int | None
    # The same in words.
    message: str


class Ledger(TypedDict):
    # The server's clock, epoch ms.
    now: int
    user_id: str
    # Tokens.
    balance: int
    # By creation, the newest first. There may be fewer than asked for, or none, before the end: creations
    # that were free have no entry.
    entries: list[LedgerItem]
    # For the next page; null at the end.
    next_cursor: str | None
    # Whether the sweep before it carried out all that it met, as in `GET /api/drafts`, where what is set
    # aside for a later try is seen too; null with `user_id`.
    swept: bool | None
    # At the end: what is archived, and no longer among the entries.
    archived: Union[ArchivedMoney, None]


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
    # Epoch ms: when it last went on, to a state or within one.
    stepped_at: int
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
    # Of a move that is cancelled: what the configuration has still to become, in words.
    next: str | None
    source: Union[Move, None]
    target: Union[Move, None]


class _NewCompactionRequired(TypedDict):
    # Entries of months before this one, in UTC. It began at least 31 days ago.
    before: str


class NewCompaction(_NewCompactionRequired, total=False):
    # Only counts, and writes nothing.
    dry_run: bool
    # The `cursor` of the answer before.
    cursor: str


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


class Retried(TypedDict):
    id: str
    status: Literal["pending"]
    # The new attempt.
    attempt: int
    # What its owner was charged for it.
    charged_tokens: int


class RetriedCreation(TypedDict):
    id: str
    # Its owner.
    user_id: str
    kind: str
    # The new attempt.
    attempt: int
    # What its owner was charged for it.
    charged_tokens: int


class SkippedRetry(TypedDict):
    id: str
    # Its owner, if the plan names one.
    user_id: str | None
    # The attempt that was to be retried.
    attempt: int
    # `already_retried`: somebody has retried that attempt. `changed`: it has moved on. `moving`,
    # `unreachable` and `not_tried` go through later.
    reason: Literal["not_found", "already_retried", "changed", "deleted", "settled_elsewhere", "balance_elsewhere", "insufficient_tokens", "moving", "rejected", "unreachable", "not_tried"]
    # The same in words.
    message: str
    # What it is now, where it has moved on.
    status: str | None
    # The attempt that it is at now, where it has moved on.
    present_attempt: int | None
    # What its owner has left, where that does not cover it.
    balance: int | None
    # What it would cost then.
    tokens: int | None


class RetriedManyCost(TypedDict):
    # Statements.
    queries: int
    # As D1 bills them.
    rows_read: int
    # As D1 bills them.
    rows_written: int


class RetriedMany(TypedDict):
    # Epoch ms.
    now: int
    # They wait for a worker, in the plan's order.
    retried: list[RetriedCreation]
    # What their owners were charged.
    charged_tokens: int
    # What was left as it is, in the plan's order, each with the reason.
    skipped: list[SkippedRetry]
    cost: RetriedManyCost


class PlannedRetry(TypedDict):
    id: str
    # Its owner.
    user_id: str
    kind: str
    # The attempt that has failed.
    attempt: int
    # What a retry charges.
    tokens: int
    # Why it failed.
    error_code: str | None
    # The entry of the policy by which a sweep failed it.
    rule: str | None
    # When it failed: epoch ms.
    finished_at: int | None
    # When a result came too late, which could be restored instead: epoch ms.
    late_at: int | None
    # Whether its owner's balance covers it, after those before it.
    is_covered: bool


class ShortOwner(TypedDict):
    user_id: str
    # What they have.
    balance: int
    # What all of theirs would cost.
    tokens: int
    # How many those are.
    creations: int
    # How many of them would be retried.
    covered: int


class RetryPreview(TypedDict):
    # Epoch ms.
    now: int
    # How many would be retried.
    retries: int
    # What their owners would be charged.
    charged_tokens: int
    # How many owners that are.
    owners: int
    # What `POST /api/retries` takes: the first that failed first, and is charged first.
    plan: list[PlannedRetry]
    # The owners whose balance does not cover all of theirs.
    short: list[ShortOwner]
    # Those of a given plan that would be left as they are for another reason.
    skipped: list[SkippedRetry]
    # For what is there beyond. A preview may find few, or none, and have one: so far it has looked.
    next_cursor: str | None
    # When the oldest creation was made that was looked at: epoch ms; null at the end.
    looked_back_to: int | None
    # The databases that did not answer: what they have is missing.
    unreachable: list[Unreachable]


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
    # As the database itself has them on record, in the same form: from the first configuration with
    # several databases, and from then on by moves. null: nothing is on record yet, or it does not answer.
    recorded: str | None
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
    # In a dry run, and with a plan: the users on whom no sweep decides because of a move. Only where
    # there are any.
    left_out: list[LeftOut]


class _SweepsRequired(TypedDict):
    # Epoch ms.
    now: int
    # The newest first.
    sweeps: list[Sweep]
    # For the next page.
    next_cursor: str | None


class Sweeps(_SweepsRequired, total=False):
    # Only there where one of several databases does not answer: the page is without what it has, and no
    # later page goes back to that. List from the beginning again once it answers.
    unreachable: list[Unreachable]


class ActiveCreation(TypedDict):
    id: str
    kind: str
    status: Literal["pending", "processing"]


class TooManyActive(TypedDict):
    error: str
    code: Literal["too_many_active"]
    # So many may be active.
    limit: int
    # The kind whose limit it is; null for that of all kinds.
    kind: str | None
    # What is active, at most 100: of the kind that was asked for first, the oldest before others. Where
    # the limit of a kind refuses, only that kind.
    active: list[ActiveCreation]


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
    # What was charged again: for a restored result, or a retry by hand.
    charged_tokens: int


class CreationEvent(TypedDict):
    """A failure or cancellation, a further attempt, or a restored result."""

    # `<what>:<creation>:<attempt>`, the same at every try.
    id: str
    type: Literal["creation.failed", "creation.retried", "creation.restored"]
    # Epoch ms.
    created_at: int
    data: CreationEventData


class AlertFiredData(TypedDict):
    code: str
    severity: Literal["warning", "critical"]
    # Of findings about failures, the code that most have: what `/api/search` finds them by.
    error_code: str | None
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
    # As it fired.
    evidence: str
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
