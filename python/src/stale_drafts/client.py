"""The client: one method for each route of the API."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast
from urllib.parse import quote, urlsplit

import requests

from . import types
from ._http import Bearer, answer_of, ask, query
from ._text import MAX_CODE, MAX_TEXT, cut

SWEEP, DOCTOR = "/api/generate/cleanup-stale", "/api/doctor"


class StaleDrafts:
    """A client of the Worker at `url`.

    What it may do is decided by its `token`: a worker and the app need one with the scope `report`, operators one with
    `read`, `sweep` or `grant`, and for the methods of owners it is the owner's own: see `with_token`.

    A request without an answer is repeated for up to `patience` seconds, and so is one that is answered with 429 or 500
    and above. Every request is safe to repeat. `timeout` is that of `requests`, in seconds: to connect, and between two
    bytes; a sweep and the doctor may take a minute.

    Methods give the answer's JSON as it comes. Times are in milliseconds since the Unix epoch. They raise
    `StaleDraftsError`: `Refused` or one of its kinds if the answer is an error, and `Unavailable` if there was none.
    """

    def __init__(
        self, url: str, token: str, *, patience: float = 60, timeout: tuple[float, float] = (3.05, 10)
    ) -> None:
        parts = urlsplit(url)
        # A password in it would be in every error's text.
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            shown = url if "@" not in url else url.rsplit("@", 1)[1]
            raise ValueError(f"`{shown}` is no address of Stale Drafts: expected one such as `https://stale-drafts.example.workers.dev`")
        self._url = url.rstrip("/")
        self._auth = Bearer(token)
        self._patience = patience
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"StaleDrafts({self._url!r})"

    def with_token(self, token: str, *, patience: float | None = None) -> StaleDrafts:
        """The same with another credential, such as an owner's."""
        patience = self._patience if patience is None else patience
        return StaleDrafts(self._url, token, patience=patience, timeout=self._timeout)

    # What the app and its workers report.

    def create(self, *, user_id: str, kind: str, prompt: str, tokens: int, key: str | None = None) -> types.Created:
        """Makes a creation and charges its owner. Returns it; the other methods take its `id`.

        The same `key` of the same user makes one creation, however often it is sent: give the id of the order or of the
        form. Without one, each call makes one. Raises `InsufficientTokens` and `TooManyActive`.
        """
        body = {"user_id": user_id, "kind": kind, "prompt": prompt, "tokens": tokens}
        return cast(types.Created, self._post("/api/creations", body, headers=_key(key or str(uuid.uuid4()))))

    def start(self, creation_id: str, worker: str, *, user_id: str | None = None) -> types.Started:
        """Starts an attempt. Returns the creation; the later reports carry its `fence`.

        `worker` names this run: the same name gets the same answer again, another one raises `Conflict`. `user_id` is the owner, here
        and in the reports below: where there are several databases, it spares a look for an id that your app has chosen.
        """
        return cast(types.Started, self._post(_report(creation_id, "start", user_id), {"worker": worker}))

    def heartbeat(
        self, creation_id: str, fence: str, progress: int | None = None, *, patience: float | None = 0, user_id: str | None = None
    ) -> types.HeartbeatNoted:
        """Reports that the worker is alive, and its progress in percent. Raises `Conflict` if the attempt has ended.

        It is sent once, for the next one makes up for a lost one; with a `patience`, it is repeated for that long.
        """
        body = {"fence": fence} if progress is None else {"fence": fence, "progress": progress}
        return cast(types.HeartbeatNoted, self._post(_report(creation_id, "heartbeat", user_id), body, patience=patience))

    def complete(
        self, creation_id: str, fence: str, result_url: str, *, tokens_used: int | None = None, user_id: str | None = None
    ) -> types.Completed:
        """Reports the result. If it is late, raises `Conflict`, whose `kept` says whether the result was kept.

        `tokens_used` is what it really cost, at most what was charged: the rest goes back to the owner. None stands for all.
        """
        body: dict[str, object] = {"fence": fence, "result_url": result_url} | _used(tokens_used)
        return cast(types.Completed, self._post(_report(creation_id, "complete", user_id), body))

    def fail(
        self,
        creation_id: str,
        fence: str | None,
        error_code: str,
        error: object,
        *,
        tokens_used: int | None = None,
        user_id: str | None = None,
    ) -> types.Failed:
        """Reports a failure, which refunds the owner. `fence` is None if no worker has started.

        Whatever `error` is, it is reported: a long text is cut to 20,000 characters. `tokens_used` is what was used all the same, and
        does not go back.
        """
        body: dict[str, object] = {"error_code": cut(error_code, MAX_CODE), "error": cut(error, MAX_TEXT)} | _used(tokens_used)
        if fence is not None:
            body["fence"] = fence
        return cast(types.Failed, self._post(_report(creation_id, "fail", user_id), body))

    def cancel(self, creation_id: str, *, attempt: int | None = None, user_id: str | None = None) -> types.Cancelled:
        """Ends what nobody wants any more. What waits is refunded; what a worker is at by the policy's `cancel`.

        The worker learns it from its next heartbeat. With an `attempt`, only that one is cancelled. Raises `Conflict` if it is over,
        or may not be cancelled.
        """
        return cast(types.Cancelled, self._post(_report(creation_id, "cancel", user_id), _attempt(attempt)))

    def policy(self) -> types.Policy:
        """What creations are judged by, and `max_run_ms`: how long an attempt may take at the longest, None for no limit."""
        return cast(types.Policy, self._get("/api/policy"))

    # What operators ask and do.

    def mark_stale_creations_as_failed(self, max_age_hours: float | None = 1.0) -> int:
        """Fails what has shown no sign of life for longer, and refunds it. Returns how many were failed.

        None stands for the limits of the policy. Sweeps until nothing stale is left. Raises `Conflict` if sweeping is
        suspended, by an operator's pause or the circuit breaker.
        """
        marked = 0
        while True:
            report = self.sweep(max_age_hours=max_age_hours)
            marked += report["marked_as_failed"]
            # What a sweep could do nothing about is left to a later one.
            if not report["more"] or report["marked_as_failed"] + report["retried"] == 0:
                return marked

    def sweep(
        self,
        *,
        dry_run: bool = False,
        max_age_hours: float | None = None,
        user_id: str | None = None,
        kind: str | None = None,
        status: Literal["pending", "processing"] | None = None,
        limit: int | None = None,
        source: Literal["endpoint", "tool"] | None = None,
        plan: Mapping[str, object] | None = None,
    ) -> types.SweepReport:
        """One sweep of at most 1,000 creations; with `dry_run`, what it would do.

        With a `plan`, which is what a dry run has answered, exactly those creations that are still as they were then.
        """
        asked = query({
            # Left out where it is false, which a plan goes without.
            "dry_run": dry_run or None, "max_age_hours": max_age_hours, "user_id": user_id, "kind": kind,
            "status": status, "limit": limit, "source": source,
        })  # fmt: skip
        return cast(types.SweepReport, self._ask("POST", SWEEP, params=asked, json=plan))

    def creations(
        self, *, user_id: str, status: types.Status | None = None, limit: int | None = None, cursor: str | None = None
    ) -> types.Creations:
        """A page of a user's creations, the newest first. Nothing is swept. The next page's `cursor` is its `next_cursor`."""
        asked = query({"user_id": user_id, "status": status, "limit": limit, "cursor": cursor})
        return cast(types.Creations, self._get("/api/creations", asked))

    def search(
        self,
        *,
        status: types.Status | None = None,
        kind: str | None = None,
        user_id: str | None = None,
        error_code: str | None = None,
        rule: str | None = None,
        since: int | str | None = None,
        until: int | str | None = None,
        failed_since: int | str | None = None,
        failed_until: int | str | None = None,
        order: Literal["newest", "silent"] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> types.Found:
        """A page of the creations that are all of that, the newest first. Nothing is swept.

        `since` and `until` say when it was made, `failed_since` and `failed_until` when it failed, if it was not retried since:
        epoch milliseconds, or text such as `2026-01-05T03:00Z`. A page may be short or empty and have a
        `next_cursor` all the same: so far it has looked.
        """
        asked = query({
            "status": status, "kind": kind, "user_id": user_id, "error_code": error_code, "rule": rule, "since": since,
            "until": until, "failed_since": failed_since, "failed_until": failed_until, "order": order, "limit": limit, "cursor": cursor,
        })  # fmt: skip
        return cast(types.Found, self._get("/api/search", asked))

    def explain(self, creation_id: str, *, user_id: str | None = None) -> types.Explained:
        """All about one creation: its ledger, its attempts, its sweeps. Of one that is archived, its ledger and where the rest is."""
        return cast(types.Explained, self._get(_creation(creation_id), query({"user_id": user_id})))

    def restore(self, creation_id: str, *, user_id: str | None = None) -> types.Restored:
        """Makes a draft of a result that came too late, and charges its owner again. Raises `InsufficientTokens`."""
        return cast(types.Restored, self._post(_report(creation_id, "restore", user_id)))

    def retry(self, creation_id: str, attempt: int, *, user_id: str | None = None) -> types.Retried:
        """Has a failed creation generated once more, and charges its owner again. `attempt` is the one that has failed.

        The same attempt is retried once, however often it is sent. Raises `InsufficientTokens`, and `Conflict` if it has not failed.
        """
        return cast(types.Retried, self._post(_report(creation_id, "retry", user_id), _attempt(attempt)))

    def fail_now(self, creation_id: str, attempt: int, *, error: str, user_id: str | None = None) -> types.Failed:
        """Fails what is active, as an operator, and refunds it whole. Its owner reads `error`, of 1,000 characters at most.

        What its worker delivers later is a late result. Raises `Conflict` if the attempt is over.
        """
        body = {"attempt": attempt, "error": error}
        return cast(types.Failed, self._post(_report(creation_id, "fail-now", user_id), body))

    def preview_retries(
        self,
        *,
        filter: Mapping[str, int | str] | None = None,
        all: bool | None = None,
        plan: Iterable[Mapping[str, object]] | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> types.RetryPreview:
        """What retrying many failed creations would do, and what it would charge. Nothing is written.

        `filter` has at least one of `user_id`, `kind`, `error_code`, `rule`, `since`, `until`, `failed_since` and `failed_until`; each
        that is given holds. In its place, `all=True` is everything that has failed, and a `plan` is creations with their `id` and
        `attempt`. There is more while the answer has a `next_cursor`.
        """
        asked = {"filter": filter, "all": all, "plan": None if plan is None else list(plan), "limit": limit, "cursor": cursor}
        body = {key: value for key, value in asked.items() if value is not None}
        return cast(types.RetryPreview, self._post("/api/retries/preview", body))

    def retry_many(self, *, plan: Iterable[Mapping[str, object]], reason: str | None = None) -> types.RetriedMany:
        """Retries the creations of a preview's `plan`, or of some of it, and charges for each again. At most 1,000.

        `skipped` names each that was left, and why: nobody's empty balance keeps the others from it. An attempt is retried once: where
        the first answer was lost, the second one has `already_retried` for it.
        """
        body = {"plan": list(plan), **({} if reason is None else {"reason": reason})}
        return cast(types.RetriedMany, self._post("/api/retries", body))

    def extend(
        self,
        creation_id: str,
        *,
        reason: str,
        minutes: int | None = None,
        until: int | None = None,
        user_id: str | None = None,
    ) -> types.Extended:
        """Gives a creation more time: it is not stale before. Either `minutes`, or `until` in milliseconds since the epoch."""
        return cast(types.Extended, self._post(_report(creation_id, "extend", user_id), _end(reason, minutes, until)))

    def extend_kind(
        self, *, kind: str, reason: str, minutes: int | None = None, until: int | None = None
    ) -> types.KindExtended:
        """Gives all of a kind more time. While the answer has `more`, repeat it with its `until`."""
        return cast(types.KindExtended, self._post("/api/extensions", {"kind": kind, **_end(reason, minutes, until)}))

    def end_extension(self, *, kind: str) -> types.ExtensionEnded:
        """Ends the time that a kind has. While the answer has `more`, repeat it."""
        return cast(types.ExtensionEnded, self._ask("DELETE", "/api/extensions", params=query({"kind": kind})))

    def extensions(self) -> types.Extensions:
        """What kinds have more time, until when, by whom and why."""
        return cast(types.Extensions, self._get("/api/extensions"))

    def note(self, creation_id: str, text: str, *, user_id: str | None = None) -> types.Act:
        """Notes what others should know of a creation, of 1 to 2,000 characters."""
        return cast(types.Act, self._post(_report(creation_id, "notes", user_id), {"text": text}))

    def note_sweep(self, sweep_id: str, text: str) -> types.Act:
        """Notes what others should know of a sweep, of 1 to 2,000 characters."""
        return cast(types.Act, self._post(f"/api/sweeps/{_segment(sweep_id)}/notes", {"text": text}))

    def grant(self, *, user_id: str, tokens: int, key: str) -> types.Granted:
        """Grants tokens to a user. The same `key` grants once, however often it is sent: give the id of the payment."""
        return cast(types.Granted, self._post("/api/grants", {"user_id": user_id, "tokens": tokens}, headers=_key(key)))

    def balance(self, *, user_id: str | None = None) -> types.Balance:
        """The owner's balance, swept first, with the owner's token; a user's with `user_id`, for an operator."""
        return cast(types.Balance, self._get("/api/balance", query({"user_id": user_id})))

    def ledger(
        self, *, user_id: str | None = None, limit: int | None = None, cursor: str | None = None
    ) -> types.Ledger:
        """A page of where the owner's tokens went, in words; of a user's with `user_id`, for an operator."""
        return cast(types.Ledger, self._get("/api/ledger", query({"user_id": user_id, "limit": limit, "cursor": cursor})))

    def counts(self, *, bands: Iterable[int] | None = None) -> types.Counts:
        """Active creations by status, kind and age. `bands` are ages in minutes, such as `[30, 60, 1440]`."""
        asked = query({"bands": None if bands is None else ",".join(map(str, bands))})
        return cast(types.Counts, self._get("/api/counts", asked))

    def sweeps(self, *, limit: int | None = None, cursor: str | None = None) -> types.Sweeps:
        """A page of what swept, when, by whom, and what came of it."""
        return cast(types.Sweeps, self._get("/api/sweeps", query({"limit": limit, "cursor": cursor})))

    def doctor(self) -> types.Diagnosis:
        """Likely root causes, with their evidence."""
        return cast(types.Diagnosis, self._get(DOCTOR))

    def events(
        self, *, state: Literal["dead", "due"] | None = None, limit: int | None = None, cursor: str | None = None
    ) -> types.Events:
        """A page of the events that have not been delivered: the dead letters, or those that are still being tried."""
        return cast(types.Events, self._get("/api/events", query({"state": state, "limit": limit, "cursor": cursor})))

    def replay(self, *, ids: Iterable[str] | None = None, all: bool | None = None) -> types.Replayed:
        """Tries dead events again: those of these `ids`, or with `all=True` all of them."""
        asked = {"ids": None if ids is None else list(ids), "all": all}
        body = {key: value for key, value in asked.items() if value is not None}
        return cast(types.Replayed, self._post("/api/events/replay", body))

    def shards(self) -> types.Shards:
        """How full each database is, and which buckets of users move between them."""
        return cast(types.Shards, self._get("/api/shards"))

    def move_buckets(
        self, *, source: str, target: str, buckets: str, goal: Literal["moved", "done", "cancelled"] = "moved"
    ) -> types.MoveProgress:
        """Takes a move of buckets on, as far as one request may: repeat it until `done`. docs/scale.md says how to move."""
        body = {"source": source, "target": target, "buckets": buckets, "goal": goal}
        return cast(types.MoveProgress, self._post("/api/shards/moves", body))

    def compact_ledger(
        self, *, before: str, dry_run: bool = False, cursor: str | None = None
    ) -> types.Compaction:
        """Sums up what the ledger has of archived creations, of months before `before`, such as `"2026-01"`.

        One request does a part: while its answer has a `cursor`, call again with it. It can't be undone. docs/retention.md says what
        becomes a sum, and what stays.
        """
        body = {"before": before, "dry_run": dry_run} | query({"cursor": cursor})
        return cast(types.Compaction, self._post("/api/ledger/compact", body))

    def alive(self) -> types.Alive:
        """Whether the Worker runs. Needs no credential."""
        return cast(types.Alive, self._get("/healthz"))

    def ready(self) -> types.Health:
        """Whether it can do its work, and what is in the way. Needs no credential, and is not repeated."""
        return cast(types.Health, self._ask("GET", "/readyz", answers=frozenset({503}), patience=0))

    # What owners do, with their own token.

    def drafts(self, *, limit: int | None = None, cursor: str | None = None) -> types.Drafts:
        """A page of the owner's drafts, swept first, the newest first."""
        return cast(types.Drafts, self._get("/api/drafts", query({"limit": limit, "cursor": cursor})))

    def active_drafts(self, *, if_none_match: str | None = None) -> tuple[types.ActiveDrafts | None, str]:
        """What is being generated for the owner, and the answer's ETag. With `if_none_match`, None if it is still that one."""
        headers = {} if if_none_match is None else {"If-None-Match": if_none_match}
        response = self._response("GET", "/api/drafts/active", headers=headers)
        tag = response.headers.get("ETag", "")
        if response.status_code == 304:
            return None, tag or if_none_match or ""
        return cast(types.ActiveDrafts, answer_of(response)), tag

    def publish(self, creation_id: str) -> types.Published:
        """Publishes a draft of the owner."""
        return cast(types.Published, self._post(f"{_draft(creation_id)}/publish"))

    def retry_draft(self, creation_id: str, attempt: int) -> types.Retried:
        """Has a failed creation of the owner generated once more, for its price: see `retry`."""
        return cast(types.Retried, self._post(f"{_draft(creation_id)}/retry", _attempt(attempt)))

    def cancel_draft(self, creation_id: str, *, attempt: int | None = None) -> types.Cancelled:
        """Ends a creation of the owner that is not finished: see `cancel`."""
        return cast(types.Cancelled, self._post(f"{_draft(creation_id)}/cancel", _attempt(attempt)))

    def delete_draft(self, creation_id: str) -> types.Deleted:
        """Deletes a creation of the owner: its prompt and result go, its entries in the ledger stay."""
        return cast(types.Deleted, self._ask("DELETE", _draft(creation_id)))

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        return self._ask("GET", path, params=params)

    def _post(self, path: str, body: Mapping[str, object] | None = None, **request: Any) -> dict[str, Any]:
        return self._ask("POST", path, json=body, **request)

    def _ask(self, method: str, path: str, *, answers: frozenset[int] = frozenset(), **request: Any) -> dict[str, Any]:
        return answer_of(self._response(method, path, answers=answers, **request), answers)

    def _response(self, method: str, path: str, *, patience: float | None = None, **request: Any) -> requests.Response:
        patience = self._patience if patience is None else patience
        connect, read = self._timeout
        # What looks at everything that is stale takes longer than what looks at one creation.
        timeout = (connect, max(read, 60)) if path in (SWEEP, DOCTOR) else self._timeout
        return ask(method, self._url + path, auth=self._auth, patience=patience, timeout=timeout, **request)


def _creation(creation_id: str) -> str:
    return f"/api/creations/{_segment(creation_id)}"


def _report(creation_id: str, what: str, user_id: str | None) -> str:
    owner = "" if user_id is None else f"?user_id={quote(user_id, safe='')}"
    return f"{_creation(creation_id)}/{what}{owner}"



def _end(reason: str, minutes: int | None, until: int | None) -> dict[str, object]:
    given = {"reason": reason, "minutes": minutes, "until": until}
    return {key: value for key, value in given.items() if value is not None}


def _draft(creation_id: str) -> str:
    return f"/api/drafts/{_segment(creation_id)}"


def _segment(creation_id: str) -> str:
    # These would be another route's path.
    if creation_id in ("", ".", ".."):
        raise ValueError(f"`{creation_id}` is no id of a creation")
    return quote(creation_id, safe="")


def _attempt(attempt: int | None) -> dict[str, object]:
    return {} if attempt is None else {"attempt": attempt}


def _used(tokens_used: int | None) -> dict[str, object]:
    return {} if tokens_used is None else {"tokens_used": tokens_used}


def _key(key: str) -> dict[str, str]:
    if not key.isascii() or not key.isprintable() or not key.strip():
        raise ValueError(f"`{key}` is no idempotency key: expected 1 to 200 printable characters of ASCII")
    return {"Idempotency-Key": key}


