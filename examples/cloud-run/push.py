"""Reads what Pub/Sub and Cloud Tasks push. Both carry the same JSON: `{"creation_id": "…"}`."""

import base64
import json
from dataclasses import dataclass


class Unreadable(ValueError):
    """What was pushed names no creation."""


@dataclass(frozen=True)
class Push:
    """One delivery of a message."""

    creation_id: str
    worker: str
    """The message's own name, the same in each delivery: so the next delivery continues the attempt of the one before."""
    delivery: int | None
    """Which delivery it is, from 1 on; None if that is not said."""


def read_push(headers, body):
    """The delivery that these headers and this body (bytes) are. Raises `Unreadable`."""
    task = headers.get("X-CloudTasks-TaskName")
    if task is not None:
        retries = headers.get("X-CloudTasks-TaskRetryCount", "")
        delivery = int(retries) + 1 if retries.isdecimal() else None
        return Push(_creation_id(body), f"cloud-tasks:{task}"[-200:], delivery)
    envelope = _object(body, "a push of Pub/Sub or of Cloud Tasks")
    message = envelope.get("message")
    if not isinstance(message, dict) or not isinstance(message.get("messageId"), str):
        raise Unreadable("no `message` with a `messageId`: expected a push of Pub/Sub, or the headers of Cloud Tasks")
    try:
        data = base64.b64decode(message.get("data", ""), validate=True)
    except (ValueError, TypeError):
        raise Unreadable("`message.data` is not base64") from None
    delivery = envelope.get("deliveryAttempt")
    return Push(_creation_id(data), f"pubsub:{message['messageId']}"[-200:], delivery if isinstance(delivery, int) else None)


def _creation_id(data):
    creation_id = _object(data, '`{"creation_id": "…"}`').get("creation_id")
    if not isinstance(creation_id, str) or not creation_id:
        raise Unreadable(f'no `creation_id` in `{data[:200].decode("utf-8", "replace")}`: expected `{{"creation_id": "…"}}`')
    return creation_id


def _object(data, expected):
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unreadable(f'`{data[:200].decode("utf-8", "replace")}` is no JSON object: expected {expected}')
    return found
