"""Files of others: whatever they hold, what comes back is plain and bounded, or one sentence is."""

from __future__ import annotations

import json
import math
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.guards import parquet, reading
from harness.types import NeuroglossError

NESTED = 3000
ODD_JSON = {
    "number of 400 digits": "1" + "0" * 400,
    "number of 5000 digits": "[" + "1" * 5000 + "]",
    "number beyond 64 bits": '{"a": 9223372036854775808}',
    "infinity": '{"a": 1e999}',
    "NaN": '{"a": NaN}',
    "twice": '{"a": 1, "a": 2}',
    "nested lists": "[" * NESTED + "]" * NESTED,
    "nested mappings": '{"a":' * NESTED + "1" + "}" * NESTED,
    "nested a hundred times": "[" * 100 + "]" * 100,
    "cut short": '{"a": ',
    "empty": "",
}
ODD_YAML = {
    "date": "description: 2024-01-01",
    "bad date": "description: 2024-99-99",
    "time": "a: 2001-12-14t21:59:43.10-05:00",
    "binary": "a: !!binary aGVsbG8=",
    "python": "a: !!python/object/apply:os.system [true]",
    "set": "a: !!set {x, y}",
    "own tag": "a: !mine x",
    "mixed keys": "a: 1\n2: b\n",
    "key of true": "yes: 1",
    "key that is a list": "? [a, b]\n: c",
    "lone surrogate": 'a: "\\ud800"',
    "a hexadecimal number without end": "a: 0x" + "f" * 5000,
    "a key twice": "a: 1\nb: 2\na: 3",
    "a key twice, quoted": "a: {b: 1, 'b': 2}",
    "a key twice in a list": "- a: {b: 1}\n  a: {b: 1}",
    "an offset of days": "a: 2024-01-01 10:00:00 +99:00",
    "surrogate as key": '"\\udfff": 1',
    "recursive alias": "a: &a [*a]",
    "recursive mapping": "a: &a {b: *a}",
    "aliases that multiply": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
    "nested lists": "a: " + "[" * NESTED + "]" * NESTED,
    "deeper than the stack": "[" * 200_000,
    "nested blocks": "- " * NESTED + "x",
    "number of 5000 digits": "a: " + "1" * 5000,
    "number beyond 64 bits": "a: 0x" + "f" * 17,
    "two documents": "a: 1\n---\nb: 2\n",
    "merge": "a: &a {x: 1}\nb: {<<: [1]}",
    "value": "a: =\nb: {=: 1}",
    "control": "a: \x01",
    "cut short": "a: [1, ",
}


@pytest.mark.parametrize("text", ODD_JSON.values(), ids=ODD_JSON)
def test_odd_json_ends_in_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(NeuroglossError) as refusal:
        reading.json_of(path)
    assert str(path) in str(refusal.value)
    assert len(str(refusal.value)) < 400 + len(str(path))


@pytest.mark.parametrize("text", ODD_YAML.values(), ids=ODD_YAML)
def test_odd_yaml_ends_in_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(NeuroglossError) as refusal:
        reading.yaml_of(path)
    assert str(path) in str(refusal.value)
    assert len(str(refusal.value)) < 400 + len(str(path))


def test_ordinary_yaml_is_read() -> None:
    text = "a: &a [1, -2.5, .nan, yes, null, 'x']\nb: *a\nc: {d: \"é\\n日本\"}\n"
    document = reading.parsed_yaml(text, "x")
    assert document["c"] == {"d": "é\n日本"}
    assert document["a"] is document["b"]
    assert math.isnan(document["a"][2])


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 11)
    (tmp_path / "latin").write_bytes(b"\xff")
    for name, most in (("pipe", 10), ("large", 10), ("latin", 10), (".", 10), ("nowhere", 10), ("a\0b", 10)):
        with pytest.raises(NeuroglossError, match="cannot be read as text"):
            reading.text_of(tmp_path / name, most)
    with pytest.raises(NeuroglossError, match="no regular file"):
        reading.text_of(Path("/dev/zero"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.text() | JSON.map(json.dumps))
@example("1" * 20)
def test_any_text_is_json_of_ours_or_refused(text: str) -> None:
    with suppress(NeuroglossError):
        assert _is_plain(reading.parsed_json(text, "x"))


YAML_PIECES = st.sampled_from(
    [
        *"[]{}:,-?&*!|>'\"%@`# \n\t\x00\u2028\ud800a1.~=<",
        "<<",
        "!!",
        "&a",
        "*a",
        "---",
        "2024-01-01",
        "1_0",
        "0o7",
        "1:2",
        ".inf",
        "null",
        "yes",
    ]
)


@given(st.text() | st.lists(YAML_PIECES, max_size=30).map("".join))
def test_any_text_is_yaml_of_ours_or_refused(text: str) -> None:
    with suppress(NeuroglossError):
        assert _is_plain(reading.parsed_yaml(text, "x"))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


# ------------------------------------------------------------------------------------------------------------- Parquet

WANTED = {"text": pa.string(), "values": pa.list_(pa.float32())}


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = pa.table(
        {"text": ["a", "b"], "values": pa.array([[1.0], [2.0, 3.0]], pa.list_(pa.float32())), "more": [1, 2]}
    )
    pq.write_table(table, tmp_path / "x.parquet")
    read = parquet.table_of(tmp_path / "x.parquet", WANTED)
    assert read.to_pylist() == [{"text": "a", "values": [1.0]}, {"text": "b", "values": [2.0, 3.0]}]


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"text": ["a"]}),
        pa.table({"text": [1], "values": [[1.0]]}),
        pa.table({"text": ["a"], "values": pa.array([[1.0]], pa.list_(pa.float64()))}),
        pa.table({"text": ["a"], "values": ["b"]}),
    ],
)
def test_other_columns_are_refused(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(NeuroglossError, match=r"its column|it has not one column"):
        parquet.table_of(tmp_path / "x.parquet", WANTED)


@pytest.mark.slow
def test_a_small_file_that_decodes_to_much_is_refused_before_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    word = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), ["x" * 1_000_000])
    empty = pa.array([[]] * 5000, pa.list_(pa.float32()))
    pq.write_table(
        pa.table({"text": word, "values": empty}),
        path,
        compression="zstd",
        store_schema=False,
    )
    many = tmp_path / "y.parquet"
    pq.write_table(
        pa.table(
            {"text": pa.array([None] * 30_000_000, pa.string()), "values": pa.nulls(30_000_000, WANTED["values"])}
        ),
        many,
        store_schema=False,
    )
    for file in (path, many):
        assert file.stat().st_size < 200_000
        allocated = pa.total_allocated_bytes()
        with pytest.raises(NeuroglossError, match="decoded, it has more than"):
            parquet.table_of(file, WANTED, most=1 << 24)
        assert pa.total_allocated_bytes() - allocated < 1 << 26


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_refused_or_read(place: int, damage: bytes) -> None:
    content = bytearray(_FILE)
    place %= len(content)
    content[place : place + len(damage)] = damage
    path = _FOLDER / "damaged.parquet"
    path.write_bytes(content)
    with suppress(NeuroglossError):
        assert parquet.table_of(path, WANTED, most=1 << 20).num_columns == 2


_SCRATCH = tempfile.TemporaryDirectory(prefix="neurogloss-test-")  # not a fixture: a property makes one for each try
_FOLDER = Path(_SCRATCH.name)


def _written() -> bytes:
    values = pa.array([[1.0], [2.0, 3.0]] * 40, pa.list_(pa.float32()))
    pq.write_table(pa.table({"text": ["a", "b"] * 40, "values": values}), _FOLDER / "x.parquet")
    return (_FOLDER / "x.parquet").read_bytes()


_FILE = _written()


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert reading.json_of(tmp_path / "a.json") == {"a": 1}
