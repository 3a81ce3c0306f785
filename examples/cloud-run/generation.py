"""What a push asks for: start, render, report; or hand it back if the server stops."""

import logging
import os
import threading
from concurrent.futures import Future

from stale_drafts import Conflict, GenerationError, InvalidRequest, Job, NotFound, StaleDrafts, StaleDraftsError, Stopped

from render import render

log = logging.getLogger(__name__)

URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
TOKEN = os.environ["STALE_DRAFTS_TOKEN"]
drafts = StaleDrafts(URL, TOKEN, patience=30)
# For what is said while the server stops: Cloud Run gives it 10 seconds.
last_words = StaleDrafts(URL, TOKEN, patience=4, timeout=(1, 2))

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
        with Job(drafts, drafts.start(push.creation_id, push.worker)) as job:
            # A second start gets the answer of the first, even if the owner was refunded since: the first heartbeat knows.
            if job.stopped:
                raise Stopped()
            attempt(job, push)
    except Stopped:
        log.warning("creation %s: stopped: the attempt has ended", push.creation_id)
    except (Conflict, NotFound) as error:
        # Another one has it, the attempt is over, or its owner has gone: a further delivery would learn the same.
        log.warning("creation %s: %s", push.creation_id, error)
    except StaleDraftsError as error:
        # No answer, or a matter of the set-up, which can be put right.
        log.error("creation %s: %s", push.creation_id, error)
        raise DeliverAgain(str(error)) from None


def attempt(job, push):
    log.info("creation %s: renders, attempt %d", job.id, job.attempt)
    try:
        rendering = start_rendering(job)
        while not rendering.done():
            if job.stopped:
                raise Stopped()
            if stopping.wait(0.1) and not rendering.done():
                return hand_back(job, push)
        drafts.complete(job.id, job.fence, rendering.result())
        log.info("creation %s: completed, attempt %d", job.id, job.attempt)
    except GenerationError as error:
        # Whatever its code is, it is reported.
        job.fail(error)
        log.warning("creation %s: failed, %s", job.id, error.code)
    except InvalidRequest as error:
        log.error("creation %s: the result is refused: %s", job.id, error)
        fail(drafts, job, "worker_error", "The worker ran into an error.")
    except (Stopped, StaleDraftsError, DeliverAgain):
        raise
    except Exception:
        log.exception("creation %s: the rendering failed", job.id)
        fail(drafts, job, "worker_error", "The worker ran into an error.")


def start_rendering(job):
    """Renders in a thread, and gives the `Future` of the address."""
    rendering: Future[str] = Future()

    def run():
        try:
            rendering.set_result(render(job))
        except BaseException as error:
            rendering.set_exception(error)

    # A daemon: the process can end without it.
    threading.Thread(target=run, name=f"render-{job.id}", daemon=True).start()
    return rendering


def hand_back(job, push):
    """Gives the message back, so that its next delivery continues this attempt. If there is none, gives back the tokens."""
    job.stopped = True  # So that the rendering stops at its next step.
    if push.delivery is not None and MAX_DELIVERIES is not None and push.delivery >= MAX_DELIVERIES:
        fail(last_words, job, "worker_stopped", "The server was stopped before this was ready.")
        return
    log.warning("creation %s: handed back, attempt %d", job.id, job.attempt)
    raise DeliverAgain("the server stops")


def fail(client, job, code, text):
    client.fail(job.id, job.fence, code, text)
    log.warning("creation %s: failed, %s", job.id, code)
