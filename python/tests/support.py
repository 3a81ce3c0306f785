"""What the tests share: the Worker, a server that answers as it is told, and processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import requests

from stale_drafts import StaleDrafts

HERE = Path(__file__).resolve().parent
HOUR = 3_600_000


class World:
    """The Worker on workerd with a D1 database. Its clock stands where a test puts it."""

    def __init__(self, process: subprocess.Popen[str], said: dict[str, Any]) -> None:
        self._process = process
        self.url: str = said["url"]
        self.now: int = said["now"]
        self.tokens: dict[str, str] = {name: said[name] for name in ("report", "operator", "grant")}
        self.secret: str = said["secret"]
        self.reporter = self.client("report")
        self.operator = self.client("operator")

    def client(self, token: str, **options: Any) -> StaleDrafts:
        return StaleDrafts(self.url, self.tokens.get(token, token), **options)

    def ask(self, question: str) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return list(self.ask(sql))

    def wait(self, hours: float) -> None:
        """Puts the clock on."""
        self.now += int(hours * HOUR)
        requests.post(f"{self.url}/__stand", json={"now": self.now}, timeout=10).raise_for_status()

    def user(self, tokens: int = 100) -> str:
        """A new user with a balance."""
        user_id = f"user-{uuid.uuid4()}"
        self.client("grant").grant(user_id=user_id, tokens=tokens, key=f"order-{user_id}")
        return user_id

    def balance(self, user_id: str) -> int:
        return self.operator.creations(user_id=user_id)["balance"]

    def create(self, user_id: str, prompt: str = "a fox") -> str:
        return self.reporter.create(user_id=user_id, kind="image", prompt=prompt, tokens=10)["id"]


def until(what: str, condition: Callable[[], Any], seconds: float = 120, said: Callable[[], str] = str) -> Any:
    """Waits until the condition gives something, and gives it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in {seconds} s it did not come to be that {what}\n{said()}"
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Script(ThreadingHTTPServer):
    """A server that gives the listed answers one after the other, and the last one for ever."""

    daemon_threads = True

    def __init__(self, answers: list[tuple[int, dict[str, str], str] | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Script
    protocol_version = "HTTP/1.1"

    def reply(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = True
        if answer is None:  # The connection breaks.
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, text = answer
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(text.encode())), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_DELETE = reply

    def log_message(self, *_: Any) -> None:
        pass


class Process:
    """A process, and what it says."""

    def __init__(self, module: list[str], environment: dict[str, str]) -> None:
        self.log = ""
        # A group of its own, as a service manager would make it: what it has started ends with it.
        self.child = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=HERE, text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment},
        )  # fmt: skip
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stdout
        for line in self.child.stdout:
            self.log += line

    def says(self, text: str) -> None:
        until(f"it says {text!r}", lambda: text in self.log, said=lambda: self.log)

    def end(self) -> None:
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        self._reader.join()
        assert self.child.stdout
        self.child.stdout.close()
