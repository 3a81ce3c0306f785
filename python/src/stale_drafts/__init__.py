"""Stale Drafts for Python: the client, and its errors. `stale_drafts.celery` and `stale_drafts.flask` are beside it."""

from .client import StaleDrafts
from .errors import (
    Conflict,
    Forbidden,
    InsufficientTokens,
    InvalidRequest,
    KeyReused,
    NotFound,
    Refused,
    StaleDraftsError,
    TooManyActive,
    Unauthorized,
    Unavailable,
)
from .job import GenerationError, Job, Stopped, generate

__all__ = [
    "Conflict",
    "Forbidden",
    "GenerationError",
    "InsufficientTokens",
    "InvalidRequest",
    "Job",
    "KeyReused",
    "NotFound",
    "Refused",
    "StaleDrafts",
    "StaleDraftsError",
    "Stopped",
    "TooManyActive",
    "Unauthorized",
    "Unavailable",
    "generate",
]
