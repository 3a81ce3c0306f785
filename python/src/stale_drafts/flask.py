"""Flask: the drafts of who is signed in as JSON, and the endpoint that a scheduler calls.

    app.register_blueprint(blueprint(drafts, user=lambda: session.get("user"), secret=os.environ["JWT_SECRET"]))

    GET  /api/drafts                   the user's drafts, swept first, as the Worker's route of this name answers
    POST /api/generate/cleanup-stale   forwarded: the Worker checks the credential and sweeps
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jwt
from flask import Blueprint, Response, request

from . import types
from ._http import json_object
from .client import SWEEP, StaleDrafts
from .errors import StaleDraftsError

__all__ = ["blueprint", "drafts_of", "owner_token"]

log = logging.getLogger(__name__)

# A plan of 1,000 creations; the Worker takes no more.
MAX_BODY = 4_000_000


def owner_token(user_id: str, secret: str, *, seconds: int = 600) -> str:
    """What the Worker knows an owner by, if it has the same `JWT_SECRET` and `auth.algorithm` is `HS256`, the default."""
    return jwt.encode({"sub": user_id, "exp": int(time.time()) + seconds}, secret, algorithm="HS256")


def drafts_of(drafts: StaleDrafts, user_id: str, secret: str, *, limit: int | None = None, cursor: str | None = None) -> types.Drafts:
    """A page of the user's drafts, the newest first. Stale Drafts sweeps them first, so a stuck one shows as failed."""
    return drafts.with_token(owner_token(user_id, secret)).drafts(limit=limit, cursor=cursor)


def blueprint(
    drafts: StaleDrafts, *, user: Callable[[], str | None], secret: str, name: str = "stale_drafts", url_prefix: str | None = None
) -> Blueprint:
    """The two routes. `user` gives the id of who is signed in, or None; `secret` is the Worker's `JWT_SECRET`.

    A page must answer soon: give a client whose `patience` is some seconds.
    """
    routes = Blueprint(name, __name__, url_prefix=url_prefix)

    @routes.get("/api/drafts")
    def list_drafts() -> Response:
        user_id = user()
        if not user_id:
            return unauthorized()
        return forward(drafts.with_token(owner_token(user_id, secret)), "GET", "/api/drafts")

    @routes.post("/api/generate/cleanup-stale")
    def cleanup_stale() -> Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return unauthorized()
        try:
            caller = drafts.with_token(token)
        except ValueError:  # It is nobody's token.
            return unauthorized()
        body = request.stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            return said(413, f"the body is too long: expected at most {MAX_BODY} bytes", "payload_too_large")
        return forward(caller, "POST", SWEEP, data=body, headers={"Content-Type": "application/json"})

    return routes


def forward(caller: StaleDrafts, method: str, path: str, **body: Any) -> Response:
    """What the Worker answers to the same query, an error too; 503 if it does not answer, 502 if what answers is something else."""
    try:
        answer = caller._response(method, path, params=list(request.args.items(multi=True)), **body)
    except StaleDraftsError as error:
        log.warning("%s %s: %s", method, path, error)
        return said(503, "Stale Drafts can't be reached. Try again in a minute.", "unavailable")
    if json_object(answer) is None:
        log.warning("%s %s: the answer is no JSON object: expected the address of Stale Drafts (%d)", method, path, answer.status_code)
        return said(502, "What answers is not Stale Drafts.", "misconfigured")
    return answered(answer.status_code, answer.content)


def unauthorized() -> Response:
    return answered(401, {"error": "Unauthorized"})


def said(status: int, error: str, code: str) -> Response:
    return answered(status, {"error": error, "code": code})


def answered(status: int, body: bytes | dict[str, Any]) -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    # It is one user's.
    return Response(text, status, {"Cache-Control": "no-store"}, mimetype="application/json")
