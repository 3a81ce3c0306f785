"""`generate`, against the real Worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from support import HOUR, Script, World

from stale_drafts import Conflict, GenerationError, Job, StaleDrafts, generate
from stale_drafts.types import Explanation

URL = "https://cdn.example/fox.png"
NOTHING: dict[str, str] = {}


def status_of(world: World, creation_id: str) -> tuple[str, str | None]:
    creation = cast(Explanation, world.operator.explain(creation_id))["creation"]
    return creation["status"], creation["error"]


def test_what_is_returned_is_the_result(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        job.progress(50)
        assert (job.id, job.kind, job.attempt) == (made, "image", 1)
        return URL

    assert generate(world.reporter, made, render) is True
    assert (status_of(world, made), world.balance(ada)) == (("draft", None), 0)
    # A second run has another name, and does not render.
    assert generate(world.reporter, made, lambda job: pytest.fail("it rendered again")) is False


@pytest.mark.parametrize(
    ("raised", "error"),
    [
        (GenerationError("provider_rejected", "The prompt was rejected"), "The prompt was rejected"),
        (RuntimeError("secret"), "The worker ran into an error."),
    ],
)
def test_what_is_raised_fails_it_and_refunds(world: World, raised: Exception, error: str) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        raise raised

    assert generate(world.reporter, made, render) is False
    assert (status_of(world, made), world.balance(ada)) == (("failed", error), 10)


def test_an_address_that_is_refused_fails_it_too(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)
    assert generate(world.reporter, made, lambda job: "no address") is False
    assert (status_of(world, made), world.balance(ada)) == (("failed", "The worker ran into an error."), 10)


def test_nothing_is_rendered_for_an_attempt_that_is_over(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)
    world.reporter.start(made, "run-1")
    world.wait(2 * HOUR)
    world.operator.mark_stale_creations_as_failed(1.0)
    # The same name gets the answer of its first start; the first heartbeat knows better.
    assert generate(world.reporter, made, lambda job: pytest.fail("it rendered"), worker="run-1") is False
    assert world.balance(ada) == 10


def test_a_late_result_is_handed_in_and_kept(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        world.wait(2 * HOUR)
        world.operator.mark_stale_creations_as_failed(1.0)
        return URL

    assert generate(world.reporter, made, render) is False
    assert (status_of(world, made)[0], world.balance(ada)) == ("failed", 10)
    with pytest.raises(Conflict):
        world.reporter.start(made, "another")
    assert world.operator.restore(made)["status"] == "draft"
    assert world.balance(ada) == 0


@pytest.mark.parametrize(("used", "left"), [(None, 0), (7, 3), (0, 10)])
def test_what_was_not_used_goes_back(world: World, used: int | None, left: int) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        job.tokens_used = used
        return URL

    assert generate(world.reporter, made, render) is True
    assert world.balance(ada) == left


def test_what_a_failure_has_used_is_kept(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        job.tokens_used = 4
        raise GenerationError("provider_rejected", "The prompt was rejected")

    assert generate(world.reporter, made, render) is False
    assert (status_of(world, made)[0], world.balance(ada)) == ("failed", 6)


@pytest.mark.parametrize("used", [11, -1, 2.5, 2**60, "4", float("nan")])
def test_a_number_that_can_not_be_right_is_left_out(world: World, caplog: pytest.LogCaptureFixture, used: Any) -> None:
    ada = world.user(20)
    made, refused = world.create(ada), world.create(ada)

    def render(job: Job) -> str:
        job.tokens_used = used
        if job.id == refused:
            raise GenerationError("provider_rejected", "The prompt was rejected")
        return URL

    # The owner has what was paid for, at the price of before.
    assert generate(world.reporter, made, render) is True
    assert (status_of(world, made), world.balance(ada)) == (("draft", None), 0)
    assert f"`tokens_used` is `{used!r}`: expected" in caplog.text
    # And nothing is kept for a failure.
    assert generate(world.reporter, refused, render) is False
    assert (status_of(world, refused), world.balance(ada)) == (("failed", "The prompt was rejected"), 10)


@pytest.mark.parametrize("verb", ["complete", "fail"])
def test_where_the_money_is_elsewhere_the_number_is_left_out(script: Callable[..., Script], verb: str) -> None:
    started = '{"id": "c1", "user_id": "ada", "kind": "image", "prompt": "a fox", "attempt": 1, "fence": "f1", "max_silence_ms": null}'
    elsewhere = (409, NOTHING, '{"error": "the app keeps it", "code": "balance_elsewhere"}')
    server = script((200, NOTHING, started), (200, NOTHING, "{}"), elsewhere, (200, NOTHING, "{}"))

    def render(job: Job) -> str:
        job.tokens_used = 4
        if verb == "fail":
            raise GenerationError("provider_rejected", "The prompt was rejected")
        return URL

    assert generate(StaleDrafts(server.url, "token"), "c1", render) is (verb == "complete")
    reports = [json.loads(asked["body"]) for asked in server.asked if asked["path"].endswith(f"/{verb}")]
    assert [report.get("tokens_used") for report in reports] == [4, None]


@pytest.mark.parametrize("code", ["cancelled", "generation_timeout", "failed_by_operator"])
def test_a_code_that_is_not_a_workers_fails_it_too(world: World, caplog: pytest.LogCaptureFixture, code: str) -> None:
    # A Celery that another test runs in this process sets the level of all loggers.
    caplog.set_level("WARNING", logger="stale_drafts.job")
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        job.tokens_used = 4
        raise GenerationError(code, "The provider has dropped it")

    assert generate(world.reporter, made, render) is False
    assert (status_of(world, made), world.balance(ada)) == (("failed", "The provider has dropped it"), 6)
    creation = cast(Explanation, world.operator.explain(made))["creation"]
    assert creation["error_code"] == "worker_error"
    assert "it fails with `worker_error`, for its code is refused" in caplog.text and "a code of your own" in caplog.text


def test_a_conflict_that_the_function_ran_into_fails_it_too(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        raise Conflict("of something else", status=409)

    assert generate(world.reporter, made, render) is False
    assert (status_of(world, made), world.balance(ada)) == (("failed", "The worker ran into an error."), 10)


def test_a_cancelled_one_is_stopped_by_its_next_heartbeat(world: World) -> None:
    ada = world.user(10)
    made = world.create(ada)

    def render(job: Job) -> str:
        assert world.reporter.cancel(made)["refunded_tokens"] == 10
        for percent in range(1, 100):
            job.progress(percent)
            time.sleep(0.5)
        pytest.fail("it went on")

    assert generate(world.reporter, made, render) is False
    assert (status_of(world, made), world.balance(ada)) == (("failed", "Cancelled before it was finished"), 10)
