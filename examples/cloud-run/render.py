"""The provider. This one only pretends: put yours here."""

import os
import time

RENDER_SECONDS = float(os.environ.get("RENDER_SECONDS", "20"))


class Rejected(Exception):
    """The provider won't render this. Its owner is refunded, and sees the text."""


def render(attempt):
    """Renders `attempt.prompt`, and returns the result's address. It may block: nobody waits for it when the server stops.

    The next delivery of the same message renders again, with the same `attempt.fence`: give that to your provider as its
    idempotency key, so that it is paid once.
    """
    if "forbidden" in attempt.prompt:
        raise Rejected("The prompt was rejected by the content filter")
    for percent in range(100):
        attempt.progress(percent)
        time.sleep(RENDER_SECONDS / 100)
    return f"https://results.example/{attempt.id}"
