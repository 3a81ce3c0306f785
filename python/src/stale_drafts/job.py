"""One attempt at a creation, as its worker sees it. `generate` does all of it, in any thread:

    def render(job):
        job.progress(0)
        return provider.render(job.prompt)  # the address of the result

    generate(drafts, creation_id, render)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from ._attempt import Attempt, GenerationError, log
from .client import StaleDrafts
from .errors import Conflict, Unavailable
from .types import Started

__all__ = ["GenerationError", "Job", "Stopped", "generate"]


class Stopped(Exception):
    """The attempt is over: the creation timed out or was cancelled, or its owner has it already. Don't catch it."""


class Job(Attempt):
    """One attempt at a creation. In a `with` block, a thread keeps the creation alive; it ends with the block."""

    def __init__(self, drafts: StaleDrafts, started: Started) -> None:
        super().__init__(drafts, started["id"], started["fence"], started["max_silence_ms"])
        self.user_id = started["user_id"]
        self.kind = started["kind"]
        self.prompt = started["prompt"]
        """Untrusted text."""
        self.attempt = started["attempt"]

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
            super().__enter__()
        return self


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
            result_url: str | None = None
            try:
                result_url = render(job)
                job.complete(result_url)
                return True
            except (Stopped, Unavailable):
                raise
            except Exception as error:
                # The result is refused. A conflict that `render` ran into is an error like any other.
                if isinstance(error, Conflict) and result_url is not None:
                    raise
                if not isinstance(error, GenerationError):
                    log.exception("creation %s: it could not be generated", creation_id)
                job.fail(error)
    except Stopped:
        log.warning("creation %s: stopped: the attempt has ended", creation_id)
    except Conflict as conflict:
        log.warning("creation %s: %s", creation_id, conflict)
    return False
