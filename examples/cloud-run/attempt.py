"""One attempt at a creation: it renders in a thread, and whoever waits for it keeps the creation alive."""

import logging
import threading
import time
from concurrent.futures import Future

from stale_drafts import Conflict, StaleDraftsError

log = logging.getLogger(__name__)


class Ended(Exception):
    """The attempt is over: the creation timed out and was refunded, or its owner has it already."""


class Attempt:
    def __init__(self, reports, started):
        self.id = started["id"]
        self.user_id = started["user_id"]
        self.kind = started["kind"]
        self.prompt = started["prompt"]
        """Untrusted text."""
        self.number = started["attempt"]
        self.fence = started["fence"]
        self._reports = reports
        self._percent = None
        self._ended = False
        # A third of the policy's limit: two heartbeats may be lost. It is null if there is no limit.
        silence = started["max_silence_ms"]
        self._interval = 15 if silence is None else min(max(silence / 3_000, 1), 15)

    def progress(self, percent):
        """Sets the progress in percent for the next heartbeat. Raises `Ended` if there is no point in continuing.

        Call it often, and before anything that costs.
        """
        if self._ended:
            raise Ended("the attempt is over")
        self._percent = percent

    def result_of(self, render, stopping):
        """What `render(self)` returns, or None if `stopping` is set before. Raises what it raises, and `Ended`."""
        # A repeated start gets the answer of the first even if the attempt is over. This says so, before anything is paid.
        self._beat()
        future = Future()

        def run():
            try:
                future.set_result(render(self))
            except BaseException as error:
                future.set_exception(error)

        # A daemon: the process can end without it.
        threading.Thread(target=run, name=f"render-{self.id}", daemon=True).start()
        due = time.monotonic() + self._interval
        while not future.done():
            if stopping.wait(0.1) and not future.done():
                self._ended = True
                return None
            if time.monotonic() >= due:
                due = time.monotonic() + self._interval
                self._beat()
        return future.result()

    def _beat(self):
        try:
            self._reports.heartbeat(self.id, self.fence, self._percent)
        except Conflict as conflict:
            self._ended = True
            raise Ended(str(conflict)) from None
        except StaleDraftsError as error:
            log.warning("creation %s: a heartbeat was lost: %s", self.id, error)
