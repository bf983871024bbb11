"""Tables of answers: what is written comes back, and bad rows are named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.humans.answers import Explained, Response
from harness.humans.exchange import tables
from harness.types import NeuroglossError

SUFFIXES = (".csv", ".jsonl", ".parquet")
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_answers_of_every_mode_and_corrections_come_back_as_they_were(tmp_path: Path, responses, suffix: str) -> None:
    path = tmp_path / f"answers{suffix}"
    tables.write(path, responses)
    assert tables.read(path).responses == tuple(responses)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@settings(max_examples=15)
@given(text=TEXTS, page=TEXTS, began=st.floats(0, 2e9), seconds=st.floats(0, 1e4), suffix=st.sampled_from(SUFFIXES))
def test_any_text_and_time_comes_back(tmp_path_factory, text, page, began, seconds, suffix) -> None:
    from tests.humans.exchange.conftest import Mode, answer_of

    made = answer_of(Mode.EXPLAIN)
    answer = replace(made.answer, payload=Explained(text, 1), page=page, shown_at=began, answered_at=began + seconds)
    path = tmp_path_factory.mktemp("any") / f"answers{suffix}"
    tables.write(path, [Response(answer, made.assignment)])
    assert tables.read(path).responses[0].answer == answer


def lines(path: Path, responses: list[Response]) -> list[dict]:
    tables.write(path, responses)
    return [json.loads(line) for line in path.read_text().splitlines()]


def broken(**changes: object):
    return lambda row: {**row, **changes}


BAD = {
    "confidence is 9": broken(payload={"text": "a", "confidence": 9}, mode="explain"),
    "random id, and keep apart": broken(annotator="ada@example.org"),
    "the mode is rate": broken(mode="rate"),
    "the difference is: place": lambda row: {name: value for name, value in row.items() if name != "place"},
    "is not a unit": broken(unit="neuron seven"),
    "already; keep one": broken(id="rate-0"),
    "no answer to its assignment": broken(id="new", corrects="rate-0"),
    "another question": broken(id="new", assignment="rate-assignment"),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_named_and_left_out_only_if_asked(tmp_path: Path, responses, reason: str) -> None:
    path = tmp_path / "answers.jsonl"
    rows = lines(path, responses)
    explained = next(place for place, row in enumerate(rows) if row["mode"] == "explain")
    rows.append(BAD[reason]({**rows[explained], "id": "new"}))
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(NeuroglossError, match=rf"answers.jsonl, line {len(rows)}.*{reason}"):
        tables.read(path)
    imported = tables.read(path, skip_bad=True)
    assert imported.responses == tuple(responses)
    assert len(imported.refused) == 1
    assert reason in imported.refused[0]


def test_a_line_that_is_no_json_is_one_bad_row(tmp_path: Path, responses) -> None:
    path = tmp_path / "answers.jsonl"
    tables.write(path, responses)
    path.write_text("{half\n[1]\n" + path.read_text())
    imported = tables.read(path, skip_bad=True)
    assert imported.responses == tuple(responses)
    assert ["line 1" in imported.refused[0], "line 2: a JSON object" in imported.refused[1]] == [True, True]


def test_csv_rows_are_named_by_the_line_on_which_they_begin(tmp_path: Path, responses) -> None:
    path = tmp_path / "answers.csv"
    tables.write(path, responses)
    path.write_text(path.read_text().replace(",5,", ",first,", 2))
    refused = tables.read(path, skip_bad=True).refused
    assert ["line 2.place is 'first'" in refused[0], "line 3.place" in refused[1]] == [True, True]
    assert "line 6: it corrects rate-0" in refused[2]
    path.write_text(path.read_text() + 'a,"b')
    with pytest.raises(NeuroglossError, match=r"answers.csv, line \d+: unexpected end of data"):
        tables.read(path, skip_bad=True)
    path.write_text(path.read_text().splitlines()[0] + "\n" + ",".join("a" * 14))
    with pytest.raises(NeuroglossError, match="line 2: the columns must be"):
        tables.read(path)


def test_hostile_and_foreign_files_are_refused_in_one_sentence(tmp_path: Path, responses) -> None:
    (tmp_path / "deep.jsonl").write_text("[" * 100_000)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "not.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "other.parquet")
    for name in ("deep.jsonl", "binary.csv", "not.parquet", "other.parquet", "missing.csv", "answers.xlsx"):
        with pytest.raises(NeuroglossError, match=name.replace(".", r"\.")):
            tables.read(tmp_path / name)
    with pytest.raises(NeuroglossError, match="ends in one of these"):
        tables.write(tmp_path / "answers.txt", responses)
