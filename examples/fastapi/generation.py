"""What runs in the background: one attempt, from its start to its result."""

import logging
import os
import time
import uuid

from stale_drafts import Conflict, GenerationError, Job, StaleDrafts, StaleDraftsError, Stopped

log = logging.getLogger(__name__)

URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
RENDER_SECONDS = float(os.environ.get("RENDER_SECONDS", "20"))

drafts = StaleDrafts(URL, os.environ["STALE_DRAFTS_TOKEN"])


def generate(creation_id):
    """Generates one creation, and reports how it went. If this process dies, the sweep refunds it."""
    try:
        # A name for this run: a second one, of a form that was sent twice, is refused.
        with Job(drafts, drafts.start(creation_id, str(uuid.uuid4()))) as job:
            try:
                url = render(job)
            except GenerationError as error:
                drafts.fail(job.id, job.fence, error.code, error.text)
            except Stopped:
                raise
            except Exception:
                log.exception("creation %s: the rendering failed", job.id)
                drafts.fail(job.id, job.fence, "worker_error", "The worker ran into an error.")
            else:
                drafts.complete(job.id, job.fence, url)
    except Stopped:
        log.warning("creation %s: stopped: the attempt has ended", creation_id)
    except Conflict as conflict:
        log.warning("creation %s: %s", creation_id, conflict)
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
