"""The README's examples, as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from support import World

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")


def example(word: str) -> str:
    """The first block of Python that has the word."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if word in block)


def test_the_first_one_makes_a_draft(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".dev.vars").write_text(f"# Made by `npm start`.\nREPORT_TOKEN={world.tokens['report']}\n")
    monkeypatch.chdir(tmp_path)
    world.client("grant").grant(user_id="ada", tokens=10, key="readme")
    exec(example("worker-1").replace("http://localhost:8787", world.url), {})
    assert "'status': 'draft'" in capsys.readouterr().out
    assert world.balance("ada") == 0


def test_the_celery_app_has_a_task_and_a_schedule(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"REDIS_URL": "redis://127.0.0.1:1/0", "STALE_DRAFTS_URL": world.url}
    tokens = {"STALE_DRAFTS_TOKEN": world.tokens["report"], "CLEANUP_TOKEN": world.tokens["operator"]}
    for name, value in {**names, **tokens}.items():
        monkeypatch.setenv(name, value)
    there: dict[str, Any] = {"__name__": "readme", "forbidden": lambda prompt: "!" in prompt, "render": lambda prompt: "https://cdn.example/fox.png"}
    # Celery looks up the module of a task.
    monkeypatch.setitem(sys.modules, "readme", sys)
    exec(example("sweep_schedule(every"), there)
    ada = world.user(20)
    done, refused = world.create(ada), world.create(ada, "a fox!")
    assert there["generate"].apply([done]).get() == "https://cdn.example/fox.png"
    with pytest.raises(there["GenerationError"]):
        there["generate"].apply([refused]).get()
    assert world.balance(ada) == 10
    entry = there["app"].conf.beat_schedule["stale-drafts-sweep"]
    world.create(ada)
    world.wait(2)
    assert there["app"].tasks[entry["task"]].apply(kwargs=entry["kwargs"]).get() >= 1
    assert world.balance(ada) == 10


def test_the_flask_app_answers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"STALE_DRAFTS_URL": world.url, "STALE_DRAFTS_TOKEN": world.tokens["report"], "JWT_SECRET": world.secret, "SECRET_KEY": "k"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    there: dict[str, Any] = {"__name__": "readme"}
    exec(example("register_blueprint"), there)
    assert there["app"].test_client().get("/api/drafts").status_code == 401
