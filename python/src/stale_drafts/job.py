"""One attempt at a creation, as its worker sees it. `generate` does all of it, in any thread:

    def render(job):
        job.progress(0)
        return provider.render(job.prompt)  # the address of the result

    generate(drafts, creation_id, render)
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable

from .client import StaleDrafts
from .errors import Conflict, Unavailable
from .types import Started

log = logging.getLogger(__name__)

# Seconds between two heartbeats: at least this, and at most that.
OFTEN, SELDOM = 2.0, 15.0


class GenerationError(Exception):
    """Raise it when the creation can't be generated. `text` is shown to its owner, `code` is a stable code."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class Stopped(Exception):
    """The attempt is over: the creation timed out or was cancelled, or its owner has it already. Don't catch it."""


class Job:
    """One attempt at a creation. In a `with` block, a thread keeps the creation alive; it ends with the block."""

    def __init__(self, drafts: StaleDrafts, started: Started) -> None:
        self.id = started["id"]
        self.user_id = started["user_id"]
        self.kind = started["kind"]
        self.prompt = started["prompt"]
        """Untrusted text."""
        self.attempt = started["attempt"]
        self.fence = started["fence"]
        self.tokens_used: int | None = None
        """What it has really cost, of the tokens that were charged: set it before you return or raise, and the rest goes back."""
        self.stopped = False
        """Whether the attempt has ended, so that there is no point in continuing."""
        self._drafts = drafts
        self._percent: int | None = None
        self._left = threading.Event()
        # A third of the policy's limit: two heartbeats may be lost. It is null if there is no limit.
        silence = started["max_silence_ms"]
        self._interval = SELDOM if silence is None else min(max(silence / 3_000, 1), SELDOM)

    def progress(self, percent: float) -> None:
        """Sets the progress in percent for the next heartbeat. Raises `Stopped` if the attempt has ended.

        Call it often, and before anything that costs: a task that runs again after a crash may have been refunded since.
        """
        if self.stopped:
            raise Stopped()
        self._percent = min(max(int(percent), 0), 100)

    def __enter__(self) -> Job:
        # Sent until there is an answer, before anything is paid for: a repeated start gets the same answer as the
        # first, even if the creation has been refunded since.
        try:
            self._drafts.heartbeat(self.id, self.fence, patience=None)
        except Conflict as conflict:
            self._stop(conflict)
        else:
            threading.Thread(target=self._keep_alive, name=f"heartbeat-{self.id}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def _keep_alive(self) -> None:
        sent, at = self._percent, time.monotonic()
        while not self.stopped and not self._left.wait(min(OFTEN, self._interval)):
            if self._percent != sent or time.monotonic() - at >= self._interval:
                sent, at = self._percent, time.monotonic()
                self._beat()

    def _beat(self) -> None:
        try:
            self._drafts.heartbeat(self.id, self.fence, self._percent)
        except Conflict as conflict:
            # A heartbeat that was on its way when the task ended gets this answer too.
            if not self._left.is_set():
                self._stop(conflict)
        except Exception as error:  # This thread must live: without heartbeats the creation would fail.
            log.warning("creation %s: a heartbeat was lost: %s", self.id, error)

    def _stop(self, conflict: Conflict) -> None:
        log.warning("creation %s: the task is told to stop: %s", self.id, conflict)
        self.stopped = True


def failure(error: Exception) -> tuple[str, str]:
    """What is reported of an error: its code and text, or `worker_error` and a text that gives nothing away."""
    if isinstance(error, GenerationError):
        return error.code, error.text
    return "worker_error", "The worker ran into an error."


def generate(drafts: StaleDrafts, creation_id: str, render: Callable[[Job], str], *, worker: str | None = None) -> bool:
    """Generates one creation: starts it, sends heartbeats while `render` works, and reports what it returns or raises.

    `worker` names this run; by default it is a new name, so that a second run of the same creation is refused. Returns
    whether the creation is a draft now. An attempt that is over or is another worker's is no error. Raises
    `StaleDraftsError` if Stale Drafts can't be reached: then the creation fails at its limit, and is refunded.
    """
    try:
        with Job(drafts, drafts.start(creation_id, worker or str(uuid.uuid4()))) as job:
            if job.stopped:
                raise Stopped()
            try:
                # Report a result even if the attempt has ended: then it is kept.
                drafts.complete(job.id, job.fence, render(job), tokens_used=job.tokens_used)
                return True
            except (Stopped, Unavailable):
                raise
            except Exception as error:
                # A wrong `tokens_used` is an error like any other, and nothing is late.
                wrong = isinstance(error, Conflict) and error.code == "more_than_charged"
                if isinstance(error, Conflict) and not wrong:
                    raise
                if not isinstance(error, GenerationError):
                    log.exception("creation %s: it could not be generated", creation_id)
                drafts.fail(job.id, job.fence, *failure(error), tokens_used=None if wrong else job.tokens_used)
    except Stopped:
        log.warning("creation %s: stopped: the attempt has ended", creation_id)
    except Conflict as conflict:
        log.warning("creation %s: %s", creation_id, conflict)
    return False
