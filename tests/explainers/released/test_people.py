"""People's explanations from the three kinds of file, and each mistake in one named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.explainers.released.people import People
from harness.types import NeuroglossError, Outcome, Role

ROWS = [
    {"neuron": "L0N1", "text": "rivers, lakes (and\nseas)", "annotator": "bo"},
    {"neuron": "0:1", "text": "water", "annotator": "al"},
    {"neuron": "L0N2", "text": ' "quoted" ', "annotator": "bo"},
]
HEAD = "neuron,text,annotator\n"


def saved(path: Path, rows: list[dict[str, str]]) -> str:
    if path.suffix == ".csv":
        cells = [",".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows]
        path.write_text("\ufeff" + "\r\n".join([",".join(rows[0]), *cells]), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_all_kinds_of_file_are_read(tmp_path: Path, evidence, suffix: str) -> None:
    people = People(saved(tmp_path / f"people{suffix}", ROWS))
    told = people.explain([evidence(2), evidence(1), evidence(3)])
    assert [(one.unit.index, one.text, one.annotator, one.outcome) for one in told] == [
        (2, '"quoted"', "bo", Outcome.OK),
        (1, "water", "al", Outcome.OK),
        (1, "rivers, lakes (and\nseas)", "bo", Outcome.OK),
        (3, "", "", Outcome.NOT_COLLECTED),
    ]


def test_one_annotator_can_be_chosen(tmp_path: Path, evidence) -> None:
    path = saved(tmp_path / "people.csv", ROWS)
    assert People(path, "bo").explain([evidence(1)])[0].text == "rivers, lakes (and\nseas)"
    assert People(path, "al").explain([evidence(2)])[0].outcome is Outcome.NOT_COLLECTED
    with pytest.raises(NeuroglossError, match="nothing by 'cy'; there are: al, bo"):
        People(path, "cy").explain([evidence(1)])


def test_the_order_of_rows_does_not_matter(tmp_path: Path, evidence) -> None:
    path = saved(tmp_path / "people.csv", ROWS[::-1])
    assert People(path).explain([evidence(1)])[0].annotator == "al"


def test_without_a_file_nothing_is_collected(evidence) -> None:
    assert People().explain([evidence()])[0].outcome is Outcome.NOT_COLLECTED
    assert People().role is Role.HUMAN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD + "L0N1,water\n", "line 2: annotator is empty"),
        (HEAD + "L0N1,water,al\nL0N2, ,al\n", "line 3: text is empty"),
        (HEAD + "12,water,al\n", "line 2: '12' is not a unit"),
        (HEAD + f"L0N{'9' * 5000},water,al\n", "line 2: .* is not a unit"),
        (HEAD + "L0N1,water, lakes,al\n", "line 2: there are more cells than columns"),
        ("neuron,text\nL0N1,water\n", "line 2: the columns must be neuron, text, annotator; found: neuron, text"),
        ("neuron,text,annotator,mood\nL0N1,water,al,good\n", "found: neuron, text, annotator, mood"),
        (HEAD + "L0N1,water,al\n0:1,lakes,al\n", "line 3: 'al' explains L0N1 a second time"),
        (HEAD + 'L0N1,"water,al\n', "cannot be read as csv"),
        ("", "holds no explanation; write a row for each, with neuron, text, annotator"),
        (HEAD, "holds no explanation"),
        ("neuron,text,annotator,text\nL0N1,water,al,lakes\n", "line 1: a column stands there twice"),
        ("neuron;text;annotator\nL0N1;water;al\n", "found: neuron;text;annotator"),
        (HEAD + f'L0N1,"{"x" * 200_000}",al\n', "cannot be read as csv.*field larger than"),
    ],
)
def test_a_mistake_in_a_csv_is_named_with_its_line(tmp_path: Path, evidence, content: str, message: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(content)
    with pytest.raises(NeuroglossError, match=message) as raised:
        People(str(path)).explain([evidence()])
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"neuron": "L0N1"\n', "line 1: this is not JSON"),
        (b'{"neuron": %s}' % (b"9" * 5000), "line 1: this is not JSON"),
        (b"[" * 100_000, "line 1: this is not JSON"),
        (b"\r\n", "holds no explanation"),
        (b"\n[1]\n", "line 2: a line must be a JSON object"),
        (b'{"neuron": "L0N1", "text": null, "annotator": "al"}\n', "line 1: text is empty or not a text"),
        (b'{"neuron": "L0N1", "text": "\xff", "annotator": "al"}\n', "cannot be read as JSON lines in UTF-8"),
    ],
)
def test_a_mistake_in_a_jsonl_is_named_with_its_line(tmp_path: Path, evidence, content: bytes, message: str) -> None:
    path = tmp_path / "people.jsonl"
    path.write_bytes(content)
    with pytest.raises(NeuroglossError, match=message):
        People(str(path)).explain([evidence()])


def test_files_that_are_not_there_or_of_no_known_kind(tmp_path: Path, evidence) -> None:
    with pytest.raises(NeuroglossError, match=r"nowhere\.csv does not exist; check human\.file"):
        People(str(tmp_path / "nowhere.csv"))
    for name, message in (("people.xlsx", "none of .csv, .jsonl, .parquet"), ("people.parquet", "cannot be read")):
        (tmp_path / name).write_text("neuron,text,annotator\n")
        with pytest.raises(NeuroglossError, match=message):
            People(str(tmp_path / name)).explain([evidence()])


@pytest.mark.parametrize("name", ["people.csv", "PEOPLE.CSV", "people.jsonl"])
def test_files_of_windows_are_read(tmp_path: Path, evidence, name: str) -> None:
    line = 'L0N1,"words (2012)",al' if "csv" in name.lower() else json.dumps(ROWS[1] | {"text": "words (2012)"})
    head = [HEAD.strip()] if "csv" in name.lower() else []
    (tmp_path / name).write_bytes(("\ufeff" + "\r\n".join([*head, line, ""])).encode())
    assert People(str(tmp_path / name)).explain([evidence(1)])[0].text == "words (2012)"


def test_odd_characters_are_kept_and_what_is_no_text_is_replaced(tmp_path: Path, evidence) -> None:
    odd = "\u202e<b>&\x00\x07 \U0001f30a\ud83d"
    path = saved(tmp_path / "people.jsonl", [{"neuron": "L0N1", "text": f"a{odd}b", "annotator": "al"}])
    assert People(path).explain([evidence(1)])[0].text == f"a{odd[:-1]}\ufffdb"


def test_neurons_that_are_not_asked_for_are_passed_over(tmp_path: Path, evidence) -> None:
    path = saved(tmp_path / "people.csv", [*ROWS, {"neuron": "L99N7", "text": "nothing here", "annotator": "al"}])
    assert [one.text for one in People(path).explain([evidence(2)])] == ['"quoted"']
