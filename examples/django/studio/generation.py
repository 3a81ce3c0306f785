"""What runs in the background: one attempt, from its start to its result."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import stale_drafts
from django.conf import settings
from stale_drafts import GenerationError, StaleDrafts, StaleDraftsError

log = logging.getLogger(__name__)

drafts = StaleDrafts(settings.STALE_DRAFTS_URL, settings.STALE_DRAFTS_TOKEN)
# So many at a time; the others wait, pending.
pool = ThreadPoolExecutor(4, thread_name_prefix="generate")


def generate_in_background(creation_id):
    pool.submit(generate, creation_id)


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
        time.sleep(settings.RENDER_SECONDS / 100)
    return f"https://results.example/{job.id}"
