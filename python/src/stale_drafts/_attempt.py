"""One attempt at a creation, as it is reported: that it lives, and how it has ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from . import types
from .client import StaleDrafts
from .errors import Conflict, InvalidRequest

log = logging.getLogger("stale_drafts.job")

# Seconds between two heartbeats: at least this, and at most that.
OFTEN, SELDOM = 2.0, 15.0

WORKER_ERROR = "worker_error"
"""The code of a failure that has none of its own."""

# What a report with `tokens_used` is refused for, and would not be without: it is more than was charged, or the money is not here.
NUMBER_REFUSED = frozenset({"more_than_charged", "balance_elsewhere"})
# The most that the API takes.
MAX_TOKENS = 2**53 - 1

Answer = TypeVar("Answer")


class GenerationError(Exception):
    """Raise it when the creation can't be generated. `text` is shown to its owner, `code` is a stable code.

    A code that Stale Drafts keeps for itself, such as `cancelled`, is reported as `worker_error`, with the same text.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


def failure(error: Exception) -> tuple[str, str]:
    """What is reported of an error: its code and text, or `worker_error` and a text that gives nothing away."""
    if isinstance(error, GenerationError):
        return error.code, error.text
    return WORKER_ERROR, "The worker ran into an error."


class Attempt:
    """An attempt that has begun. In a `with` block, a thread keeps the creation alive; it ends with the block."""

    def __init__(self, drafts: StaleDrafts, creation_id: str, fence: str, max_silence_ms: int | None) -> None:
        self.id = creation_id
        self.fence = fence
        self.max_silence_ms = max_silence_ms
        self.tokens_used: int | None = None
        """What it has really cost, of the tokens that were charged: set it before you return or raise, and the rest goes back."""
        self.stopped = False
        """Whether the attempt has ended: then the work can stop."""
        self._drafts = drafts
        self._percent: int | None = None
        self._left = threading.Event()
        # A third of the policy's limit: two heartbeats may be lost. `None`: there is no limit.
        self._interval = SELDOM if max_silence_ms is None else min(max(max_silence_ms / 3_000, 1), SELDOM)

    def __enter__(self) -> Attempt:
        threading.Thread(target=self._keep_alive, name=f"heartbeat-{self.id}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def complete(self, result_url: str) -> types.Completed:
        """Reports the result, with what it has used. Report it even if the attempt has ended: then it is kept."""
        return self._report(lambda used: self._drafts.complete(self.id, self.fence, result_url, tokens_used=used))

    def fail(self, error: Exception) -> types.Failed:
        """Reports what was raised, with what was used all the same. Whatever the error's code is, it is reported."""
        code, text = failure(error)
        try:
            return self._fail(code, text)
        except InvalidRequest as refusal:
            if code == WORKER_ERROR:
                raise
            # If it were not reported, the creation would go on until its limit.
            log.warning("creation %s: it fails with `%s`, for its code is refused: %s", self.id, WORKER_ERROR, refusal)
            return self._fail(WORKER_ERROR, text)

    def _fail(self, code: str, text: str) -> types.Failed:
        return self._report(lambda used: self._drafts.fail(self.id, self.fence, code, text, tokens_used=used))

    def _report(self, send: Callable[[int | None], Answer]) -> Answer:
        """Sends a report with `tokens_used`. A number that can't be right counts as none, which stands for all of a result and
        nothing of a failure: nobody pays more than was charged, and what was paid for is not lost."""
        said, self.tokens_used = self.tokens_used, whole(self.tokens_used)
        if said is not None and self.tokens_used is None:
            log.error("creation %s: `tokens_used` is `%r`: expected a whole number from 0 on. It is left out", self.id, said)
        try:
            return send(self.tokens_used)
        except Conflict as conflict:
            if self.tokens_used is None or conflict.code not in NUMBER_REFUSED:
                raise
            log.error("creation %s: `tokens_used` is left out: %s", self.id, conflict)
        # A later report of the same result is the same.
        self.tokens_used = None
        return send(None)

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


def whole(number: object) -> int | None:
    """The number as the API takes it; None if it does not."""
    try:
        value = int(number)  # type: ignore[call-overload]
        return value if value == number and 0 <= value <= MAX_TOKENS else None
    except (TypeError, ValueError, OverflowError):
        return None
