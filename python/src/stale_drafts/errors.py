"""What a request can end in, other than its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class StaleDraftsError(Exception):
    """Any failure of a request.

    `status` is the answer's HTTP status, or None if there was no answer. `body` is its JSON, and `code` the stable code
    in it, if there is one.
    """

    def __init__(self, message: str, *, status: int | None = None, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = dict(body or {})

    def __reduce__(self) -> tuple[Any, ...]:
        # Celery pickles what a task raises.
        return (_made, (type(self), str(self), self.status, self.body))

    @property
    def code(self) -> str | None:
        code = self.body.get("code")
        return code if isinstance(code, str) else None


def _made(kind: type[StaleDraftsError], message: str, status: int | None, body: Mapping[str, Any]) -> StaleDraftsError:
    return kind(message, status=status, body=body)


class Unavailable(StaleDraftsError):
    """There was no answer in time, or only 429 or 500 and above. The request may have taken effect; repeating it is safe."""


class Refused(StaleDraftsError):
    """The answer was an error that repeating won't change."""


class InvalidRequest(Refused):
    """400: the input is wrong; the text quotes it and says what would be right."""


class Unauthorized(Refused):
    """401: there is no valid credential."""


class InsufficientTokens(Refused):
    """402: the owner's balance does not cover the charge. Nothing was changed."""

    @property
    def balance(self) -> int:
        """The owner's tokens."""
        return int(self.body.get("balance", 0))

    @property
    def tokens(self) -> int:
        """What it would cost."""
        return int(self.body.get("tokens", 0))


class Forbidden(Refused):
    """403: the credential lacks the scope."""


class NotFound(Refused):
    """404: there is no such creation."""


class Conflict(Refused):
    """409: it is not possible now, and nothing was changed.

    For a report: the attempt has ended, or is another worker's. For a sweep: an operator's pause or the circuit breaker.
    """

    @property
    def kept(self) -> bool:
        """Whether this was a late result. Then it is kept, and an operator can restore it."""
        return bool(self.body.get("kept", False))


class TooManyActive(Refused):
    """429: as many of the owner's creations are active as the policy's `max_active` allows. Nothing was made or charged.

    It goes through when one of them has ended, which no wait can know: so it is not repeated.
    """

    CODE = "too_many_active"

    @property
    def active(self) -> list[dict[str, Any]]:
        """What is active: `id`, `kind` and `status` of each, at most 100."""
        return list(self.body.get("active", []))


class KeyReused(Refused):
    """422: the idempotency key was used for something else."""


_KINDS: dict[int, type[Refused]] = {
    400: InvalidRequest,
    401: Unauthorized,
    402: InsufficientTokens,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: KeyReused,
}


def refused(status: int, body: Mapping[str, Any]) -> Refused:
    """The error of an answer."""
    message = f"{body.get('error', 'no reason given')} ({status})"
    kind = TooManyActive if body.get("code") == TooManyActive.CODE else _KINDS.get(status, Refused)
    return kind(message, status=status, body=body)
