"""Celery workers and Beat as processes, with a real Redis and the real Worker."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from celery import Celery
from celery.contrib.testing.worker import start_worker
from support import Process, Script, World, until

from stale_drafts import Conflict, GenerationError, Job, StaleDrafts, Unavailable
from stale_drafts._redelivery import visibility_timeout, warning
from stale_drafts.celery import ATTEMPT, GenerationTask, install
from stale_drafts.types import Explanation

WARNING = "Redis delivers a task a second time after"


class Fleet:
    """A worker of tests/fleet.py with one process, and an app that sends it tasks."""

    def __init__(self, world: World, redis_url: str, launch: Callable[..., Process], paid: Path) -> None:
        self.world = world
        self.paid = paid
        self._launch = launch
        prefix = f"{uuid.uuid4()}:"
        self.app = Celery("sender", broker=redis_url)
        self.app.conf.broker_transport_options = {"global_keyprefix": prefix}
        self.environment = {
            "REDIS_URL": redis_url, "PREFIX": prefix, "PAID": str(paid), "STALE_DRAFTS_URL": world.url,
            "REPORT_TOKEN": world.tokens["report"], "CLEANUP_TOKEN": world.tokens["operator"],
        }  # fmt: skip

    def start(self, **environment: str) -> Process:
        arguments = ["worker", "--pool", "prefork", "--concurrency", "1", "--loglevel", "info", "--without-gossip", "--without-mingle"]
        worker = self._launch("celery", "--app", "fleet", *arguments, **self.environment, **environment)
        worker.says(" ready.")
        return worker

    def send(self, creation_id: str, **options: Any) -> str:
        return str(self.app.send_task("fleet.generate", [creation_id], **options).id)

    def times_paid(self, creation_id: str) -> int:
        return self.paid.read_text().split().count(creation_id) if self.paid.exists() else 0

    def row(self, creation_id: str) -> dict[str, Any]:
        return self.world.rows(f"SELECT * FROM stale_drafts_creations WHERE id = '{creation_id}'")[0]

    def settled(self, creation_id: str, status: str, worker: Process) -> dict[str, Any]:
        until(f"it is {status}", lambda: self.row(creation_id)["status"] == status, said=lambda: worker.log)
        return self.row(creation_id)


@pytest.fixture
def fleet(world: World, redis_url: str, launch: Callable[..., Process], tmp_path: Path) -> Fleet:
    return Fleet(world, redis_url, launch, tmp_path / "paid")


def test_a_task_generates_or_says_why_not(world: World, fleet: Fleet) -> None:
    ada = world.user(100)
    worker = fleet.start()
    done, refused, broken = (world.create(ada, prompt) for prompt in ("a fox", "a refused fox", "a broken fox"))
    task_id = fleet.send(done)
    for creation_id in (refused, broken):
        fleet.send(creation_id)
    row = fleet.settled(done, "draft", worker)
    assert (row["worker"], row["result_url"]) == (task_id, f"https://results.example/{done}")
    row = fleet.settled(refused, "failed", worker)
    assert (row["error_code"], row["error"]) == ("provider_rejected", "The prompt was rejected.")
    row = fleet.settled(broken, "failed", worker)
    assert (row["error_code"], row["error"]) == ("worker_error", "The worker ran into an error."), "it gives nothing away"
    assert world.balance(ada) == 90
    # The policy's half an hour is less than Redis' hour.
    assert WARNING not in worker.log


def test_a_task_that_is_delivered_after_the_refund_pays_for_nothing(world: World, fleet: Fleet) -> None:
    ada = world.user(10)
    creation_id = world.create(ada, "a slow fox")
    worker = fleet.start(VISIBILITY_TIMEOUT="2")
    fleet.send(creation_id)
    until("it is under way", lambda: fleet.row(creation_id)["progress"] == 50, said=lambda: worker.log)
    # The whole worker dies, and nobody acknowledges the task.
    os.killpg(worker.child.pid, signal.SIGKILL)
    worker.child.wait()
    world.wait(2)
    assert world.operator.mark_stale_creations_as_failed() >= 1
    assert (world.balance(ada), fleet.times_paid(creation_id)) == (10, 1)
    again = fleet.start(VISIBILITY_TIMEOUT="2")
    again.says(f"creation {creation_id}: stopped")
    assert f"creation {creation_id}: the task is told to stop: the attempt of this fence is over (409)" in again.log
    assert (world.balance(ada), fleet.times_paid(creation_id)) == (10, 1)


def test_a_task_that_is_told_to_stop_stops(world: World, fleet: Fleet) -> None:
    ada = world.user(10)
    creation_id = world.create(ada, "a slow fox")
    worker = fleet.start()
    fleet.send(creation_id)
    until("it is under way", lambda: fleet.row(creation_id)["progress"] == 50, said=lambda: worker.log)
    world.wait(2)
    assert world.operator.mark_stale_creations_as_failed(max_age_hours=None) >= 1
    worker.says(f"creation {creation_id}: stopped")
    # The process is free again.
    fleet.send(second := world.create(ada))
    fleet.settled(second, "draft", worker)


@pytest.mark.parametrize("running", [False, True])
def test_a_revoked_task_stops_and_its_owner_is_refunded(world: World, fleet: Fleet, running: bool) -> None:
    ada = world.user(20)
    slow, waiting = world.create(ada, "a slow fox"), world.create(ada)
    worker = fleet.start()
    first = fleet.send(slow)
    until("it is under way", lambda: fleet.row(slow)["progress"] == 50, said=lambda: worker.log)
    second = fleet.send(waiting)
    fleet.app.control.revoke(second)
    if running:
        fleet.app.control.revoke(first, terminate=True)
        row = fleet.settled(slow, "failed", worker)
        assert (row["error_code"], row["error"]) == ("revoked", "It was cancelled.")
    else:
        world.reporter.fail(slow, fleet.row(slow)["fence"], "done", "enough")
    row = fleet.settled(waiting, "failed", worker)
    assert (row["error_code"], world.balance(ada), fleet.times_paid(waiting)) == ("revoked", 20, 0)


def test_a_task_that_takes_too_long_or_comes_too_late_is_refunded(world: World, fleet: Fleet) -> None:
    ada = world.user(20)
    slow, late = world.create(ada, "a slow fox"), world.create(ada)
    worker = fleet.start(TIME_LIMIT="2")
    fleet.send(late, expires=0.001)
    fleet.send(slow)
    assert fleet.settled(late, "failed", worker)["error_code"] == "expired"
    row = fleet.settled(slow, "failed", worker)
    assert (row["error_code"], row["error"], world.balance(ada)) == ("time_limit", "It took too long.", 20)


def test_a_worker_warns_where_redis_would_deliver_a_running_task_again(fleet: Fleet) -> None:
    worker = fleet.start(VISIBILITY_TIMEOUT="1800")
    worker.says(
        f"{WARNING} 1800 s without an acknowledgement (`visibility_timeout`), and a task may run for 1800 s: one that still runs then"
        ' would run twice (celery/celery#5935). To prevent that, set `broker_transport_options = {"visibility_timeout": 3600}`'
        " in every process of the app, or a lower `total_hours`."
    )
    fleet.start(LONGEST_RUN_HOURS="1").says(f"{WARNING} 3600 s without an acknowledgement (`visibility_timeout`), and a task may run for 3600 s")


def test_beat_sweeps(world: World, fleet: Fleet, launch: Callable[..., Process]) -> None:
    ada = world.user(10)
    creation_id = world.create(ada)
    world.wait(2)
    worker = fleet.start()
    launch("celery", "--app", "fleet", "beat", "--loglevel", "info", **fleet.environment).says("Sending due task stale-drafts-sweep")
    row = fleet.settled(creation_id, "failed", worker)
    assert (row["error"], world.balance(ada)) == ("Generation timeout: Task stuck in pending status for 2.0 hours", 10)
    worker.says("Auto-cleanup: Marked 1 stale creations as failed")


NOTHING: dict[str, str] = {}
OK: Any = (200, NOTHING, "{}")
SILENT: Any = (503, NOTHING, "{}")


def started(max_silence_ms: int | None = None) -> Any:
    creation = {"id": "c1", "user_id": "ada", "kind": "image", "prompt": "a fox", "attempt": 1, "fence": "f1", "max_silence_ms": max_silence_ms}
    return 200, NOTHING, json.dumps(creation)


def conflict(code: str, **more: Any) -> Any:
    return 409, NOTHING, json.dumps({"error": "no", "code": code, **more})


def local(url: str, function: Callable[..., str], **options: Any) -> Any:
    """The function as a task of an app of its own, which has no patience."""
    app = Celery("any", broker=f"memory://{uuid.uuid4()}", backend="cache+memory://")
    install(app, StaleDrafts(url, "token", patience=0))
    return app.task(base=GenerationTask, shared=False, **{"default_retry_delay": 0, **options})(function)


def ended(task: Any, *args: Any, **options: Any) -> Any:
    """What becomes of the task in a worker of this process."""
    with start_worker(task.app, pool="solo", perform_ping_check=False):
        result = task.apply_async(args, **options)
        until("it is done", lambda: result.ready() or result.state == "IGNORED")
        return result


def verbs(server: Script) -> list[str]:
    return [asked["path"].rsplit("/", 1)[1] for asked in server.asked]


def bodies(server: Script, verb: str) -> list[dict[str, Any]]:
    return [json.loads(asked["body"]) for asked in server.asked if asked["path"].endswith(f"/{verb}")]


def test_a_result_that_could_not_be_reported_is_reported_by_the_next_run(script: Callable[..., Any]) -> None:
    server = script(started(), OK, SILENT, OK)
    paid = []

    def generate(job: Job, size: int) -> str:
        paid.append(size)
        job.tokens_used = 4
        return "https://results.example/c1"

    assert ended(local(server.url, generate), "c1", 7).get() == "https://results.example/c1"
    assert (verbs(server), paid) == (["start", "heartbeat", "complete", "complete"], [7])
    first, second = bodies(server, "complete")
    assert first == second == {"fence": "f1", "result_url": "https://results.example/c1", "tokens_used": 4}


def test_a_result_does_not_expire(script: Callable[..., Any]) -> None:
    server = script(started(), OK, SILENT, OK)

    def generate(job: Job) -> str:
        return "https://results.example/c1"

    assert ended(local(server.url, generate, default_retry_delay=2), "c1", expires=1.5).get() == "https://results.example/c1"
    assert verbs(server) == ["start", "heartbeat", "complete", "complete"]


def test_a_result_is_reported_again_before_the_silence_is_too_long(script: Callable[..., Any]) -> None:
    # A third of three seconds, and Celery's own delay is three minutes, at most once: so the result has 180 tries.
    server = script(started(3_000), OK, SILENT, SILENT, OK)

    def generate(job: Job) -> str:
        return "https://results.example/c1"

    task = local(server.url, generate, default_retry_delay=180, max_retries=1)
    before = time.monotonic()
    assert ended(task, "c1").get() == "https://results.example/c1"
    assert 2 <= time.monotonic() - before < 60
    assert verbs(server) == ["start", "heartbeat", "complete", "complete", "complete"]
    assert not hasattr(task, "override_max_retries"), "the next task has its own"


class Slow(StaleDrafts):
    """Waits before it completes, as long as a heartbeat takes to be due."""

    def complete(self, *args: Any, **options: Any) -> Any:
        time.sleep(2.5)
        return super().complete(*args, **options)


def test_a_task_is_not_silent_while_it_reports(script: Callable[..., Any]) -> None:
    server = script(started(3_000), OK)

    def generate(job: Job) -> str:
        return "https://results.example/c1"

    task = local(server.url, generate, drafts=Slow(server.url, "token", patience=0))
    ended(task, "c1")
    said = verbs(server)
    assert (said[0], said[-1]) == ("start", "complete")
    assert said.count("heartbeat") >= 3, "one before it generates, and more until the result has its answer"


def test_a_result_is_handed_in_although_another_attempt_has_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = world.user(10)
    creation_id = world.create(ada)
    paid = []

    def generate(job: Job) -> str:
        paid.append(job.attempt)
        job.tokens_used = 4
        return f"https://results.example/{job.id}"

    drafts, complete = world.client("report", patience=0), StaleDrafts.complete

    def lost(self: StaleDrafts, *args: Any, **options: Any) -> Any:
        monkeypatch.setattr(StaleDrafts, "complete", complete)
        # Meanwhile it is too late, an operator has it tried once more, and another worker begins.
        world.wait(2)
        world.operator.mark_stale_creations_as_failed()
        world.operator.retry(creation_id, 1)
        world.reporter.start(creation_id, "another worker")
        raise Unavailable("nobody answers")

    monkeypatch.setattr(StaleDrafts, "complete", lost)
    task = local(world.url, generate, drafts=drafts)
    task.apply([creation_id])
    row = world.rows(f"SELECT * FROM stale_drafts_creations WHERE id = '{creation_id}'")[0]
    assert (row["status"], row["attempt"], row["worker"], paid) == ("processing", 2, "another worker", [1])
    assert row["late_result_url"] == f"https://results.example/{creation_id}"


@pytest.mark.parametrize("raises", [False, True])
def test_more_than_was_charged_is_left_out(world: World, raises: bool) -> None:
    ada = world.user(10)
    creation_id = world.create(ada)

    def generate(job: Job) -> str:
        job.tokens_used = 11
        if raises:
            raise GenerationError("provider_rejected", "The prompt was rejected.")
        return "https://results.example/c1"

    local(world.url, generate, drafts=world.reporter).apply([creation_id])
    creation = cast(Explanation, world.operator.explain(creation_id))["creation"]
    expected = ("failed", "provider_rejected", 10) if raises else ("draft", None, 0)
    assert (creation["status"], creation["error_code"], world.balance(ada)) == expected


def test_a_conflict_that_the_function_ran_into_is_reported(script: Callable[..., Any]) -> None:
    server = script(started(), OK, OK)

    def generate(job: Job) -> str:
        raise Conflict("of something else", status=409)

    with pytest.raises(Conflict):
        local(server.url, generate).apply(["c1"]).get()
    assert bodies(server, "fail") == [{"fence": "f1", "error_code": "worker_error", "error": "The worker ran into an error."}]


@pytest.mark.parametrize(("headers", "present", "fails"), [({}, 1, True), ({}, 2, False), ({ATTEMPT: 2}, 2, True), ({ATTEMPT: 1}, 2, False)])
def test_a_task_that_expires_leaves_a_newer_attempt_alone(
    world: World, fleet: Fleet, headers: dict[str, int], present: int, fails: bool
) -> None:
    ada = world.user(20)
    creation_id = world.create(ada)
    if present == 2:
        world.reporter.fail(creation_id, None, "not_queued", "The queue can't be reached.")
        world.operator.retry(creation_id, 1)
    worker = fleet.start()
    fleet.send(creation_id, expires=0.001, headers=headers)
    if fails:
        row = fleet.settled(creation_id, "failed", worker)
        assert (row["error_code"], row["attempt"], world.balance(ada)) == ("expired", present, 20)
    else:
        worker.says(f"creation {creation_id}: left as it is: it is `pending`, at attempt 2; the task was for 1")
        row = fleet.row(creation_id)
        assert (row["status"], row["attempt"], world.balance(ada)) == ("pending", 2, 10)


def test_a_task_without_a_client_says_what_is_missing() -> None:
    app = Celery("any", broker="memory://")

    @app.task(base=GenerationTask, shared=False)
    def generate(job: Job) -> str:
        return ""

    with pytest.raises(TypeError, match="expected `stale_drafts.celery.install"):
        generate.apply(["c1"]).get()


def test_the_boundary_of_the_warning() -> None:
    assert warning(3_601, 3_600) is None
    assert warning(3_600, 3_600)
    assert "a task has no longest time" in (warning(3_600, None) or "")


@pytest.mark.parametrize(
    ("broker", "options", "seconds"),
    [
        ("redis://127.0.0.1:1/0", {}, 3_600),
        ("rediss://127.0.0.1:1/0", {"visibility_timeout": 43_200}, 43_200),
        ("sentinel://127.0.0.1:1", {"master_name": "main"}, 3_600),
        ("amqp://127.0.0.1:1", {"visibility_timeout": 1}, None),
        ("memory://", {}, None),
    ],
)
def test_only_redis_has_the_timeout(broker: str, options: dict[str, Any], seconds: float | None) -> None:
    app = Celery("any", broker=broker)
    app.conf.broker_transport_options = options
    assert visibility_timeout(app) == seconds
