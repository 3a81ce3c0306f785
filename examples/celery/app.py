"""The page: a form that creates drafts, and the list of them.

    flask --app app run --port 5001
"""

import os
import secrets
import uuid

from flask import Flask, flash, redirect, render_template, request, session, url_for
from kombu.exceptions import OperationalError

from stale_drafts import Refused, StaleDrafts, StaleDraftsError, Unavailable
from stale_drafts.flask import blueprint, drafts_of
from tasks import generate

STALE_DRAFTS_URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
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


# `/api/drafts` for the page's own script, and `/api/generate/cleanup-stale` for a scheduler.
app.register_blueprint(blueprint(drafts, user=lambda: session.get("user"), secret=JWT_SECRET))


@app.get("/")
def page():
    user = session.get("user")
    if user is None:
        return render_template("drafts.html", users=USERS)
    try:
        listed = drafts_of(drafts, user, JWT_SECRET)
    except StaleDraftsError as error:
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
