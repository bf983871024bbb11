"""A run goes through its units shard by shard, and what comes out does not tell how many there were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from harness import pipeline
from harness.results import unit_view
from harness.results.run import Results, read_run
from harness.tasks import frozen_records, splits
from harness.types import Record, Unit, UnitRecord
from tests.fixtures import Command

METHODS = "explainer=[max_activation,token_activation,token_lookup,oracle]"


def _run(neurogloss: Command, small: list[str], output: Path, *more: str) -> tuple[Path, Results]:
    status, _, err = neurogloss("run", *small, METHODS, "scores=[panel,detection]", f"output={output}", *more)
    assert status == 0, err
    return output / "latest", read_run(output / "latest")


def test_shards_leave_no_trace_in_results(
    neurogloss: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = ("model@scores.detection.model=fake", "track=jsonl")
    whole_folder, whole = _run(neurogloss, small, tmp_path / "whole", *judge)
    monkeypatch.setattr(pipeline, "UNITS_OF_A_SHARD", 2)
    monkeypatch.setattr(frozen_records, "UNITS_OF_A_PART", 1)
    monkeypatch.setattr(splits, "KEPT", 1)
    folder, results = _run(neurogloss, small, tmp_path / "shards", *judge)
    boards = [(place / "board.md").read_text().splitlines() for place in (whole_folder, folder)]
    assert [line for line in boards[0] if whole.created not in line] == [
        line for line in boards[1] if results.created not in line
    ]
    assert (results.rows, results.standings, results.run_id) == (whole.rows, whole.standings, whole.run_id)
    assert list(results.seconds) == list(whole.seconds)
    for name, stage in whole.usage.items():
        asked = stage.spent + stage.saved
        assert results.usage[name].spent + results.usage[name].saved == asked, name
    views = {view.unit: view for view in unit_view.read_all(folder)}
    assert views == {view.unit: view for view in unit_view.read_all(whole_folder)}
    assert list(views) == [str(unit) for unit in whole.task.units]
    for table in ("explanations", "simulations", "scores", "judgements"):
        first, second = (pq.read_table(place / f"{table}.parquet").to_pylist() for place in (whole_folder, folder))
        assert sorted(map(_place, first)) == sorted(map(_place, second))


def test_each_record_is_dealt_twice_in_a_run_of_many(
    neurogloss: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the stages and once for the dataset: reading and dealing is a good part of a run of thousands."""
    dealt: list[Unit] = []

    def deal(source: UnitRecord) -> Record:
        dealt.append(source.unit)
        return original(source)

    original = splits.deal
    monkeypatch.setattr(splits, "deal", deal)
    monkeypatch.setattr(splits, "KEPT", 1)
    _, results = _run(neurogloss, small, tmp_path, "model@scores.detection.model=fake")
    assert len(dealt) == 2 * len(results.task.units)


def _place(row: dict[str, Any]) -> str:
    return repr({name: value for name, value in row.items() if name != "explanation"})


def test_tables_that_a_failed_run_began_are_gone(
    neurogloss: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "UNITS_OF_A_SHARD", 2)
    output = tmp_path / "failing"
    status, _, err = neurogloss("run", *small, METHODS, f"output={output}", "budget.tokens=1")
    assert (status == 0, "budget" in err) == (False, True)
    assert [path.name for path in output.iterdir()] == ["store.sqlite"]
