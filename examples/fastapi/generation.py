"""What runs in the background: one attempt, from its start to its result."""

import logging
import os
import time

import stale_drafts
from stale_drafts import GenerationError, StaleDrafts, StaleDraftsError

log = logging.getLogger(__name__)

URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
RENDER_SECONDS = float(os.environ.get("RENDER_SECONDS", "20"))

drafts = StaleDrafts(URL, os.environ["STALE_DRAFTS_TOKEN"])


def generate(creation_id):
    """Generates one creation, and reports how it went. If this process dies, the sweep refunds it."""
    try:
        stale_drafts.generate(drafts, creation_id, render)
    except StaleDraftsError as error:
        log.error("creation %s: %s", creation_id, error)


def render(job):
    """Only pretends: put your provider here. Returns an address that stays valid."""
    if "forbidden" in job.prompt:
        raise GenerationError("provider_rejected", "The prompt was rejected by the content filter")
    for percent in range(100):
        job.progress(percent)
        time.sleep(RENDER_SECONDS / 100)
    return f"https://results.example/{job.id}"
