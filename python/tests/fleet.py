"""The Celery app of the tests: one task that does what its prompt says."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from stale_drafts import StaleDrafts
from stale_drafts.celery import GenerationError, GenerationTask, Job, install, sweep_schedule

URL = os.environ["STALE_DRAFTS_URL"]
PAID = Path(os.environ["PAID"])

app = Celery("fleet", broker=os.environ["REDIS_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={
        "visibility_timeout": int(os.environ.get("VISIBILITY_TIMEOUT", "3600")),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        # The tests share one Redis, and no queue.
        "global_keyprefix": os.environ["PREFIX"],
    },
    task_time_limit=float(os.environ["TIME_LIMIT"]) if "TIME_LIMIT" in os.environ else None,
    beat_schedule=sweep_schedule(every=1, max_age_hours=1),
    beat_schedule_filename=str(PAID.parent / "beat"),
)
hours = os.environ.get("LONGEST_RUN_HOURS")
install(
    app,
    StaleDrafts(URL, os.environ["REPORT_TOKEN"], patience=10),
    sweeper=StaleDrafts(URL, os.environ["CLEANUP_TOKEN"], patience=10),
    longest_run_hours=float(hours) if hours else None,
)


@app.task(base=GenerationTask)
def generate(job: Job) -> str:
    # What a provider would be paid for.
    with PAID.open("a") as paid:
        paid.write(f"{job.id}\n")
    if job.prompt == "a refused fox":
        raise GenerationError("provider_rejected", "The prompt was rejected.")
    if job.prompt == "a broken fox":
        raise RuntimeError("hush: the password is 1234")
    while job.prompt == "a slow fox":
        job.progress(50)
        time.sleep(0.05)
    return f"https://results.example/{job.id}"
