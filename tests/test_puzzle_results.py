from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from harness import puzzle_pipeline, results
from harness import puzzle_results as module
from harness.puzzle_results import PuzzleResults
from harness.puzzles import source
from harness.simulators.chance import Chance
from harness.types import NeuroglossError, Puzzle

Make = Callable[..., PuzzleResults]


@pytest.fixture
def puzzles(puzzle_source: Path) -> tuple[Puzzle, ...]:
    return source.read(puzzle_source / "puzzles.yaml")


def _write(tmp_path: Path, found: PuzzleResults, puzzles: tuple[Puzzle, ...]) -> Path:
    simulations = puzzle_pipeline.measure(Chance(), puzzles, 0.05).simulations
    every = {row.simulator.name: simulations for row in found.simulators}
    return module.write_run(tmp_path / "runs", found, "# Board\n", puzzles, every)


def test_what_is_written_is_read_back(tmp_path: Path, puzzle_results: Make, puzzles: tuple[Puzzle, ...]) -> None:
    found = puzzle_results()
    folder = _write(tmp_path, found, puzzles)
    assert folder.name == "puzzles-v1-feedfacecafe"
    assert (tmp_path / "runs" / "latest").resolve() == folder.resolve()
    document = json.loads((folder / "results.json").read_text())
    assert (document["kind"], document["schema_version"]) == ("puzzles", 1)
    again = module.read_run(folder)
    assert results.to_json(again) == results.to_json(module.compact(found))
    assert again.simulators[0].scores[0].rivals == found.simulators[0].scores[0].rivals
    assert math.isnan(again.simulators[1].summary.calibration_error)


def test_the_tables_hold_every_explanation_and_every_text(
    tmp_path: Path, puzzle_results: Make, puzzles: tuple[Puzzle, ...]
) -> None:
    folder = _write(tmp_path, puzzle_results(), puzzles)
    rows = pq.read_table(folder / "puzzles.parquet").to_pylist()
    assert len(rows) == 3 * 2 * 5
    first = rows[0]
    assert (first["simulator"], first["puzzle"], first["class"], first["truth"]) == (
        "oracle",
        "pets",
        "lexical",
        "true",
    )
    assert first["explanation"] == "the words dog and cat"
    assert (first["correlation"], first["auroc"], first["won"]) == (pytest.approx(1.0), 1.0, None)
    assert [row["truth"] for row in rows[1:5]] == ["near", "near", "near", "unrelated"]
    assert [row["won"] for row in rows[1:5]] == [1.0] * 4
    texts = pq.read_table(folder / "puzzle_simulations.parquet").to_pylist()
    assert len(texts) == 3 * 2 * 5 * 12
    assert texts[0]["tokens"] == list(puzzles[0].texts[0].tokens)
    assert texts[0]["levels"] == list(puzzles[0].texts[0].levels)
    assert len(texts[0]["simulated"]) == len(texts[0]["tokens"])
    assert pq.read_table(folder / "explanations.parquet").num_rows == 3 * 2
    assert set(pq.read_table(folder / "scores.parquet")["metric"].to_pylist()) == {"correlation", "truth", "difference"}


def test_runs_of_two_kinds_are_not_taken_for_each_other(
    tmp_path: Path, puzzle_results: Make, puzzles: tuple[Puzzle, ...]
) -> None:
    folder = _write(tmp_path, puzzle_results(), puzzles)
    assert results.kind_of(folder) == "puzzles"
    with pytest.raises(NeuroglossError, match="is a run of puzzles, and a run of neurons is wanted here"):
        results.read_run(folder)
    document = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**document, "schema_version": 9}))
    with pytest.raises(NeuroglossError, match="schema version 9, but this version reads 1"):
        module.read_run(folder)
    (folder / "puzzles.parquet").unlink()
    with pytest.raises(NeuroglossError, match=r"not a whole run: puzzles\.parquet is missing"):
        module.read_run(folder)
