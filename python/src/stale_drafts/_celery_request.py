"""What a worker's main process knows of a task that generates."""

from __future__ import annotations

from celery.worker import state
from celery.worker.request import Request


class GenerationRequest(Request):
    def on_timeout(self, soft: bool, timeout: float) -> None:
        super().on_timeout(soft, timeout)
        # The soft one is an exception in the task. A worker that is being ended uses the hard one to end its tasks, which
        # then run elsewhere.
        if not soft and not state.should_terminate:
            self.task.give_up(self._context, "time_limit", "It took too long.")
