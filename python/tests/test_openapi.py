"""The client, held against www/openapi.json."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import stale_drafts.types
from stale_drafts import StaleDrafts

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "make_types.py"
specification = importlib.util.spec_from_file_location("make_types", SCRIPT)
assert specification and specification.loader
make_types = importlib.util.module_from_spec(specification)
specification.loader.exec_module(make_types)

DOCUMENT: dict[str, Any] = json.loads(make_types.OPENAPI.read_text(encoding="utf-8"))
OPERATIONS: dict[str, dict[str, Any]] = {
    operation["operationId"]: {"path": path, **operation} for path, methods in DOCUMENT["paths"].items() for operation in methods.values()
}
# By what name the API's words go here.
NAMES = {"id": "creation_id", "Idempotency-Key": "key", "If-None-Match": "if_none_match"}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_the_types_are_those_of_the_document() -> None:
    assert make_types.TYPES.read_text(encoding="utf-8") == make_types.render(DOCUMENT), "run python/scripts/make_types.py"


def test_every_method_is_a_route() -> None:
    methods = {name for name, _ in inspect.getmembers(StaleDrafts, inspect.isfunction) if not name.startswith("_")}
    assert methods - {"with_token", "mark_stale_creations_as_failed"} == set(map(snake, OPERATIONS))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_parameter_is_an_argument_and_every_answer_has_its_type(name: str) -> None:
    operation = OPERATIONS[name]
    method = getattr(StaleDrafts, snake(name))
    names = {**NAMES, "id": "sweep_id"} if operation["path"].startswith("/api/sweeps/") else NAMES
    wanted = {names.get(parameter["name"], parameter["name"]) for parameter in operation.get("parameters", [])}
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        # A plan is sent back as a dry run has given it.
        wanted |= {"plan"} if schema == "Plan" else set(DOCUMENT["components"]["schemas"][schema]["properties"])
    # How long to try is the client's own.
    assert set(inspect.signature(method).parameters) - {"self", "patience"} == wanted
    success = next(status for status in operation["responses"] if status.startswith("2"))
    schema = operation["responses"][success]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert hasattr(stale_drafts.types, schema)
    assert re.search(rf"\btypes\.{schema}\b", str(inspect.signature(method).return_annotation))
