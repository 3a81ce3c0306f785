"""The provider. This one only pretends: put yours here."""

import os
import time

from stale_drafts import GenerationError

RENDER_SECONDS = float(os.environ.get("RENDER_SECONDS", "20"))


def render(job):
    """Renders `job.prompt`, and returns the result's address. It may block: nobody waits for it when the server stops.

    The next delivery of the same message renders again, with the same `job.fence`: give that to your provider as its
    idempotency key, so that it is paid once.
    """
    if "forbidden" in job.prompt:
        raise GenerationError("provider_rejected", "The prompt was rejected by the content filter")
    for percent in range(100):
        job.progress(percent)
        time.sleep(RENDER_SECONDS / 100)
    return f"https://results.example/{job.id}"
