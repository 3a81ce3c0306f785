"""Writes src/stale_drafts/types.py: the types of the answers, from www/openapi.json, the one place that says what they are.

    python scripts/make_types.py
"""

import json
import textwrap
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OPENAPI = HERE.parent.parent / "www" / "openapi.json"
TYPES = HERE.parent / "src" / "stale_drafts" / "types.py"

HEAD = '''"""The types of what the API answers, and of the events that a webhook gets.

Made from www/openapi.json by scripts/make_types.py: don't edit it.
"""

from typing import Literal, TypedDict, Union
'''

# What a client sends as arguments, and what a deployment is configured with.
LEFT_OUT = {"Cancel", "Complete", "Config", "Fail", "Heartbeat", "NewCreation", "NewExtension", "NewGrant", "NewKindExtension", "NewRetries", "NewRetryPreview", "Plan", "Replay", "Retry", "Start"}
SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


class Types:
    """The classes and names that the schemas become, each after what it is made of."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self.schemas = schemas
        self.made: dict[str, str] = {}

    def make(self, name: str) -> str:
        """Makes the type of a schema of the document; gives its name."""
        if name not in self.made:
            self.made[name] = ""  # No schema holds itself, so it is there before anybody needs it.
            self.define(name, self.schemas[name])
        return name

    def define(self, name: str, schema: dict[str, Any]) -> None:
        if schema.get("type") == "object":
            self.made[name] = self.class_of(name, schema)
        else:
            comment = "".join(f"# {line}\n" for line in textwrap.wrap(schema.get("description", ""), 100))
            self.made[name] = f"{comment}{name} = {self.of(schema, name)}\n"
        self.made[name] = self.made.pop(name)

    def class_of(self, name: str, schema: dict[str, Any]) -> str:
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        keys = [key for key in properties if key in required]
        others = [key for key in properties if key not in required]
        text = ""
        base = "TypedDict"
        # `NotRequired` came with Python 3.11.
        if keys and others:
            base = f"_{name}Required"
            text = f"class {base}(TypedDict):\n{self.fields(name, properties, keys)}\n\n"
        total = ", total=False" if others else ""
        doc = schema.get("description")
        doc = f'    """{doc}"""\n\n' if doc else ""
        return f"{text}class {name}({base}{total}):\n{doc}{self.fields(name, properties, others or keys)}"

    def fields(self, name: str, properties: dict[str, Any], keys: list[str]) -> str:
        lines = []
        for key in keys:
            schema = properties[key]
            lines += [f"    # {line}" for line in textwrap.wrap(schema.get("description", ""), 100)]
            lines.append(f"    {key}: {self.of(schema, name + ''.join(part.capitalize() for part in key.split('_')))}")
        return "\n".join(lines) + "\n"

    def of(self, schema: dict[str, Any], name: str) -> str:
        """The type of a schema; `name` is for what has no name there."""
        if "$ref" in schema:
            return self.make(schema["$ref"].rsplit("/", 1)[1])
        if "const" in schema:
            return literal([schema["const"]])
        if "enum" in schema:
            return literal(schema["enum"])
        if "oneOf" in schema or "anyOf" in schema:
            # In a list of types, what is null comes last.
            parts = sorted((self.of(part, name) for part in schema.get("oneOf") or schema["anyOf"]), key="None".__eq__)
            return f"Union[{', '.join(parts)}]"
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return " | ".join(self.plain(kind, schema, name) for kind in kinds)

    def plain(self, kind: str, schema: dict[str, Any], name: str) -> str:
        if kind == "array":
            return f"list[{self.of(schema['items'], name.removesuffix('s'))}]"
        if kind == "object" and "properties" in schema and schema.get("additionalProperties") is False:
            self.define(name, schema)
            return name
        if kind == "object":
            # The checks of the health, which are all text; the limits of each kind.
            return f"dict[str, {self.of(schema['additionalProperties'], name)}]"
        return SCALARS[kind]


def literal(values: list[Any]) -> str:
    parts = (json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value) for value in values)
    return f"Literal[{', '.join(parts)}]"


def reached(node: Any) -> set[str]:
    """The names of the schemas that a part of the document names."""
    if isinstance(node, dict):
        names = {node["$ref"].rsplit("/", 1)[1]} if "$ref" in node else set()
        return names.union(*map(reached, node.values()))
    return set().union(*map(reached, node)) if isinstance(node, list) else set()


def render(document: dict[str, Any]) -> str:
    types = Types(document["components"]["schemas"])
    for name in sorted(reached(document["paths"]) - LEFT_OUT) + ["Event"]:
        types.make(name)
    return HEAD + "".join(f"\n\n{text}" for text in types.made.values())


if __name__ == "__main__":
    TYPES.write_text(render(json.loads(OPENAPI.read_text(encoding="utf-8"))), encoding="utf-8")
