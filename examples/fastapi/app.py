"""An API that creates drafts, lists them, and generates in the background.

    uvicorn app:app
"""

import logging
import os
import time
from typing import Annotated, Literal

import jwt
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from stale_drafts import Refused, StaleDrafts, StaleDraftsError

from generation import URL, generate

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
log = logging.getLogger(__name__)

# Who asks waits for the answer, so this client gives up sooner than the one that reports.
drafts = StaleDrafts(URL, os.environ["STALE_DRAFTS_TOKEN"], patience=10)
JWT_SECRET = os.environ["JWT_SECRET"]
PRICES = {"image": 10, "video": 80}

app = FastAPI()


class Wish(BaseModel):
    kind: Literal["image", "video"]
    prompt: str


def signed_in(bearer: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]):
    """The id of who asks: your app's own sign-in makes such a token, and signs it with Stale Drafts' `JWT_SECRET`."""
    try:
        return jwt.decode(bearer.credentials, JWT_SECRET, algorithms=["HS256"], options={"require": ["sub", "exp"]})["sub"]
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Unauthorized") from None


# The endpoints are plain functions, because the client waits: FastAPI runs them in threads.


@app.post("/drafts", status_code=201)
def create(
    wish: Wish,
    background: BackgroundTasks,
    user: Annotated[str, Depends(signed_in)],
    idempotency_key: Annotated[str | None, Header()] = None,
):
    """Charges the user, and generates after the answer. The same `Idempotency-Key` makes one draft."""
    try:
        creation = drafts.create(user_id=user, kind=wish.kind, prompt=wish.prompt, tokens=PRICES[wish.kind], key=idempotency_key)
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    background.add_task(generate, creation["id"])
    return creation


@app.get("/drafts")
def list_drafts(user: Annotated[str, Depends(signed_in)], cursor: str | None = None):
    """The user's drafts, the newest first. Stale Drafts sweeps them first, so a stuck one shows as failed."""
    owner = jwt.encode({"sub": user, "exp": int(time.time()) + 600}, JWT_SECRET, algorithm="HS256")
    return drafts.with_token(owner).drafts(cursor=cursor)


@app.exception_handler(StaleDraftsError)
def refused(_, error):
    # What the user can do something about is passed on: 402 says what is missing. The rest is ours.
    if isinstance(error, Refused) and error.status in (400, 402, 409, 422):
        return JSONResponse(error.body, error.status)
    log.error("Stale Drafts: %s", error)
    return JSONResponse({"error": "That did not work. Try again in a minute."}, 503)
