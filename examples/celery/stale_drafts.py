"""Connects a Celery fleet to Stale Drafts.

`StaleDrafts` is the client: one method for each report of a worker. `GenerationTask` is a base class for Celery tasks
that generate one creation: it reports for the task, so that the task only renders and returns where the result is.

    drafts = StaleDrafts("https://stale-drafts.example.workers.dev", token)

    @app.task(base=GenerationTask, drafts=drafts)
    def generate(job):
        job.progress(0)
        return render(job.prompt)

    creation = drafts.create(user_id="ada", kind="image", prompt="a fox", tokens=10)
    generate.delay(creation["id"])

It needs `requests` and Celery, and nothing else. Copy it into your project.
"""

import itertools
import logging
import random
import threading
import time
import uuid
from urllib.parse import quote

import requests
from celery import Task
from celery.exceptions import Ignore, TaskPredicate

log = logging.getLogger(__name__)


class StaleDraftsError(Exception):
    """Any failure of a request."""


class Unavailable(StaleDraftsError):
    """There was no answer in time. The request may have taken effect; repeating it is safe."""


class Refused(StaleDraftsError):
    """The answer was an error that repeating won't change. `status` is its HTTP status, `body` its JSON."""

    def __init__(self, status, body):
        super().__init__(status, body)
        self.status = status
        self.body = body

    def __str__(self):
        return f"{self.body.get('error', 'no reason given')} ({self.status})"


class InsufficientTokens(Refused):
    """The owner's balance does not cover the charge: nothing was created. `body["balance"]` is the balance."""


class Conflict(Refused):
    """The creation does not allow the report: the attempt has ended, or is another worker's. Nothing was changed."""

    @property
    def kept(self):
        """Whether this was a late result. Then it is kept, and an operator can restore it."""
        return self.body.get("kept", False)


class GenerationError(Exception):
    """Raise it in a task when the creation can't be generated. `text` is shown to its owner, `code` is a stable code."""

    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code
        self.text = text

    def __str__(self):
        return f"{self.code}: {self.text}"


class Stopped(Exception):
    """The attempt is over: the creation timed out and was refunded, or its owner has it already. Don't catch it."""


class StaleDrafts:
    """A client of the Worker at `url`. Its `token` needs the scope `report`.

    A request without an answer is repeated for up to `patience` seconds, and so is one that is answered with 429 or 500
    and above. Every request is safe to repeat. `timeout` is that of `requests`: to connect, and between two bytes.
    """

    def __init__(self, url, token, *, patience=60, timeout=(3.05, 10)):
        self._url = url.rstrip("/")
        self._token = token
        self._patience = patience
        self._timeout = timeout

    def create(self, *, user_id, kind, prompt, tokens, key=None):
        """Makes a creation and charges its owner. Returns it; the other methods take its `id`.

        The same `key` of the same user makes one creation, however often it is sent: give the id of the order or of the
        form. Raises `InsufficientTokens`.
        """
        body = {"user_id": user_id, "kind": kind, "prompt": prompt, "tokens": tokens}
        return self._post("", body, headers={"Idempotency-Key": key or str(uuid.uuid4())})

    def start(self, creation_id, worker):
        """Starts an attempt. Returns the creation; the later reports carry its `fence`.

        `worker` names this run: the same name gets the same answer again, another one raises `Conflict`.
        """
        return self._post(f"/{quote(creation_id, safe='')}/start", {"worker": worker})

    def heartbeat(self, creation_id, fence, progress=None):
        """Reports that the worker is alive, and its progress in percent. Sent once: the next one makes up for a lost one."""
        body = {"fence": fence} if progress is None else {"fence": fence, "progress": progress}
        return self._post(f"/{quote(creation_id, safe='')}/heartbeat", body, patience=0)

    def complete(self, creation_id, fence, result_url):
        """Reports the result. If it is late, raises `Conflict`, whose `kept` says whether the result was kept."""
        return self._post(f"/{quote(creation_id, safe='')}/complete", {"fence": fence, "result_url": result_url})

    def fail(self, creation_id, fence, error_code, error):
        """Reports a failure, which refunds the owner. `fence` is None if no worker has started.

        Whatever `error` is, it is reported: a long text is cut, and half a surrogate pair becomes `?`.
        """
        text = str(error).encode("utf-8", "replace").decode("utf-8")[:20_000]
        body = {"error_code": error_code, "error": text}
        return self._post(f"/{quote(creation_id, safe='')}/fail", body if fence is None else {"fence": fence, **body})

    def _post(self, path, body, *, headers=None, patience=None):
        headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        deadline = time.monotonic() + (self._patience if patience is None else patience)
        for tries in itertools.count():
            # The wait doubles up to 10 seconds, and is random, so that a fleet does not return all at once.
            wait = min(0.25 * 2**tries, 10) * random.uniform(0.5, 1)
            try:
                # No session: threads and forks must not share its connections. No redirects: they would turn the
                # POST into a GET.
                response = requests.post(
                    f"{self._url}/api/creations{path}", json=body, headers=headers, timeout=self._timeout, allow_redirects=False
                )
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                problem = str(error)
            else:
                if response.status_code != 429 and response.status_code < 500:
                    return self._answer(response)
                problem = f"{response.status_code}: {response.text[:200]}"
                after = response.headers.get("Retry-After", "")
                wait = max(wait, int(after) if after.isdigit() else 0)
            if time.monotonic() + wait > deadline:
                raise Unavailable(f"{path or '/'}: {problem}")
            time.sleep(wait)

    @staticmethod
    def _answer(response):
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Refused(response.status_code, {"error": "the answer is no JSON object: expected the address of Stale Drafts"})
        if response.ok:
            return body
        kinds = {402: InsufficientTokens, 409: Conflict}
        raise kinds.get(response.status_code, Refused)(response.status_code, body)


# Seconds between two heartbeats: at least this, and at most that.
OFTEN, SELDOM = 2, 15


class Job:
    """One attempt at a creation, as its task sees it. In a `with` block, a thread keeps the creation alive."""

    def __init__(self, drafts, started):
        self.id = started["id"]
        self.user_id = started["user_id"]
        self.kind = started["kind"]
        self.prompt = started["prompt"]
        """Untrusted text."""
        self.attempt = started["attempt"]
        self.fence = started["fence"]
        self.stopped = False
        """Whether the attempt has ended, so that there is no point in continuing."""
        self._drafts = drafts
        self._percent = None
        self._left = threading.Event()
        # A third of the policy's limit: two heartbeats may be lost. It is null if there is no limit.
        silence = started["max_silence_ms"]
        self._interval = SELDOM if silence is None else min(max(silence / 3_000, 1), SELDOM)

    def progress(self, percent):
        """Sets the progress in percent for the next heartbeat. Raises `Stopped` if the attempt has ended.

        Call it often, and before anything that costs: a task that runs again after a crash may have been refunded since.
        """
        if self.stopped:
            raise Stopped()
        self._percent = min(max(int(percent), 0), 100)

    def __enter__(self):
        # Sent before the task runs, so that `stopped` is right from its first line on.
        self._beat()
        threading.Thread(target=self._keep_alive, name=f"heartbeat-{self.id}", daemon=True).start()
        return self

    def __exit__(self, *_):
        self._left.set()

    def _keep_alive(self):
        sent, at = self._percent, time.monotonic()
        while not self.stopped and not self._left.wait(min(OFTEN, self._interval)):
            if self._percent != sent or time.monotonic() - at >= self._interval:
                sent, at = self._percent, time.monotonic()
                self._beat()

    def _beat(self):
        try:
            self._drafts.heartbeat(self.id, self.fence, self._percent)
        except Conflict as conflict:
            # A heartbeat that was on its way when the task ended gets this answer too.
            if not self._left.is_set():
                log.warning("creation %s: the task is told to stop: %s", self.id, conflict)
                self.stopped = True
        except Exception as error:  # This thread must live: without heartbeats the creation would fail.
            log.warning("creation %s: a heartbeat was lost: %s", self.id, error)


class GenerationTask(Task):
    """A Celery task that generates one creation. The creation's id is its first argument; the function gets a `Job`.

    Before it runs, the attempt is started; the worker's name is the Celery task's id. While it runs, a thread sends
    heartbeats. What it returns is the result's URL, which is handed in. If it raises `GenerationError`, the creation fails
    with that code and text; if it raises anything else, with `worker_error` and a text that gives nothing away.

    An attempt that is over is no error of the task: it is logged, and Celery ignores the task's outcome. If Stale Drafts
    can't be reached, Celery retries the task. Should it give up, the creation fails at its limit and is refunded.
    """

    abstract = True

    # Acknowledged when it is done, so a task whose worker dies runs again, with the same id: the new run continues the same
    # attempt. A task that kills its process each time would run for ever; `total_hours` of the policy ends its creation.
    acks_late = True
    reject_on_worker_lost = True

    drafts = None
    """The `StaleDrafts` to report to: give it to `@app.task`."""

    def __call__(self, creation_id, *args, **kwargs):
        worker = self.request.id or str(uuid.uuid4())
        try:
            job = Job(self.drafts, self.drafts.start(creation_id, worker))
        except Conflict as conflict:
            log.warning("creation %s: not begun: %s", creation_id, conflict)
            raise Ignore() from None
        except Unavailable as error:
            raise self.retry(exc=error)
        try:
            with job:
                result_url = self.run(job, *args, **kwargs)
            # Report a result even if the attempt has ended: then it is kept.
            self.drafts.complete(job.id, job.fence, result_url)
        except Stopped:
            log.warning("creation %s: stopped", job.id)
            raise Ignore() from None
        except Conflict as conflict:
            kept = "it is kept" if conflict.kept else "it is not kept"
            log.warning("creation %s: the result was refused, %s: %s", job.id, kept, conflict)
            raise Ignore() from None
        except Unavailable as error:
            raise self.retry(exc=error)
        except TaskPredicate:  # The task retries itself or is ignored: nothing has failed.
            raise
        except Exception as error:
            self._fail(job, error)
            raise
        return result_url

    def _fail(self, job, error):
        if isinstance(error, GenerationError):
            code, text = error.code, error.text
        else:
            code, text = "worker_error", "The worker ran into an error."
        try:
            self.drafts.fail(job.id, job.fence, code, text)
        except StaleDraftsError as problem:
            log.warning("creation %s: could not be failed: %s", job.id, problem)
