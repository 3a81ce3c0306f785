"""The fleet: a Celery app with one task, which pretends to render.

    celery -A tasks worker
"""

import os
import time

import redis
from celery import Celery

from stale_drafts import StaleDrafts
from stale_drafts.celery import GenerationError, GenerationTask, install, sweep_schedule

STALE_DRAFTS_URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
RENDER_SECONDS = float(os.environ.get("RENDER_SECONDS", "20"))

drafts = StaleDrafts(STALE_DRAFTS_URL, os.environ["STALE_DRAFTS_TOKEN"])
# Only needed if Celery Beat is to sweep; the Worker's cron trigger does it by itself.
sweeper = StaleDrafts(STALE_DRAFTS_URL, os.environ["CLEANUP_TOKEN"]) if "CLEANUP_TOKEN" in os.environ else None

app = Celery("tasks", broker=REDIS_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    # One task at a time per process: another worker could run what waits in a busy one.
    worker_prefetch_multiplier=1,
    # `GenerationTask` sets the same two for itself.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_transport_options={
        # After so many seconds without an acknowledgement, Redis gives a task to another worker. It is short here, so that you
        # can watch the task of a killed worker return. In production it must be longer than your longest task, with retries and
        # countdowns, or a running task runs twice. Celery's default is an hour.
        "visibility_timeout": int(os.environ.get("VISIBILITY_TIMEOUT", "30")),
        # How often workers look for such tasks: every second. Remove both in production; the default is every 100 seconds.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)


install(app, drafts, sweeper=sweeper)
if sweeper:
    app.conf.beat_schedule = sweep_schedule(every=300)


class Render:
    """A pretended job at a rendering service, which continues if this worker dies. It is only the time when it was
    ordered."""

    orders = redis.Redis.from_url(REDIS_URL)

    def __init__(self, creation_id, ordered_at):
        self.creation_id = creation_id
        self.ordered_at = float(ordered_at)

    @classmethod
    def find(cls, creation_id):
        """The job that an earlier run ordered, or None."""
        ordered_at = cls.orders.get(f"render:{creation_id}")
        return ordered_at and cls(creation_id, ordered_at)

    @classmethod
    def order(cls, job):
        if "forbidden" in job.prompt:
            raise GenerationError("provider_rejected", "The prompt was rejected by the content filter")
        now = time.time()
        cls.orders.set(f"render:{job.id}", now, ex=24 * 3600)
        return cls(job.id, now)

    def percent(self):
        return min(100, int(100 * (time.time() - self.ordered_at) / RENDER_SECONDS))

    @property
    def url(self):
        return f"https://results.example/{self.creation_id}"


# A late result is handed in, for it has been paid for.
@app.task(base=GenerationTask, hand_in_late=True)
def generate(job):
    # A run after a crash continues the job that the earlier run paid for. After the attempt, nothing is ordered.
    render = Render.find(job.id)
    if render is None:
        job.progress(0)
        render = Render.order(job)
    while (percent := render.percent()) < 100:
        job.progress(percent)
        time.sleep(0.2)
    return render.url
