"""The real Worker, a real Redis, and a local server that answers as it is told."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
from support import HERE, Process, Script, World, free_port, until


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    node = subprocess.Popen(
        ["node", str(HERE / "worker.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_OPTIONS": ""}
    )
    assert node.stdout
    line = node.stdout.readline()
    if not line:
        raise RuntimeError("the Worker did not start: build it with `npm test -- python`")
    world = World(node, json.loads(line))
    yield world
    wrong = world.rows(
        "SELECT user_id FROM (SELECT user_id, sum(tokens) AS sum FROM stale_drafts_ledger GROUP BY user_id)"
        " FULL JOIN stale_drafts_balances USING (user_id) WHERE sum IS NOT tokens"
    )
    node.communicate(timeout=30)
    assert wrong == [], "each balance is the sum of its ledger"
    assert node.returncode == 0


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [os.environ.get("REDIS_SERVER", "redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir"]
    server = subprocess.Popen([*command, str(tmp_path_factory.mktemp("redis"))], stdout=subprocess.DEVNULL)

    def answers() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    try:
        until("Redis answers", answers)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    servers: list[Script] = []

    def serve(*answers: tuple[int, dict[str, str], str] | None) -> Script:
        server = Script(list(answers))
        servers.append(server)
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return server

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def launch() -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def launch(*module: str, **environment: str) -> Process:
        processes.append(Process(list(module), environment))
        return processes[-1]

    yield launch
    for process in processes:
        process.end()
