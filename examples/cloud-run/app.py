"""A server that generates what is pushed to it.

    gunicorn app:app
"""

import logging

from flask import Flask, request

from generation import DeliverAgain, generate, stopping
from push import Unreadable, read_push

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
app = Flask(__name__)


@app.get("/healthz")
def healthz():
    """For the probes of Cloud Run."""
    return ({"ok": False}, 503) if stopping.is_set() else ({"ok": True}, 200)


@app.post("/generate")
def push():
    """Answers 204 if the push is done, and anything else if it must be delivered again."""
    try:
        generate(read_push(request.headers, request.get_data()))
    except Unreadable as error:
        app.logger.error("a push can't be read: %s", error)
        return {"error": str(error)}, 400
    except DeliverAgain as again:
        return {"error": str(again)}, 503
    return "", 204
