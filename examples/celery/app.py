"""The page: a form that creates drafts, and the list of them.

    flask --app app run --port 5001
"""

import os
import secrets
import time
import uuid

import jwt
import requests
from flask import Flask, flash, redirect, render_template, request, session, url_for
from kombu.exceptions import OperationalError

from stale_drafts import Refused, StaleDrafts, StaleDraftsError, Unavailable
from tasks import generate

STALE_DRAFTS_URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787").rstrip("/")
JWT_SECRET = os.environ["JWT_SECRET"]
# A page must answer soon, so it waits less than a worker.
drafts = StaleDrafts(STALE_DRAFTS_URL, os.environ["STALE_DRAFTS_TOKEN"], patience=10)

PRICES = {"image": 10, "video": 80}
USERS = ["ada", "bashir"]  # Your app has its own sign-in; here anybody can be either user.

app = Flask(__name__)
app.config.update(
    SECRET_KEY=os.environ.get("SECRET_KEY") or secrets.token_hex(32),
    # No other site can make a signed-in browser send a form.
    SESSION_COOKIE_SAMESITE="Lax",
)


def drafts_of(user):
    """The user's drafts. Stale Drafts sweeps them first, so a stuck one shows as failed."""
    token = jwt.encode({"sub": user, "exp": int(time.time()) + 600}, JWT_SECRET, algorithm="HS256")
    answer = requests.get(f"{STALE_DRAFTS_URL}/api/drafts", headers={"Authorization": f"Bearer {token}"}, timeout=(3.05, 10))
    answer.raise_for_status()
    return answer.json()


@app.get("/")
def page():
    user = session.get("user")
    if user is None:
        return render_template("drafts.html", users=USERS)
    try:
        listed = drafts_of(user)
    except requests.RequestException as error:
        app.logger.warning("the drafts can't be loaded: %s", error)
        return render_template("drafts.html", user=user, unavailable=True), 502
    # The form's own key: sent twice, by two clicks or a reload, it creates one draft.
    return render_template("drafts.html", user=user, listed=listed, prices=PRICES, key=uuid.uuid4())


@app.post("/drafts")
def create():
    user, kind = session.get("user"), request.form["kind"]
    if user is None or kind not in PRICES:
        return redirect(url_for("page"))
    try:
        creation = drafts.create(
            user_id=user, kind=kind, prompt=request.form["prompt"], tokens=PRICES[kind], key=request.form["key"]
        )
    except Refused as error:
        flash(str(error))
        return redirect(url_for("page"))
    except Unavailable as error:
        app.logger.warning("nothing is created: %s", error)
        flash("That did not work. Try again in a minute.")
        return redirect(url_for("page"))
    try:
        # Two clicks make two tasks. Stale Drafts lets one of them start, and tells the other to stop.
        generate.delay(creation["id"])
    except OperationalError as error:
        # If the app dies here, the draft stays pending until its limit and is then refunded.
        app.logger.warning("creation %s is not queued: %s", creation["id"], error)
        try:
            drafts.fail(creation["id"], None, "not_queued", "The queue can't be reached. Try again in a minute.")
        except StaleDraftsError as problem:
            app.logger.warning("creation %s: could not be failed: %s", creation["id"], problem)
    return redirect(url_for("page"))


@app.post("/sign-in")
def sign_in():
    if request.form["user"] in USERS:
        session["user"] = request.form["user"]
    return redirect(url_for("page"))


@app.post("/sign-out")
def sign_out():
    session.clear()
    return redirect(url_for("page"))
