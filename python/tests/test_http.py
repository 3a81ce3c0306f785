"""Requests, repeated or not, against a local server."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from stale_drafts import (
    Conflict,
    Forbidden,
    InsufficientTokens,
    InvalidRequest,
    KeyReused,
    NotFound,
    Refused,
    StaleDrafts,
    StaleDraftsError,
    TooManyActive,
    Unauthorized,
    Unavailable,
)
from stale_drafts._http import retry_after

TOKEN = "n0t-to-be-seen"
Answer = tuple[int, dict[str, str], str]
OK: Answer = (200, {}, '{"status": "ok", "version": "0.1.0"}')
BUSY: Answer = (503, {}, '{"error": "the database does not answer", "code": "unavailable"}')

Serve = Callable[..., Any]


def client(server: Any, patience: float = 20) -> StaleDrafts:
    return StaleDrafts(server.url, TOKEN, patience=patience, timeout=(2, 2))


def test_what_gets_no_answer_is_repeated_and_so_is_what_is_busy(script: Serve) -> None:
    limited: Answer = (429, {"Retry-After": "0"}, '{"error": "too many requests"}')
    server = script(None, BUSY, limited, (500, {}, "oops"), OK)
    assert client(server).alive() == {"status": "ok", "version": "0.1.0"}
    assert len(server.asked) == 5


def test_one_key_is_sent_with_every_try(script: Serve) -> None:
    server = script(None, BUSY, (201, {}, '{"id": "c1"}'))
    for _ in range(2):
        client(server).create(user_id="ada", kind="image", prompt="a fox", tokens=10)
    keys = [asked["headers"]["Idempotency-Key"] for asked in server.asked]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert len({asked["body"] for asked in server.asked}) == 1


def test_without_patience_it_is_sent_once(script: Serve) -> None:
    server = script(BUSY)
    with pytest.raises(Unavailable) as caught:
        client(server).heartbeat("c1", "f1")
    assert (caught.value.status, caught.value.code) == (503, "unavailable")
    assert "the database does not answer" in str(caught.value)
    assert len(server.asked) == 1


def test_the_patience_bounds_the_tries(script: Serve) -> None:
    server = script(BUSY)
    with pytest.raises(Unavailable):
        client(server, patience=1).start("c1", "worker")
    # The waits are at least 0.125, 0.25, 0.5 and 1 s.
    assert 2 <= len(server.asked) <= 4


def test_a_wait_that_is_longer_than_the_patience_is_not_begun(script: Serve) -> None:
    for after in ("3600", formatdate(4_000_000_000, usegmt=True)):
        server = script((429, {"Retry-After": after}, '{"error": "too many requests", "code": "too_many_requests"}'))
        with pytest.raises(Unavailable) as caught:
            client(server).start("c1", "worker")
        assert (caught.value.status, caught.value.code, len(server.asked)) == (429, "too_many_requests", 1)


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("", 0), ("soon", 0), ("-1", 0), (formatdate(0, usegmt=True), 0)])
def test_a_retry_after_is_a_number_or_a_date(value: str, seconds: float) -> None:
    assert retry_after(value) == seconds


def test_an_address_where_nobody_is_gives_unavailable(script: Serve) -> None:
    server = script(OK)
    server.shutdown()
    server.server_close()
    with pytest.raises(Unavailable) as caught:
        client(server, patience=0).alive()
    assert (caught.value.status, caught.value.code, caught.value.body) == (None, None, {})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidRequest), (401, Unauthorized), (402, InsufficientTokens), (403, Forbidden), (404, NotFound), (409, Conflict), (413, Refused), (422, KeyReused)],
)
def test_an_error_is_not_repeated_and_says_what_the_answer_says(script: Serve, status: int, kind: type[Refused]) -> None:
    server = script((status, {}, '{"error": "no", "code": "some_code", "balance": 3, "tokens": 10, "kept": true}'))
    with pytest.raises(kind) as caught:
        client(server).start("c1", "worker")
    error = caught.value
    assert type(error) is kind and isinstance(error, StaleDraftsError)
    assert (error.status, error.code, str(error), len(server.asked)) == (status, "some_code", f"no ({status})", 1)
    if isinstance(error, InsufficientTokens):
        assert (error.balance, error.tokens) == (3, 10)
    if isinstance(error, Conflict):
        assert error.kept
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.status, again.body) == (kind, str(error), status, error.body)


def test_too_many_active_is_not_repeated_and_says_what_is_active(script: Serve) -> None:
    active = [{"id": "c1", "kind": "video", "status": "pending"}]
    body = {"error": "no", "code": "too_many_active", "limit": 1, "kind": None, "active": active}
    server = script((429, {}, json.dumps(body)))
    with pytest.raises(TooManyActive) as caught:
        client(server).create(user_id="ada", kind="video", prompt="a fox", tokens=1)
    assert (caught.value.active, caught.value.status, len(server.asked)) == (active, 429, 1)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.active) == (TooManyActive, active)


@pytest.mark.parametrize("answer", [(200, {}, "<html>"), (200, {}, "[]"), (302, {"Location": "/login"}, ""), (404, {}, "nothing here")])
def test_what_is_no_answer_of_stale_drafts_is_refused(script: Serve, answer: Any) -> None:
    server = script(answer)
    with pytest.raises(Refused, match="the answer is no JSON object: expected the address of Stale Drafts"):
        client(server).start("c1", "worker")
    assert len(server.asked) == 1, "a redirect is not followed"


def test_an_id_is_one_segment_of_the_path(script: Serve) -> None:
    server = script(OK)
    client(server).explain("a/b?c#d é..")
    assert server.asked[0]["path"] == "/api/creations/a%2Fb%3Fc%23d%20%C3%A9.."
    for wrong in ("", ".", ".."):
        with pytest.raises(ValueError, match="is no id of a creation"):
            client(server).explain(wrong)


def test_a_netrc_does_not_replace_the_token(script: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login ada password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = script(OK)
    client(server).alive()
    assert server.asked[0]["headers"]["Authorization"] == f"Bearer {TOKEN}"


def test_the_token_is_never_shown(script: Serve) -> None:
    drafts = client(script(BUSY), patience=0)
    with pytest.raises(Unavailable) as caught:
        drafts.start("c1", "worker")
    assert TOKEN not in repr(drafts) + str(drafts) + repr(caught.value) + str(caught.value)
    for wrong in ("", f"{TOKEN}\n", f"{TOKEN} x", f"{TOKEN}é"):
        with pytest.raises(ValueError, match="expected the token alone") as refused:
            StaleDrafts("https://a.example", wrong)
        assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("url", ["", "a.example", "ftp://a.example", "https://", "https://ada:hush@a.example", "https://a.example?x=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of Stale Drafts: expected one such as") as caught:
        StaleDrafts(url, TOKEN)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "a\n", "é"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is no idempotency key: expected"):
        StaleDrafts("https://a.example", TOKEN).grant(user_id="ada", tokens=1, key=key)
