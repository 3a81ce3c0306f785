"""Every method, against the real Worker."""

from __future__ import annotations

import uuid
from typing import cast

import pytest
from support import HOUR, World

from stale_drafts import (
    Conflict,
    Forbidden,
    InsufficientTokens,
    InvalidRequest,
    KeyReused,
    NotFound,
    StaleDrafts,
    Unauthorized,
)
from stale_drafts.flask import owner_token
from stale_drafts.types import Explanation


def test_a_life_from_the_charge_to_publication_and_deletion(world: World) -> None:
    ada = world.user(100)
    made = world.reporter.create(user_id=ada, kind="image", prompt="a fox 🦊", tokens=10)
    assert (made["status"], made["tokens"], world.balance(ada)) == ("pending", 10, 90)
    creation_id = made["id"]
    started = world.reporter.start(creation_id, "worker-1")
    assert (started["prompt"], started["attempt"]) == ("a fox 🦊", 1)
    assert world.reporter.start(creation_id, "worker-1") == started, "the same worker gets the same answer again"
    with pytest.raises(Conflict) as taken:
        world.reporter.start(creation_id, "worker-2")
    assert (taken.value.code, taken.value.kept) == ("taken", False)
    world.reporter.heartbeat(creation_id, started["fence"])
    assert world.reporter.heartbeat(creation_id, started["fence"], 40)["heartbeat_at"] == world.now

    owner = world.client(owner_token(ada, world.secret))
    active, tag = owner.active_drafts()
    assert active and [(draft["id"], draft["progress"]) for draft in active["drafts"]] == [(creation_id, 40)]
    assert owner.active_drafts(if_none_match=tag) == (None, tag)

    assert world.reporter.complete(creation_id, started["fence"], "https://cdn.example/fox.png")["status"] == "draft"
    assert owner.publish(creation_id)["status"] == "published"
    assert [draft["status"] for draft in owner.drafts(limit=1)["drafts"]] == ["published"]
    assert owner.delete_draft(creation_id)["deleted_at"] == world.now
    assert owner.drafts()["drafts"] == []
    assert [entry["tokens"] for entry in world.operator.explain(creation_id)["ledger"]] == [-10]


def test_a_key_makes_one_creation_and_one_grant(world: World) -> None:
    ada, key = world.user(100), str(uuid.uuid4())
    first = world.reporter.create(user_id=ada, kind="image", prompt="a fox", tokens=10, key=key)
    assert world.reporter.create(user_id=ada, kind="image", prompt="a fox", tokens=10, key=key) == first
    with pytest.raises(KeyReused):
        world.reporter.create(user_id=ada, kind="image", prompt="another fox", tokens=10, key=key)
    shop = world.client("grant")
    assert shop.grant(user_id=ada, tokens=5, key=key)["balance"] == shop.grant(user_id=ada, tokens=5, key=key)["balance"] == 95
    other = world.reporter.create(user_id=ada, kind="image", prompt="a fox", tokens=10)
    assert other["id"] != world.reporter.create(user_id=ada, kind="image", prompt="a fox", tokens=10)["id"]


def test_too_few_tokens_make_nothing(world: World) -> None:
    ada = world.user(9)
    with pytest.raises(InsufficientTokens) as caught:
        world.create(ada)
    assert (caught.value.balance, caught.value.tokens, caught.value.code) == (9, 10, "insufficient_tokens")
    assert world.operator.creations(user_id=ada)["creations"] == []


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("it broke", "it broke"),
        (ValueError("it broke"), "it broke"),
        ("x" * 30_000, "x" * 20_000),
        ("🦊" * 30_000, "🦊" * 20_000),
        ("e\u0301" * 15_000, "e\u0301" * 10_000),
        ("\0a\0" * 30_000, "a" * 20_000),
        ("\ud83e\udd8a \ud83e.", "🦊 \ufffd."),
        ("a\ud83e" * 15_000, "a\ufffd" * 10_000),
        ("", "The worker gave no reason."),
    ],
)
def test_whatever_is_said_of_a_failure_is_stored_and_refunded(world: World, said: object, stored: str) -> None:
    ada = world.user(10)
    creation_id = world.create(ada)
    assert world.reporter.fail(creation_id, None, "c" * 300, said)["refunded_tokens"] == 10
    draft = cast(Explanation, world.operator.explain(creation_id))["creation"]
    assert (draft["error"], draft["error_code"], world.balance(ada)) == (stored, "c" * 200, 10)


def test_what_was_used_and_what_is_tried_again_or_cancelled(world: World) -> None:
    ada = world.user(30)
    owner = world.client(owner_token(ada, world.secret))
    made = world.create(ada)
    fence = world.reporter.start(made, "worker-1")["fence"]
    with pytest.raises(Conflict) as more:
        world.reporter.complete(made, fence, "https://cdn.example/fox.png", tokens_used=11)
    assert more.value.code == "more_than_charged"
    failed = world.reporter.fail(made, fence, "provider", "502", tokens_used=4)
    assert (failed["tokens_used"], failed["refunded_tokens"], world.balance(ada)) == (4, 6, 26)
    with pytest.raises(Conflict) as other:
        world.operator.retry(made, 2)
    assert other.value.code == "other_attempt"
    retried = world.operator.retry(made, 1)
    assert (retried["attempt"], retried["charged_tokens"], world.balance(ada)) == (2, 10, 16)
    assert owner.retry_draft(made, 1) == retried
    assert world.reporter.cancel(made, attempt=2)["refunded_tokens"] == 10
    owner.retry_draft(made, 2)
    assert owner.cancel_draft(made)["attempt"] == 3
    owner.retry_draft(made, 3)
    fence = world.reporter.start(made, "worker-2")["fence"]
    done = world.reporter.complete(made, fence, "https://cdn.example/fox.png", tokens_used=7)
    assert (done["refunded_tokens"], world.balance(ada)) == (3, 19)


def test_many_are_retried_as_they_were_previewed_and_who_is_left_is_named(world: World) -> None:
    ada = world.user(30)
    made = [world.create(ada) for _ in range(3)]
    for creation_id in made:
        world.reporter.fail(creation_id, None, "provider_down", "503")
        world.wait(0.01)  # They are charged in the order in which they failed.
    world.create(ada)  # It costs 10 of what came back.
    preview = world.operator.preview_retries(filter={"user_id": ada, "error_code": "provider_down", "since": 0}, limit=1000)
    assert [(row["id"], row["is_covered"]) for row in preview["plan"]] == [(made[0], True), (made[1], True), (made[2], False)]
    assert (preview["retries"], preview["charged_tokens"], preview["next_cursor"]) == (2, 20, None)
    assert preview["short"] == [{"user_id": ada, "balance": 20, "tokens": 30, "creations": 3, "covered": 2}]
    done = world.operator.retry_many(plan=preview["plan"], reason="it is back")
    assert [row["id"] for row in done["retried"]] == made[:2]
    assert [(row["id"], row["reason"]) for row in done["skipped"]] == [(made[2], "insufficient_tokens")]
    assert (done["charged_tokens"], world.balance(ada)) == (20, 0)
    again = world.operator.preview_retries(plan=preview["plan"])
    assert [row["reason"] for row in again["skipped"]] == ["already_retried", "already_retried"]


def test_what_is_stale_is_failed_and_its_late_result_restored(world: World) -> None:
    ada = world.user(30)
    silent, waiting = world.create(ada), world.create(ada)
    fence = world.reporter.start(silent, "worker-1")["fence"]
    world.wait(1.5)
    fresh = world.create(ada)
    assert world.operator.sweep(dry_run=True, user_id=ada)["marked_as_failed"] == 2
    assert world.operator.counts(bands=[60])["bands_ms"] == [HOUR]
    assert world.operator.mark_stale_creations_as_failed(max_age_hours=1.0) >= 2
    assert world.operator.mark_stale_creations_as_failed() == 0
    assert world.balance(ada) == 20
    page = world.operator.creations(user_id=ada, status="failed", limit=1)
    assert page["next_cursor"]
    second = world.operator.creations(user_id=ada, status="failed", limit=1, cursor=page["next_cursor"])
    errors = {draft["id"]: draft["error"] for draft in page["creations"] + second["creations"]}
    assert errors == {
        waiting: "Generation timeout: Task stuck in pending status for 1.5 hours",
        silent: "Generation timeout: Task stuck in processing status for 1.5 hours",
    }
    sweeps = world.operator.sweeps(limit=2)["sweeps"]
    assert {sweep["source"] for sweep in sweeps} == {"endpoint"}
    assert min(sweep["failed"] for sweep in sweeps) == 0

    with pytest.raises(Conflict) as late:
        world.reporter.complete(silent, fence, "https://cdn.example/fox.png")
    assert (late.value.code, late.value.kept) == ("attempt_over", True)
    assert world.operator.restore(silent)["charged_tokens"] == 10
    assert world.balance(ada) == 10
    with pytest.raises(Conflict):
        world.operator.restore(fresh)


def test_a_plan_is_carried_out_as_it_was_previewed(world: World) -> None:
    ada = world.user(20)
    stuck, moved = world.create(ada), world.create(ada)
    world.wait(2)
    plan = world.operator.sweep(dry_run=True, user_id=ada)
    world.reporter.start(moved, "worker-1")
    report = world.operator.sweep(plan=plan, source="tool")
    assert [creation["id"] for creation in report["creations"]] == [stuck]
    assert [(skipped["id"], skipped["reason"]) for skipped in report["skipped"]] == [(moved, "started")]
    with pytest.raises(InvalidRequest, match="max_age_hours"):
        world.operator.sweep(max_age_hours=-1)


def test_filters_limit_a_sweep(world: World) -> None:
    ada = world.user(20)
    world.create(ada)
    world.wait(2)
    assert world.operator.sweep(user_id=ada, kind="video")["marked_as_failed"] == 0
    assert world.operator.sweep(user_id=ada, status="processing")["marked_as_failed"] == 0
    assert world.operator.sweep(user_id=ada, kind="image", status="pending", limit=1)["marked_as_failed"] == 1


def test_dead_letters_are_listed_and_tried_again(world: World) -> None:
    creation_id = world.create(world.user(10))
    world.reporter.fail(creation_id, None, "broken", "it broke")
    world.ask("cron")
    dead = [event for event in world.operator.events(limit=100)["events"] if event["creation_id"] == creation_id]
    assert [event["state"] for event in dead] == ["dead"]
    assert world.operator.replay(ids=[dead[0]["id"]]) == {"replayed": 1}
    assert world.operator.replay(ids=["nothing"]) == {"replayed": 0}
    assert world.operator.replay(all=True)["replayed"] >= 0
    assert "events" in world.operator.events(state="due", limit=1)


def test_it_says_how_it_is(world: World) -> None:
    assert world.reporter.alive()["status"] == "ok"
    assert set(world.reporter.ready()["checks"]) >= {"configuration", "secrets", "schema", "sweep"}
    assert world.operator.doctor()["now"] == world.now
    assert world.reporter.policy() == {"policy": {"total_hours": 0.5}, "max_run_ms": HOUR // 2}


def test_the_credential_decides(world: World) -> None:
    with pytest.raises(Unauthorized, match="Unauthorized"):
        world.client("not-a-token").doctor()
    with pytest.raises(Forbidden, match="lacks the scope `read`"):
        world.reporter.doctor()
    with pytest.raises(NotFound):
        world.reporter.start("nobody's", "worker-1")
    assert repr(StaleDrafts(world.url, "hush")) == f"StaleDrafts('{world.url}')"
