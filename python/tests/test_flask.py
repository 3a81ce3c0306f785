"""The blueprint in a Flask app, in front of the real Worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from support import World

from stale_drafts import StaleDrafts
from stale_drafts.flask import blueprint, drafts_of


def app_of(drafts: StaleDrafts, secret: str) -> FlaskClient:
    app = Flask(__name__)
    app.secret_key = "n0t-Used-Anywhere-Else-Flask"
    app.register_blueprint(blueprint(drafts, user=lambda: session.get("user"), secret=secret))
    return app.test_client()


@pytest.fixture
def browser(world: World) -> FlaskClient:
    return app_of(world.client("report", patience=0), world.secret)


def sign_in(browser: FlaskClient, user: str) -> None:
    with browser.session_transaction() as session:
        session["user"] = user


def test_opening_the_drafts_sweeps_them(world: World, browser: FlaskClient) -> None:
    ada, bo = world.user(20), world.user(10)
    stuck, other = world.create(ada), world.create(bo)
    world.wait(2)
    world.create(ada)
    sign_in(browser, ada)
    answer = browser.get("/api/drafts?limit=1")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json
    assert (answer.json["user_id"], answer.json["marked_as_failed"], answer.json["balance"]) == (ada, 1, 10)
    rest = browser.get(f"/api/drafts?cursor={answer.json['next_cursor']}").json
    assert rest and [(draft["id"], draft["badge"]) for draft in rest["drafts"]] == [(stuck, "❌ Failed")]
    assert drafts_of(world.reporter, ada, world.secret, limit=2)["balance"] == 10
    assert world.rows(f"SELECT status FROM stale_drafts_creations WHERE id = '{other}'") == [{"status": "pending"}], "only their own"
    assert browser.get("/api/drafts?limit=0").status_code == 400


def test_who_is_not_signed_in_sees_nothing(browser: FlaskClient) -> None:
    answer = browser.get("/api/drafts")
    assert (answer.status_code, answer.data) == (401, b'{"error":"Unauthorized"}')


def test_a_scheduler_sweeps_with_its_own_credential(world: World, browser: FlaskClient) -> None:
    ada = world.user(30)
    world.create(ada)
    world.create(ada)
    world.wait(2)
    url = f"/api/generate/cleanup-stale?max_age_hours=1&user_id={ada}"
    headers = {"Authorization": f"Bearer {world.tokens['operator']}"}
    plan = browser.post(f"{url}&dry_run=true", headers=headers).json
    assert plan and (plan["marked_as_failed"], world.balance(ada)) == (2, 10)
    swept = browser.post("/api/generate/cleanup-stale", headers=headers, json=plan).json
    assert swept and (swept["success"], swept["marked_as_failed"], world.balance(ada)) == (True, 2, 30)
    again = browser.post(url, headers=headers).json
    assert again and (again["success"], again["marked_as_failed"], world.balance(ada)) == (True, 0, 30)
    wrong = browser.post("/api/generate/cleanup-stale?max_age_hours=0", headers=headers)
    assert wrong.status_code == 400 and wrong.json and wrong.json["code"] == "invalid_request"
    assert browser.get("/api/generate/cleanup-stale", headers=headers).status_code == 405


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer two words", "Basic YTpi", "Bearer wrong", "Bearer caf\u00e9"])
def test_without_a_valid_credential_no_work_is_done(world: World, browser: FlaskClient, header: str | None) -> None:
    ada = world.user(10)
    world.create(ada)
    world.wait(2)
    # Whoever is signed in to the app is no scheduler.
    sign_in(browser, ada)
    answer = browser.post("/api/generate/cleanup-stale", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.data) == (401, b'{"error":"Unauthorized"}')
    assert world.balance(ada) == 0


def test_a_credential_without_the_scope_is_told_so(world: World, browser: FlaskClient) -> None:
    answer = browser.post("/api/generate/cleanup-stale", headers={"Authorization": f"Bearer {world.tokens['report']}"})
    assert answer.status_code == 403 and answer.json and answer.json["code"] == "forbidden"


def test_a_body_that_is_too_long_is_not_forwarded(script: Callable[..., Any]) -> None:
    server = script((200, {}, "{}"))
    browser = app_of(StaleDrafts(server.url, "token", patience=0), "secret" * 8)
    answer = browser.post("/api/generate/cleanup-stale", headers={"Authorization": "Bearer token"}, data=b" " * 4_000_001)
    assert (answer.status_code, server.asked) == (413, [])


@pytest.mark.parametrize("answer", [None, (503, {}, '{"error": "hush", "code": "unavailable"}')])
def test_without_an_answer_the_page_says_so(script: Callable[..., Any], answer: Any) -> None:
    browser = app_of(StaleDrafts(script(answer).url, "token", patience=0), "secret" * 8)
    sign_in(browser, "ada")
    said = browser.get("/api/drafts")
    assert (said.status_code, said.json) == (503, {"error": "Stale Drafts can't be reached. Try again in a minute.", "code": "unavailable"})


def test_what_is_not_stale_drafts_is_not_passed_on(script: Callable[..., Any]) -> None:
    browser = app_of(StaleDrafts(script((200, {}, "<html>")).url, "token", patience=0), "secret" * 8)
    sign_in(browser, "ada")
    said = browser.get("/api/drafts")
    assert (said.status_code, said.json) == (502, {"error": "What answers is not Stale Drafts.", "code": "misconfigured"})
