"""Values of the package as strict JSON, and back.

Pydantic reads the dataclasses and builds what validates and writes them. Our own rules replace a few of its defaults
(:func:`_ruled`): NaN is null, infinities are refused, a unit is the text ``L12N345``, nothing is converted from
another type but a whole number to a float, and what a field of type ``object`` holds is checked by its own type.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import (
    ErrorDetails,
    PydanticCustomError,
    SchemaSerializer,
    SchemaValidator,
    ValidationError,
    core_schema,
)

from harness.guards import reading, secrets
from harness.guards.printing import shortened
from harness.types import NeuroglossError, Unit, utf8

_DAMAGED = "the file is damaged"
MOST_BYTES = 1 << 30
"""Bytes of a file of our own, such as the results of a run, unless its reader allows less."""


def to_json(value: object, where: str = "results") -> Any:
    """Return a value of this package as what strict JSON holds: NaN as null, a unit as its name, a tuple as a list.

    Args:
        value: a dataclass, or mappings, lists and tuples of such and of plain values.
        where: how errors name the place of ``value``.

    Raises:
        NeuroglossError: a part is of another type than its field says, infinite, or nothing that JSON can hold; its
            place is named.
    """
    try:
        return _plain(value)
    except ValidationError as error:
        raise NeuroglossError(_refusal(error.errors(include_url=False)[0], where)) from error
    except RecursionError as error:
        raise NeuroglossError(f"{where} is nested too deeply to be written as JSON.") from error


def from_json(kind: Any, value: Any, where: str) -> Any:
    """Return what :func:`to_json` wrote as a ``kind`` again; keys that ``kind`` does not know are passed over.

    Args:
        kind: a dataclass, or any type of its fields.
        value: the parsed JSON.
        where: how errors name the place of ``value``.

    Raises:
        NeuroglossError: a key is missing or a value is of another type; its place is named.
    """
    try:
        return _form(kind).reader.validate_python(value)
    except ValidationError as error:
        raise NeuroglossError(_complaint(error.errors(include_url=False)[0], where)) from error
    except RecursionError as error:
        raise NeuroglossError(f"{where} is nested too deeply; {_DAMAGED}.") from error


def read_json(path: Path, most: int = MOST_BYTES) -> dict[str, Any]:
    """Read the mapping that a strict JSON file of at most so many bytes holds.

    Raises:
        NeuroglossError: it cannot be read, is too large, is not JSON, or holds something else.
    """
    try:
        document = reading.json_of(path, most)
    except NeuroglossError as error:
        raise NeuroglossError(f"{str(error).rstrip('.')}; restore it or make it again.") from error
    if not isinstance(document, dict):
        raise NeuroglossError(f"{path} is {shortened(repr(document), 80)}, not a mapping; {_DAMAGED}.")
    return document


def dump(document: object, sort_keys: bool = False) -> bytes:
    """Return plain JSON values as the bytes of a file, always the same for the same values.

    They are ASCII, because a reply may hold a lone surrogate, which UTF-8 cannot. A secret of the environment is never
    among them.
    """
    text = json.dumps(document, indent=1, allow_nan=False, sort_keys=sort_keys)
    return (secrets.scrubbed(text) + "\n").encode("ascii")


def json_schema(*kinds: Any) -> dict[str, Any]:
    """Return the form of what :func:`from_json` reads as any of ``kinds``, as JSON Schema (draft 2020-12).

    Titles and descriptions are left out, so that it changes only when the form does.
    """
    mode: JsonSchemaMode = "validation"
    references, definitions = _Untitled().generate_definitions([(kind, mode, _form(kind).schema) for kind in kinds])
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "anyOf": [references[kind, mode] for kind in kinds],
        "$defs": {
            name: {key: part for key, part in definition.items() if key not in {"title", "description"}}
            for name, definition in definitions.items()
        },
    }


class _Untitled(GenerateJsonSchema):
    """JSON Schemas by our rules, whose fields have no titles: those would only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # pydantic hands it over
        """Answer no for every field."""
        return False

    def encode_default(self, dft: Any) -> Any:
        """Return the default of a field as it stands in a file."""
        return _plain(dft)


# -------------------------------------------------------------------------------------------------------------- errors

_WANTED = {
    "bool_type": "true or false",
    "dataclass_type": "a mapping",
    "dict_type": "a mapping",
    "enum": "one of the names of its kind",
    "int_type": "a whole number",
    "list_type": "a list",
    "string_type": "a text",
    "tuple_type": "a list",
    "unit": "a unit",
}
"""What is wanted where pydantic finds an error of this type; our own errors say it themselves."""


def _refusal(error: ErrorDetails, where: str) -> str:
    """Return the sentence for a part that cannot be written."""
    place, part = _place(where, error["loc"]), error["input"]
    wanted = _WANTED.get(error["type"], error["msg"])
    return f"{place} is {part!r:.80} ({type(part).__name__}), which cannot be written as {wanted}."


def _complaint(error: ErrorDetails, where: str) -> str:
    """Return the sentence for a part that cannot be read."""
    place, part = _place(where, error["loc"]), f"{error['input']!r:.80}"
    match error["type"]:
        case "missing":
            *parents, name = error["loc"]
            return f"{_place(where, parents)} lacks {name}; {_DAMAGED} or was written by something else."
        case "enum":
            return f"{place} is {part}; it can be {error['ctx']['expected'].replace(chr(39), '')}."
        case "spelling":
            return f"{place} is {part}; {error['msg']}"
        case "unit":
            return f"{place}: {error['msg']}"
        case kind:
            return f"{place} is {part}, not {_WANTED.get(kind, error['msg'])}; {_DAMAGED}."


def _place(where: str, steps: Any) -> str:
    """Return a place below ``where``, such as ``run.json.rows[0].scored``."""
    return where + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


# --------------------------------------------------------------------------------------------------------------- forms


@dataclasses.dataclass(frozen=True, slots=True)
class _Form:
    """The form of a type by our rules: its schema, what reads it, and what checks and then writes it."""

    schema: Any
    reader: SchemaValidator
    checker: SchemaValidator
    writer: SchemaSerializer


@functools.cache
def _form(kind: Any) -> _Form:
    schema = TypeAdapter(kind).core_schema
    reading, writing = _ruled(schema, writing=False), _ruled(schema, writing=True)
    return _Form(reading, SchemaValidator(reading), SchemaValidator(writing), SchemaSerializer(writing))


def _ruled(schema: Any, writing: bool) -> Any:
    """Return a part of a core schema with our rules in place of pydantic's defaults.

    The types of the package stay plain ``float`` and ``object`` so that they need not know of pydantic; this is the
    place behind :class:`pydantic.TypeAdapter` where the rules of a plain type can be changed for all fields at once.
    """
    match schema:
        case {"type": "dataclass", "cls": cls} if cls is Unit:
            return {**_UNIT, "ref": schema["ref"]}
        case {"type": "any" | "float" as kind}:
            return (_WRITTEN if writing else _READ)[kind]
        case {"type": "tuple", "variadic_item_index": 0, "items_schema": [item]} if writing:
            return core_schema.list_schema(_ruled(item, writing))
        case dict():
            ruled = {key: _ruled(part, writing) for key, part in schema.items() if key != "metadata"}
            return ruled | _ADDED.get(schema.get("type"), {})
        case list() | tuple():
            return type(schema)(_ruled(part, writing) for part in schema)
    return schema


def _plain(value: object) -> Any:
    """Return a value as plain JSON values, each part of it by its own type."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        form = _form(type(value))
        # Not in the mode "json", which garbles lone surrogates in the keys of mappings (pydantic 2.14).
        return form.writer.to_python(form.checker.validate_python(value))
    if isinstance(value, Mapping):
        return _form(dict[str, object]).checker.validate_python({str(key): item for key, item in value.items()})
    if isinstance(value, list | tuple):
        return _form(list[object]).checker.validate_python(value)
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if (isinstance(value, float) and math.isinf(value)) or not isinstance(value, str | float | int | None):
        raise PydanticCustomError("json", "JSON")
    return value


def _number(nothing: float | None) -> Any:
    """Return the schema of a finite number, or of null and NaN, which both become ``nothing``."""

    def read_nothing(value: object) -> float | None:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return nothing
        raise PydanticCustomError("number", "a number")

    return core_schema.json_or_python_schema(
        json_schema=core_schema.nullable_schema(core_schema.float_schema()),
        python_schema=core_schema.union_schema(
            [
                core_schema.float_schema(strict=True, allow_inf_nan=False),
                core_schema.no_info_plain_validator_function(read_nothing),
            ],
            mode="left_to_right",
            custom_error_type="number",
            custom_error_message="a number",
        ),
        serialization=core_schema.simple_ser_schema("any"),
    )


def _unit(value: object) -> Unit:
    """Return a unit, or the one that a text names in the spelling that we write, so that no file names one twice."""
    text = str(value) if isinstance(value, Unit) else value
    if not isinstance(text, str):
        raise PydanticCustomError("string_type", "a text")
    try:
        unit = Unit.parse(text)
    except NeuroglossError as error:
        raise PydanticCustomError("unit", "{complaint}", {"complaint": str(error)}) from error
    if str(unit) != text:
        raise PydanticCustomError("spelling", "write {unit}.", {"unit": utf8(str(unit))})
    return unit


_UNIT = core_schema.json_or_python_schema(
    json_schema=core_schema.str_schema(
        pattern=r"^(L(0|[1-9][0-9]{0,8})[A-Z]+(0|[1-9][0-9]{0,8})[+-]?|[a-z]+:\S(.*\S)?)$"
    ),
    python_schema=core_schema.no_info_plain_validator_function(_unit),
    serialization=core_schema.to_string_ser_schema(when_used="always"),
)
_UNTYPED = core_schema.json_or_python_schema(
    json_schema=core_schema.any_schema(),
    python_schema=core_schema.no_info_plain_validator_function(_plain),
    serialization=core_schema.simple_ser_schema("any"),
)
_READ = {"any": _UNTYPED, "float": _number(math.nan)}
_WRITTEN = {"any": _UNTYPED, "float": _number(None)}
"""What stands in the place of pydantic's schemas of these types."""
_ADDED: dict[Any, dict[str, Any]] = {
    "bool": {"strict": True},
    "dataclass": {"revalidate_instances": "always"},
    "enum": {"serialization": core_schema.to_string_ser_schema(when_used="always")},
    "int": {"strict": True},
    "str": {"strict": True},
}
"""What is added to pydantic's schemas of these types."""
