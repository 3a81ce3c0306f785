"""Warns where Redis would deliver a task a second time while it runs: https://github.com/celery/celery/issues/5935."""

from __future__ import annotations

import logging
from typing import Any

from .client import StaleDrafts
from .errors import StaleDraftsError

log = logging.getLogger("stale_drafts.celery")


def visibility_timeout(app: Any) -> float | None:
    """After how many seconds without an acknowledgement the broker delivers a task again; None if it isn't Redis."""
    with app.connection_for_read() as connection:
        if connection.transport.driver_type != "redis":
            return None
        default = connection.transport.Channel.visibility_timeout
        return float(connection.transport_options.get("visibility_timeout", default))


def warning(timeout: float, longest: float | None) -> str | None:
    """What to say where a task may run for `longest` seconds; None for a task without end."""
    if longest is not None and timeout > longest:
        return None
    what = "a task has no longest time" if longest is None else f"a task may run for {longest:g} s"
    if longest is None:
        todo = "set `total_hours` in the policy below it, or `task_time_limit` in Celery, or give `longest_run_hours` to `install`"
    else:
        todo = f'set `broker_transport_options = {{"visibility_timeout": {round(2 * longest)}}}` in every process of the app, or a lower `total_hours`'
    return (
        f"Redis delivers a task a second time after {timeout:g} s without an acknowledgement (`visibility_timeout`), and {what}: "
        f"one that still runs then would run twice (celery/celery#5935). To prevent that, {todo}."
    )


def warn_of_redelivery(app: Any, drafts: StaleDrafts, longest_run_hours: float | None) -> None:
    """Logs the warning, if there is one."""
    timeout = visibility_timeout(app)
    if timeout is None:
        return
    try:
        run_ms = None if longest_run_hours is not None else drafts.policy()["max_run_ms"]
    except StaleDraftsError as error:
        log.warning("the policy can't be read, so `visibility_timeout` is not compared with its longest time: %s", error)
        return
    limits = [
        None if longest_run_hours is None else longest_run_hours * 3_600,
        None if run_ms is None else run_ms / 1_000,
        app.conf.task_time_limit,
    ]
    longest = min((limit for limit in limits if limit is not None), default=None)
    text = warning(timeout, longest)
    if text is not None:
        log.warning(text)
