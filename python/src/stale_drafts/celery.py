"""Celery: a base class for tasks that generate, and a task that sweeps.

    app = Celery("fleet", broker=os.environ["REDIS_URL"])
    drafts = StaleDrafts("https://stale-drafts.example.workers.dev", os.environ["STALE_DRAFTS_TOKEN"])
    install(app, drafts)

    @app.task(base=GenerationTask)
    def generate(job):
        job.progress(0)
        return render(job.prompt)

    creation = drafts.create(user_id="ada", kind="image", prompt="a fox", tokens=10)
    generate.delay(creation["id"])
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.exceptions import Ignore, TaskPredicate
from celery.signals import task_revoked, worker_ready

from ._attempt import Attempt
from ._redelivery import warn_of_redelivery
from .client import StaleDrafts
from .errors import Conflict, StaleDraftsError, Unavailable
from .job import GenerationError, Job, Stopped

__all__ = ["ATTEMPT", "SWEEP", "GenerationError", "GenerationTask", "Job", "Stopped", "install", "sweep_schedule"]

log = logging.getLogger(__name__)

SWEEP = "stale_drafts.mark_stale_creations_as_failed"
"""The name of the task that sweeps."""


ATTEMPT = "stale_drafts_attempt"
"""The header that says which attempt a task is sent for; without it, the first. An argument would not fit the function.

    generate.apply_async([creation_id], headers={ATTEMPT: 2})
"""

RESULT = "stale_drafts_result"
"""The header by which a task's retry knows a result that could not be reported, and all that its report says."""


class GenerationTask(Task):
    """A Celery task that generates one creation. The creation's id is its first argument; the function gets a `Job`.

    Before it runs, the attempt is started; the worker's name is the Celery task's id. While it runs, a thread sends
    heartbeats. What it returns is the result's URL, which is handed in. If it raises `GenerationError`, the creation fails
    with that code and text; if it raises anything else, with `worker_error` and a text that gives nothing away. If it is
    revoked, expires or exceeds its hard time limit, the creation fails too: at once, or a minute later if it had begun. Each
    failure refunds the owner. A task for another attempt than the first says so by the header `ATTEMPT`.

    An attempt that is over is no error of the task: it is logged, and Celery ignores the task's outcome. If Stale Drafts
    can't be reached, Celery retries the task, and a result that it had is only reported, by the fence of its attempt. Should
    it give up, the creation fails at its limit and is refunded.
    """

    abstract = True

    # Acknowledged when it is done, so a task whose worker dies runs again, with the same id: the new run continues the same
    # attempt. A task that kills its process each time would run for ever; `total_hours` of the policy ends its creation.
    acks_late = True
    reject_on_worker_lost = True

    Request = "stale_drafts._celery_request:GenerationRequest"

    drafts: StaleDrafts | None = None
    """The `StaleDrafts` to report to, if it is another than that of `install`: give it to `@app.task`."""

    hand_in_late: bool = False
    """Whether to run the function although the attempt is over, with `job.stopped` set.

    Then it can hand in a result that an earlier run has paid for, which is kept for an operator to restore. `job.progress`
    raises `Stopped`: call it before anything that costs.
    """

    def __call__(self, creation_id: str, *args: Any, **kwargs: Any) -> str:
        drafts = self._client()
        paid = _header(self.request, RESULT)
        if paid is not None:
            # An earlier run has paid for it. Its fence says whose it is, whoever else has begun since; no start is needed.
            attempt = Attempt(drafts, creation_id, paid["fence"], paid["max_silence_ms"])
            attempt.tokens_used = paid["tokens_used"]
            return self._report(attempt, lambda: str(paid["result_url"]))
        try:
            job = Job(drafts, drafts.start(creation_id, self.request.id or str(uuid.uuid4())))
        except Conflict as conflict:
            log.warning("creation %s: not begun: %s", creation_id, conflict)
            raise Ignore() from None
        except Unavailable as error:
            raise self._later(error) from error
        return self._report(job, lambda: self._generate(job, args, kwargs))

    def _generate(self, job: Job, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        if job.stopped and not self.hand_in_late:
            raise Stopped()
        result_url: str = self.run(job, *args, **kwargs)
        return result_url

    def _report(self, attempt: Attempt, result: Callable[[], str]) -> str:
        result_url: str | None = None
        try:
            # It is alive until the result has an answer.
            with attempt:
                result_url = result()
                attempt.complete(result_url)
        except Stopped:
            log.warning("creation %s: stopped", attempt.id)
            raise Ignore() from None
        except Unavailable as error:
            raise self._later(error, attempt, result_url) from error
        except TaskPredicate:  # The task retries itself or is ignored: nothing has failed.
            raise
        except Exception as error:
            # A conflict that the function ran into is an error like any other.
            if not isinstance(error, Conflict) or result_url is None:
                self._fail(attempt, error)
                raise
            kept = "it is kept" if error.kept else "it is not kept"
            log.warning("creation %s: the result was refused, %s: %s", attempt.id, kept, error)
            raise Ignore() from None
        return result_url

    def _later(self, error: Unavailable, attempt: Attempt | None = None, result_url: str | None = None) -> Exception:
        """The task's retry, with the result that it has paid for, if it has one."""
        headers = dict(self.request.headers or {})
        if (number := _header(self.request, ATTEMPT)) is not None:
            headers[ATTEMPT] = number
        options: dict[str, Any] = {}
        if attempt is not None and result_url is not None:
            headers[RESULT] = {
                "fence": attempt.fence, "max_silence_ms": attempt.max_silence_ms, "result_url": result_url, "tokens_used": attempt.tokens_used,
            }  # fmt: skip
            # It has begun in time; a result does not expire.
            options = {"expires": None, **self._pace(attempt)}
        try:
            retry: Exception = self.retry(exc=error, headers=headers, **options)
        finally:
            # Celery would keep it for this process' next tasks.
            self.__dict__.pop("override_max_retries", None)
        return retry

    def _pace(self, attempt: Attempt) -> dict[str, Any]:
        """When a result is reported again, and how often. Nobody sends heartbeats until then: no more than a third of the silence
        that is allowed. Where that is sooner than Celery's own delay, it is tried the more often, so that it lasts as long."""
        usual = float(self.default_retry_delay)
        if attempt.max_silence_ms is None or attempt.max_silence_ms / 3_000 >= usual:
            return {}
        delay = max(attempt.max_silence_ms / 3_000, 1.0)
        if self.max_retries is None:
            return {"countdown": delay}
        return {"countdown": delay, "max_retries": math.ceil(self.max_retries * usual / delay)}

    def _client(self) -> StaleDrafts:
        drafts = self.drafts or getattr(self.app, "stale_drafts", None)
        if drafts is None:
            raise TypeError(f"`{self.name}` has no client: expected `stale_drafts.celery.install(app, drafts)`, or `drafts` in `@app.task`")
        assert isinstance(drafts, StaleDrafts)
        return drafts

    def _fail(self, attempt: Attempt, error: Exception) -> None:
        try:
            attempt.fail(error)
        except StaleDraftsError as problem:
            log.warning("creation %s: could not be failed: %s", attempt.id, problem)

    def give_up(self, request: Any, code: str, text: str) -> None:
        """Fails the creation of a run that Celery has ended, in its stead. Does not wait: the worker's main process calls it."""
        if request.args:
            arguments = (request.args[0], request.id, int(_header(request, ATTEMPT) or 1), code, text)
            threading.Thread(target=self._give_up, args=arguments, daemon=True).start()

    def _give_up(self, creation_id: str, task_id: str, attempt: int, code: str, text: str) -> None:
        try:
            drafts = self._client()
            status, present = _look(drafts, creation_id)
            if status == "pending" and present == attempt:
                drafts.fail(creation_id, None, code, text)
            elif status == "processing":
                # It had begun. The same name gets its fence; a creation that another task is at stays as it is.
                drafts.fail(creation_id, drafts.start(creation_id, task_id)["fence"], code, text)
            else:
                # A failure without a fence does not say of which attempt: a newer one would fail that waits for its own task.
                log.info("creation %s: left as it is: it is `%s`, at attempt %d; the task was for %d", creation_id, status, present, attempt)
                return
            log.info("creation %s: failed with `%s`", creation_id, code)
        except Conflict as conflict:
            log.info("creation %s: left as it is: %s", creation_id, conflict)
        except Exception as problem:
            log.warning("creation %s: could not be failed: %s", creation_id, problem)


def _header(request: Any, name: str) -> Any:
    """A header of the task's message; None if it has none of the name. Where Celery puts it depends on how the task was called."""
    found = request.get(name)
    return (request.headers or {}).get(name) if found is None else found


def _look(drafts: StaleDrafts, creation_id: str) -> tuple[str, int]:
    """What a creation is and at which attempt, as a token with the scope `report` may know it. Attempts count from 1, so the fence is
    nobody's: its heartbeat is refused, changes nothing, and the refusal says both."""
    try:
        drafts.heartbeat(creation_id, "0.0", patience=None)
    except Conflict as conflict:
        return str(conflict.body["status"]), int(conflict.body["attempt"])
    raise AssertionError("a fence of no attempt was taken")


@task_revoked.connect(weak=False)
def _on_revoked(sender: object = None, request: Any = None, expired: bool = False, **_: Any) -> None:
    if isinstance(sender, GenerationTask) and request:
        code, text = ("expired", "It was not begun in time.") if expired else ("revoked", "It was cancelled.")
        sender.give_up(request, code, text)


def install(
    app: Any, drafts: StaleDrafts, *, sweeper: StaleDrafts | None = None, longest_run_hours: float | None = None
) -> None:
    """Gives the app's tasks their client, and checks when a worker starts that Redis delivers no running task again.

    `sweeper` is the client for the task that sweeps, whose token has the scope `sweep`: see `sweep_schedule`.

    How long a task may run is the policy's `total_hours`, or the app's `task_time_limit` if that is less. Or
    `longest_run_hours` says it, where the worker is sure to end by itself.
    """
    app.stale_drafts = drafts

    def check(sender: Any = None, **_: Any) -> None:
        # The worker does not wait for the answer.
        threading.Thread(target=warn_of_redelivery, args=(app, drafts, longest_run_hours), daemon=True).start()

    worker_ready.connect(check, weak=False)

    if sweeper is None:
        return

    # A run that got no answer is repeated; what it may have done is not done twice. It is this app's alone.
    @app.task(name=SWEEP, shared=False, autoretry_for=(Unavailable,), retry_backoff=True, max_retries=3)
    def mark_stale_creations_as_failed(max_age_hours: float | None = None) -> int:
        marked = sweeper.mark_stale_creations_as_failed(max_age_hours)
        log.info("Auto-cleanup: Marked %d stale creations as failed", marked)
        return marked


def sweep_schedule(every: float = 300.0, *, max_age_hours: float | None = None) -> dict[str, dict[str, Any]]:
    """The entry of Celery Beat that sweeps each so many seconds. `install` needs a `sweeper`.

        app.conf.beat_schedule = {**sweep_schedule(every=300)}

    Without `max_age_hours`, the policy decides.
    """
    # What no worker has taken by the time of the next one is dropped.
    entry = {"task": SWEEP, "schedule": float(every), "kwargs": {"max_age_hours": max_age_hours}, "options": {"expires": float(every)}}
    return {"stale-drafts-sweep": entry}
