from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.compose import settings_from
from harness.config.settings import RunSettings
from harness.results.agreement import Agreement
from harness.results.audit import Audit
from harness.results.run import Results
from harness.results.vocabulary import TruthSummary
from harness.typed_json import dump, from_json, json_schema, read_json, to_json
from harness.types import Calibration, Explanation, Interval, NeuroglossError, Standing, Summary, Unit


class Colour(StrEnum):
    RED = "red"
    BLUE = "dark blue"


@dataclass(frozen=True, slots=True)
class Leaf:
    number: float
    unit: Unit
    count: int = 3
    flag: bool = False
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    name: str
    colour: Colour
    leaves: tuple[Leaf, ...]
    by_name: Mapping[str, tuple[Leaf, ...]] = field(default_factory=dict)
    matrix: tuple[tuple[float, ...], ...] = ()
    child: Tree | None = None
    notes: Mapping[str, object] = field(default_factory=dict)


LEAF = {"number": 0.5, "unit": "L0N5"}
TREE = {"name": "a", "colour": "red", "leaves": [LEAF]}

texts = st.text(st.characters(), max_size=6)  # lone surrogates too
floats = st.floats(allow_infinity=False)
coordinates = st.integers(0, 999_999_999)
neurons = st.builds(Unit, st.just("N"), coordinates, coordinates)
units = (
    neurons
    | st.builds(Unit, st.from_regex("[A-Z]+", fullmatch=True), coordinates, coordinates)
    | st.builds(Unit, st.just("puzzle"), name=st.sampled_from(["a", "a b:c", "語", "\ud800"]))
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
leaves = st.builds(
    Leaf, floats, units, st.integers(), st.booleans(), st.none() | st.floats(allow_nan=False, allow_infinity=False)
)
trees = st.recursive(
    st.builds(Tree, texts, st.sampled_from(Colour), st.lists(leaves, max_size=2).map(tuple)),
    lambda inner: st.builds(
        Tree,
        name=texts,
        colour=st.sampled_from(Colour),
        leaves=st.just(()),
        by_name=st.dictionaries(texts, st.lists(leaves, max_size=2).map(tuple), max_size=2),
        matrix=st.lists(st.lists(floats, max_size=2).map(tuple), max_size=2).map(tuple),
        child=st.none() | inner,
        notes=st.dictionaries(texts, plain_values, max_size=2),
    ),
    max_leaves=3,
)


# ---------------------------------------------------------------------------------------------------------- round trip


def _same(first: Any, second: Any) -> bool:
    """Whether two values are equal in type and content, where NaN equals NaN."""
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    if dataclasses.is_dataclass(first):
        names = [item.name for item in dataclasses.fields(first)]
        return type(first) is type(second) and all(_same(getattr(first, n), getattr(second, n)) for n in names)
    if isinstance(first, dict):
        return list(first) == list(second) and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and len(first) == len(second) and all(map(_same, first, second))
    return type(first) is type(second) and bool(first == second)


@pytest.mark.slow
@given(trees)
def test_a_value_is_read_back_as_it_was_written(tree: Tree) -> None:
    content = dump(to_json(tree))
    document = json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    again = from_json(Tree, document, "FILE")
    assert _same(again, tree)
    assert dump(to_json(again)) == content


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [st.builds(Explanation, units), st.builds(Standing), st.builds(Summary), st.builds(TruthSummary)],
    ids=["explanation", "standing", "summary", "truths"],
)
@given(data=st.data())
def test_values_of_the_package_are_read_back_unless_infinite(
    values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    if any(math.isinf(number) for number in _floats(value)):
        with pytest.raises(NeuroglossError, match=r"inf \(float\), which cannot be written as a number"):
            to_json(value)
        return
    document = to_json(value)
    again = from_json(type(value), json.loads(dump(document)), "FILE")
    assert type(again) is type(value)
    assert to_json(again) == document


def _floats(value: Any) -> list[float]:
    """Every float inside a value."""
    if isinstance(value, float):
        return [value]
    if dataclasses.is_dataclass(value):
        return [number for item in dataclasses.fields(value) for number in _floats(getattr(value, item.name))]
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple) else ()
    return [number for part in parts for number in _floats(part)]


def test_plain_json_values_are_written() -> None:
    document = to_json(Tree("\ud800", Colour.BLUE, (Leaf(math.nan, Unit("N", 12, 345)),), matrix=((1, 2.5),)))
    assert document == {
        "name": "\ud800",
        "colour": "dark blue",
        "leaves": [{"number": None, "unit": "L12N345", "count": 3, "flag": False, "limit": None}],
        "by_name": {},
        "matrix": [[1.0, 2.5]],
        "child": None,
        "notes": {},
    }
    assert type(document["colour"]) is str
    assert dump({"b": "\ud800", "a": [1]}) == b'{\n "b": "\\ud800",\n "a": [\n  1\n ]\n}\n'
    assert dump({"b": 1, "a": 2}, sort_keys=True) == b'{\n "a": 2,\n "b": 1\n}\n'


def test_lone_surrogates_are_kept_wherever_they_stand() -> None:
    tree = Tree("\udcff", Colour.RED, (), by_name={"\ud800": ()}, notes={"\ud800": [{"\ud800": "\ud800"}]})
    assert from_json(Tree, json.loads(dump(to_json(tree))), "FILE") == tree
    assert to_json({"\ud800": ["\ud800"]}) == {"\ud800": ["\ud800"]}


def test_mappings_and_sequences_of_our_values_are_written() -> None:
    values = {"a": (Unit("N", 0, 1), Interval(1, 0.5, math.nan, 2)), 3: Colour.RED, "x": [math.nan, None, True]}
    assert to_json(values) == {
        "a": ["L0N1", {"mean": 1.0, "low": 0.5, "high": None, "units": 2}],
        "3": "red",
        "x": [None, None, True],
    }


def test_missing_keys_with_a_default_are_filled_in_and_unknown_ones_passed_over() -> None:
    tree = from_json(Tree, {**TREE, "later": 1, "leaves": [{**LEAF, "later": {}}], "notes": {"later": 1}}, "FILE")
    assert tree == Tree("a", Colour.RED, (Leaf(0.5, Unit("N", 0, 5)),), notes={"later": 1})


def test_whole_numbers_become_floats_and_null_becomes_nan() -> None:
    matrix = from_json(Tree, {**TREE, "matrix": [[1, None]]}, "FILE").matrix
    assert type(matrix[0][0]) is float
    assert math.isnan(matrix[0][1])
    assert from_json(Leaf, {**LEAF, "limit": None}, "FILE").limit is None


# -------------------------------------------------------------------------------------------------------------- errors


def _changed(place: tuple[Any, ...], value: Any) -> Any:
    """A tree as JSON with another value at a place."""
    document = json.loads(json.dumps({**TREE, "by_name": {"k": [LEAF, LEAF]}, "matrix": [[0.5]], "child": TREE}))
    target = document
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    return document


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("name",), 7, "FILE.name is 7, not a text; the file is damaged."),
        (("colour",), "green", "FILE.colour is 'green'; it can be red or dark blue."),
        (("leaves",), "L0N5", "FILE.leaves is 'L0N5', not a list; the file is damaged."),
        (("leaves",), {}, "FILE.leaves is {}, not a list; the file is damaged."),
        (("leaves", 0), [], "FILE.leaves[0] is [], not a mapping; the file is damaged."),
        (("leaves", 0, "count"), True, "FILE.leaves[0].count is True, not a whole number; the file is damaged."),
        (("leaves", 0, "count"), "1", "FILE.leaves[0].count is '1', not a whole number; the file is damaged."),
        (("leaves", 0, "count"), 1.0, "FILE.leaves[0].count is 1.0, not a whole number; the file is damaged."),
        (("leaves", 0, "flag"), 1, "FILE.leaves[0].flag is 1, not true or false; the file is damaged."),
        (("leaves", 0, "number"), "1", "FILE.leaves[0].number is '1', not a number; the file is damaged."),
        (("leaves", 0, "number"), False, "FILE.leaves[0].number is False, not a number; the file is damaged."),
        (("leaves", 0, "number"), math.inf, "FILE.leaves[0].number is inf, not a number; the file is damaged."),
        (("leaves", 0, "limit"), "x", "FILE.leaves[0].limit is 'x', not a number; the file is damaged."),
        (("leaves", 0, "unit"), 5, "FILE.leaves[0].unit is 5, not a text; the file is damaged."),
        (("leaves", 0, "unit"), "0:5", "FILE.leaves[0].unit is '0:5'; write L0N5."),
        (("leaves", 0, "unit"), "L00N5", "FILE.leaves[0].unit is 'L00N5'; write L0N5."),
        (("leaves", 0, "unit"), " L0N5", "FILE.leaves[0].unit is ' L0N5'; write L0N5."),
        (("by_name",), [], "FILE.by_name is [], not a mapping; the file is damaged."),
        (("by_name", "k", 1, "count"), None, "FILE.by_name.k[1].count is None, not a whole number"),
        (("by_name", "k", 1), {"number": 1}, "FILE.by_name.k[1] lacks unit; the file is damaged"),
        (("child",), {"name": "a"}, "FILE.child lacks colour; the file is damaged"),
        (("child", "matrix"), [[0, 1], [2, "x" * 999]], "FILE.child.matrix[1][1] is 'xxx"),
        (("notes",), {"a": [{"b": math.inf}]}, "FILE.notes.a[0].b is inf, not JSON; the file is damaged."),
        (("notes",), 1, "FILE.notes is 1, not a mapping; the file is damaged."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(place: tuple[Any, ...], value: Any, sentence: str) -> None:
    with pytest.raises(NeuroglossError) as caught:
        from_json(Tree, _changed(place, value), "FILE")
    assert str(caught.value).startswith(sentence)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, [], "x", 7])
def test_what_is_no_mapping_at_all_is_refused(value: Any) -> None:
    with pytest.raises(NeuroglossError, match=r"FILE is .*, not a mapping; the file is damaged"):
        from_json(Tree, value, "FILE")


@pytest.mark.parametrize("text", ["5", "L1", "L1N", "N1", "L-1N2", "L1234567890N1", ""])
def test_what_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(NeuroglossError, match=r"FILE\.unit: .* is not a unit"):
        from_json(Leaf, {**LEAF, "unit": text}, "FILE")


@given(neurons)
def test_only_one_spelling_of_a_unit_is_read(unit: Unit) -> None:
    assert from_json(Leaf, {**LEAF, "unit": str(unit)}, "FILE").unit == unit
    for other in (f"{unit.place}:{unit.index}", f"{unit.place}/{unit.index}", f"{unit} "):
        with pytest.raises(NeuroglossError, match=f"; write {unit}."):
            from_json(Leaf, {**LEAF, "unit": other}, "FILE")


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        (Tree("a", Colour.RED, (), matrix=((0.5, -math.inf),)), "TREE.matrix[0][1] is -inf (float), which cannot be"),
        (Tree("a", Colour.RED, (), notes={"b": [0, {1, 2}]}), "TREE.notes.b[1] is {1, 2} (set), which cannot be"),
        (Tree("a", Colour.RED, (), notes={"b": Path("x")}), "TREE.notes.b is PosixPath('x') (PosixPath), which"),
        (Tree("a", Colour.RED, (), notes={"b": (math.inf,)}), "TREE.notes.b[0] is inf (float), which cannot be"),
        (
            Tree("a", Colour.RED, (), by_name={"k": (Leaf("x", Unit("N", 0, 0)),)}),  # type: ignore[arg-type]
            "TREE.by_name.k[0].number is 'x' (str), which cannot be written as a number.",
        ),
        (
            Tree("a", Colour.RED, (Leaf(0.5, Unit("N", 0, -1)),)),
            "TREE.leaves[0].unit is Unit(kind='N', place=0, index=-1, name='') (Unit), which cannot be written as a",
        ),
        (
            Tree("a", "green", ()),  # type: ignore[arg-type]
            "TREE.colour is 'green' (str), which cannot be written as one of the names of its kind.",
        ),
    ],
)
def test_what_cannot_be_written_is_said_with_its_place(tree: Tree, sentence: str) -> None:
    with pytest.raises(NeuroglossError) as caught:
        to_json(tree, "TREE")
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("depth", [200, 900, 5_000])
def test_deep_nests_are_one_sentence_at_worst(depth: int) -> None:
    nest: object = 1
    for _ in range(depth):
        nest = [nest]
    try:
        assert from_json(Tree, {**TREE, "notes": {"a": nest}}, "FILE")
    except NeuroglossError as error:
        assert "FILE" in str(error)  # noqa: PT017  # either is well
    with pytest.raises(NeuroglossError, match="nested too deeply"):
        to_json([nest] if depth > 1_000 else Tree("a", Colour.RED, (), notes={"a": _ring()}))


def _ring() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', '{"a": -Infinity}', "[1]", "7", "[" * 100_000])
def test_what_is_not_a_mapping_in_strict_json_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(NeuroglossError, match=r"x\.json"):
        read_json(tmp_path / "x.json")
    with pytest.raises(NeuroglossError, match=r"nowhere\.json cannot be read as JSON"):
        read_json(tmp_path / "nowhere.json")


# ------------------------------------------------------------------------------------------------------------ settings


def test_settings_are_read_as_by_their_own_reader() -> None:
    values = {"task": {"name": "mini-v1", "controls": {"a": {"x": [1, None]}}}, "budget": {"usd": 1.5}, "seed": 7}
    assert from_json(RunSettings, values, "config") == settings_from(RunSettings, values)
    with pytest.raises(NeuroglossError, match=r"config\.units\.places\[1\] is 'x', not a whole number"):
        from_json(RunSettings, {"units": {"places": [0, "x"]}}, "config")


# -------------------------------------------------------------------------------------------------------------- schema


def _resolved(part: Any, schema: dict[str, Any]) -> Any:
    return _resolved(schema["$defs"][part["$ref"].rpartition("/")[2]], schema) if "$ref" in part else part


def test_the_schema_says_what_is_read() -> None:
    schema = json_schema(Tree, Leaf)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["anyOf"] == [{"$ref": "#/$defs/Tree"}, {"$ref": "#/$defs/Leaf"}]
    number = {"anyOf": [{"type": "number"}, {"type": "null"}]}
    assert schema["$defs"]["Leaf"] == {
        "type": "object",
        "required": ["number", "unit"],
        "properties": {
            "number": number,
            "unit": {"$ref": "#/$defs/Unit"},
            "count": {"type": "integer", "default": 3},
            "flag": {"type": "boolean", "default": False},
            "limit": schema["$defs"]["Leaf"]["properties"]["limit"],
        },
    }
    properties = schema["$defs"]["Tree"]["properties"]
    assert schema["$defs"]["Tree"]["required"] == ["name", "colour", "leaves"]
    assert _resolved(properties["colour"], schema) == {"enum": ["red", "dark blue"], "type": "string"}
    assert properties["leaves"] == {"type": "array", "items": {"$ref": "#/$defs/Leaf"}}
    assert properties["matrix"]["items"] == {"type": "array", "items": number}
    assert properties["notes"]["type"] == "object"
    assert properties["notes"].get("additionalProperties", True) is True


@pytest.mark.slow
@given(trees)
def test_the_schema_accepts_what_is_written(tree: Tree) -> None:
    schema = json_schema(Tree)
    assert _accepts(schema, to_json(tree), schema)


def _accepts(part: Any, value: Any, schema: dict[str, Any]) -> bool:  # noqa: PLR0911
    """Whether a part of a schema accepts a value; each keyword that it may have is looked at."""
    if part is True:
        return True
    part = _resolved(part, schema)
    assert set(part) <= {"$schema", "$defs", "anyOf", "type", "properties", "required"} | {
        *("items", "additionalProperties", "enum", "pattern", "default")
    }
    if "anyOf" in part:
        return any(_accepts(option, value, schema) for option in part["anyOf"])
    kinds: dict[str, Any] = {"string": str, "integer": int, "number": int | float}
    kinds |= {"boolean": bool, "array": list, "object": dict}
    if part["type"] == "null" or value is None:
        return part["type"] == "null" and value is None
    accepted = isinstance(value, kinds[part["type"]]) and (part["type"] == "boolean") == isinstance(value, bool)
    if accepted and "enum" in part:
        return value in part["enum"]
    if accepted and isinstance(value, list):
        return all(_accepts(part["items"], item, schema) for item in value)
    if accepted and isinstance(value, dict):
        parts, others = part.get("properties", {}), part.get("additionalProperties", True)
        whole = set(part.get("required", ())) <= set(value)
        return whole and all(_accepts(parts.get(key, others), item, schema) for key, item in value.items())
    return accepted


@pytest.mark.parametrize("kind", [Results, Audit, Agreement, Standing])
def test_every_kind_of_results_has_a_schema(kind: type) -> None:
    assert set(json_schema(kind)["$defs"][kind.__name__]["properties"]) == {
        item.name for item in dataclasses.fields(kind)
    }


def test_a_schema_is_strict_json_even_where_a_default_is_nan() -> None:
    schema = json_schema(Calibration)
    assert schema["$defs"]["Calibration"]["properties"]["slope"]["default"] is None
    json.loads(dump(schema), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_the_types_know_nothing_of_pydantic() -> None:
    code = "import sys, harness.types; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
