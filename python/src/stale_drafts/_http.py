"""One request, repeated until there is an answer or the patience ends."""

from __future__ import annotations

import email.utils
import itertools
import random
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.auth import AuthBase

from .errors import StaleDraftsError, TooManyActive, Unavailable, refused


class Bearer(AuthBase):
    """A credential. It is an `auth` and no plain header, which a `.netrc` would replace."""

    def __init__(self, token: str) -> None:
        # Said here, without the token: the libraries below would quote it.
        if not token or not all("!" <= character <= "~" for character in token):
            raise ValueError("the token is empty, or has white space or a character that is not ASCII: expected the token alone")
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def retry_after(value: str) -> float:
    """The seconds that the header asks for, given as a number or as a date; 0 if it says nothing."""
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def ask(
    method: str,
    url: str,
    *,
    auth: AuthBase,
    patience: float,
    timeout: tuple[float, float],
    answers: frozenset[int] = frozenset(),
    **request: Any,
) -> requests.Response:
    """Sends a request until it is answered by anything but 429 or 500 and above, or by one of `answers`.

    A 429 that no wait ends, for the owner has too many active creations, is an answer."""
    deadline = time.monotonic() + patience
    for tries in itertools.count():
        # The wait doubles up to 10 seconds, and is random, so that a fleet does not return all at once.
        wait = min(0.25 * 2 ** min(tries, 6), 10) * random.uniform(0.5, 1)
        status, body = None, {}
        try:
            # No session: threads and forks must not share its connections. No redirects: they would turn a POST into
            # a GET.
            response = requests.request(method, url, auth=auth, timeout=timeout, allow_redirects=False, **request)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            problem = str(error)
        except requests.RequestException as error:
            raise StaleDraftsError(str(error)) from error
        else:
            status = response.status_code
            if status in answers or (status != 429 and status < 500):
                return response
            body = json_object(response) or {}
            if body.get("code") == TooManyActive.CODE:
                return response
            problem = f"{status}: {body.get('error') or response.text[:200]}"
            wait = max(wait, retry_after(response.headers.get("Retry-After", "")))
        if time.monotonic() + wait > deadline:
            raise Unavailable(f"{method} {url}: {problem}", status=status, body=body)
        time.sleep(wait)
    raise AssertionError("the loop has no end")


def json_object(response: requests.Response) -> dict[str, Any] | None:
    """The answer's JSON, if it is an object."""
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def answer_of(response: requests.Response, answers: frozenset[int] = frozenset()) -> dict[str, Any]:
    """The answer, or the error that it is."""
    body = json_object(response)
    if body is None:
        text = "the answer is no JSON object: expected the address of Stale Drafts"
        raise refused(response.status_code, {"error": text})
    if response.status_code in answers or response.ok and not response.is_redirect:
        return body
    raise refused(response.status_code, body)


def query(parameters: Mapping[str, object]) -> dict[str, str]:
    """The parameters that are given, as the API writes them."""
    words = {True: "true", False: "false"}
    return {
        key: words[value] if isinstance(value, bool) else str(value)
        for key, value in parameters.items()
        if value is not None
    }
