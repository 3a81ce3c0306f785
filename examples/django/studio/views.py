"""The page: a form that creates drafts, and the list of them."""

import logging
import time
import uuid

import jwt
from django.conf import settings
from django.contrib import messages
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST
from stale_drafts import Refused, StaleDrafts, StaleDraftsError

from .generation import generate_in_background

log = logging.getLogger(__name__)

PRICES = {"image": 10, "video": 80}
USERS = ["ada", "bashir"]  # Your app has its own sign-in, `request.user`; here anybody can be either user.

# A page must answer soon, so it waits less than what runs in the background.
drafts = StaleDrafts(settings.STALE_DRAFTS_URL, settings.STALE_DRAFTS_TOKEN, patience=10)


def drafts_of(user):
    """The user's drafts. Stale Drafts sweeps them first, so a stuck one shows as failed."""
    token = jwt.encode({"sub": user, "exp": int(time.time()) + 600}, settings.JWT_SECRET, algorithm="HS256")
    return drafts.with_token(token).drafts()


@require_GET
def page(request):
    user = request.session.get("user")
    if user is None:
        return render(request, "drafts.html", {"users": USERS})
    try:
        listed = drafts_of(user)
    except StaleDraftsError as error:
        log.warning("the drafts can't be loaded: %s", error)
        return render(request, "drafts.html", {"user": user, "unavailable": True}, status=502)
    # The form's own key: sent twice, by two clicks or a reload, it creates one draft.
    return render(request, "drafts.html", {"user": user, "listed": listed, "prices": PRICES, "key": uuid.uuid4()})


@require_POST
def create(request):
    user, kind = request.session.get("user"), request.POST.get("kind")
    if user is None or kind not in PRICES:
        return redirect("page")
    try:
        creation = drafts.create(
            user_id=user, kind=kind, prompt=request.POST.get("prompt", ""), tokens=PRICES[kind], key=request.POST.get("key")
        )
    except (Refused, ValueError) as error:
        messages.error(request, str(error))
    except StaleDraftsError as error:
        log.warning("nothing is created: %s", error)
        messages.error(request, "That did not work. Try again in a minute.")
    else:
        generate_in_background(creation["id"])
    return redirect("page")


@require_POST
def sign_in(request):
    if request.POST.get("user") in USERS:
        request.session["user"] = request.POST["user"]
    return redirect("page")


@require_POST
def sign_out(request):
    request.session.flush()
    return redirect("page")
