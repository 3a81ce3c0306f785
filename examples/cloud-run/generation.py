"""What a push asks for: start, render, report; or hand it back if the server stops."""

import logging
import os
import threading

from stale_drafts import Conflict, InvalidRequest, NotFound, StaleDrafts, StaleDraftsError

from attempt import Attempt, Ended
from render import Rejected, render

log = logging.getLogger(__name__)

URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
TOKEN = os.environ["STALE_DRAFTS_TOKEN"]
drafts = StaleDrafts(URL, TOKEN, patience=30)
# For what may be said while the server stops: Cloud Run gives it 10 seconds.
hasty = StaleDrafts(URL, TOKEN, patience=4, timeout=(1, 2))

# So often is a message delivered at most: `--max-delivery-attempts` of the subscription, `--max-attempts` of the queue.
MAX_DELIVERIES = int(os.environ.get("MAX_DELIVERIES", "0")) or None

stopping = threading.Event()
"""Set at SIGTERM, by gunicorn.conf.py."""


class DeliverAgain(Exception):
    """The push is not done: it must be delivered again."""


def generate(push):
    """Does what a push asks for. Returns when nothing is left to do, and raises `DeliverAgain` if something is."""
    if stopping.is_set():
        raise DeliverAgain("the server stops")
    try:
        attempt = Attempt(hasty, drafts.start(push.creation_id, push.worker))
        try:
            url = attempt.result_of(render, stopping)
        except Rejected as error:
            fail(drafts, attempt, "provider_rejected", str(error))
        except Ended:
            raise
        except Exception:
            log.exception("creation %s: the rendering failed", attempt.id)
            fail(drafts, attempt, "worker_error", "The worker ran into an error.")
        else:
            if url is None:
                hand_back(attempt, push)
            else:
                complete(attempt, url)
    except (Conflict, Ended, NotFound) as error:
        # Another one has it, the attempt is over, or its owner has gone: a further delivery would learn the same.
        log.warning("creation %s: %s", push.creation_id, error)
    except StaleDraftsError as error:
        # No answer, or a matter of the set-up, which can be put right.
        log.error("creation %s: %s", push.creation_id, error)
        raise DeliverAgain(str(error)) from None


def complete(attempt, url):
    try:
        drafts.complete(attempt.id, attempt.fence, url)
    except InvalidRequest as error:
        log.error("creation %s: the result is refused: %s", attempt.id, error)
        fail(drafts, attempt, "worker_error", "The worker ran into an error.")
    else:
        log.info("creation %s: completed, attempt %d", attempt.id, attempt.number)


def hand_back(attempt, push):
    """Gives the message back, so that its next delivery continues this attempt. If there is none, gives back the tokens."""
    if push.delivery is not None and MAX_DELIVERIES is not None and push.delivery >= MAX_DELIVERIES:
        fail(hasty, attempt, "worker_stopped", "The server was stopped before this was ready.")
        return
    log.warning("creation %s: handed back, attempt %d", attempt.id, attempt.number)
    raise DeliverAgain("the server stops")


def fail(client, attempt, code, text):
    client.fail(attempt.id, attempt.fence, code, text)
    log.warning("creation %s: failed, %s", attempt.id, code)
