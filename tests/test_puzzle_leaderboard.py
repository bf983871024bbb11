from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import leaderboard, puzzle_results
from harness.puzzle_pipeline import measure
from harness.puzzle_results import PuzzleResults
from harness.puzzles import source
from harness.results import SimulatorInfo
from harness.simulators.chance import Chance
from harness.types import Identity, NeuroglossError

Make = Callable[..., PuzzleResults]
Add = Callable[..., Path]
DIGEST = "feedface" * 8
TUNED = SimulatorInfo("tuned", Identity("org/model", "r1", transport="prompt"), "prompt", 11, "v1", "trained on rules")


@pytest.fixture
def add(tmp_path: Path, puzzle_source: Path) -> Add:
    """Writes a run and enters it."""
    puzzles = source.read(puzzle_source / "puzzles.yaml")

    def entered(found: PuzzleResults) -> Path:
        simulations = measure(Chance(), puzzles, 0.05).simulations
        every = {row.simulator.name: simulations for row in found.simulators}
        folder = puzzle_results.write_run(tmp_path / "runs", found, "", puzzles, every)
        return leaderboard.add(folder, tmp_path / "board", {"puzzles-v1": DIGEST})

    return entered


def test_an_entry_is_named_by_its_simulator_and_is_valid(add: Add, puzzle_results: Make, tmp_path: Path) -> None:
    path = add(puzzle_results())
    assert path == tmp_path / "board" / "entries" / "puzzles-v1" / "oracle.json"
    entry = leaderboard.validate(path)
    assert isinstance(entry, leaderboard.PuzzleEntry)
    assert [row.simulator.name for row in entry.simulators] == ["oracle", "token_overlap", "chance"]
    assert add(puzzle_results(info=TUNED)) != path
    assert add(puzzle_results(run_id="b" * 12)) == path  # a later run of the same simulator takes its place


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provenance": {}}, "does not give 'neurogloss'"),
        (
            {"info": dataclasses.replace(TUNED, transport="")},
            "'tuned' does not say its name, its model's revision or how",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    add: Add, puzzle_results: Make, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(NeuroglossError, match=message):
        add(puzzle_results(**changes))


def test_only_whole_runs_on_the_published_puzzles_are_entered(add: Add, puzzle_results: Make) -> None:
    found = puzzle_results()
    with pytest.raises(NeuroglossError, match="covers 2 of the task's 60 puzzles"):
        add(dataclasses.replace(found, task=dataclasses.replace(found.task, size=60)))
    with pytest.raises(NeuroglossError, match="another one here"):
        add(dataclasses.replace(found, task=dataclasses.replace(found.task, digest="0" * 64)))


def _first(document: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = document["simulators"][0]
    return row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row["summary"]["metrics"]["correlation"].update(mean=0.5), "a mean of correlation"),
        (lambda row: row["summary"]["metrics"]["beats_near"].update(mean=0.5), "a mean of beats_near"),
        (lambda row: row["summary"]["metrics"].pop("auroc"), "a mean of auroc"),
        (lambda row: row["summary"].update(calibration_error=0.0), "another calibration error"),
        (lambda row: row["summary"].update(scored=1), "counts its puzzles wrongly"),
        (lambda row: row["classes"][0]["metrics"]["margin"].update(mean=0.1), "a mean of margin"),
        (lambda row: row["classes"].pop(), "rows of other classes"),
        (lambda row: row["scores"].reverse(), "scores of other puzzles"),
        (lambda row: row["scores"][0].update(correlation=1.5), "a correlation outside -1 to 1"),
        (lambda row: row["scores"][0].update(auroc=1.5), "a share outside 0 to 1"),
        (lambda row: row["scores"][0]["rivals"][0].update(won=0.0), "a win that its correlations do not bear out"),
        (lambda row: row["scores"][0].update(margin=0.1), "another margin than its correlations make"),
    ],
)
def test_a_boast_is_found(
    add: Add, puzzle_results: Make, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    path = add(puzzle_results())
    document = json.loads(path.read_text())
    change(_first(document))
    path.write_text(json.dumps(document))
    with pytest.raises(NeuroglossError, match=f"'oracle' .*{message}"):
        leaderboard.validate(path)


def test_an_entry_stands_under_its_own_name(add: Add, puzzle_results: Make) -> None:
    path = add(puzzle_results())
    with pytest.raises(NeuroglossError, match=r"belongs at puzzles-v1/oracle\.json"):
        leaderboard.validate(path.rename(path.with_name("better.json")))


def test_the_simulators_stand_above_with_their_controls_and_notes(
    add: Add, puzzle_results: Make, tmp_path: Path
) -> None:
    add(puzzle_results())
    add(puzzle_results(run_id="b" * 12, info=TUNED))
    leaderboard.build(tmp_path / "board")
    page = (tmp_path / "board" / "README.md").read_text().replace("\\", "")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows[2:]] == ["oracle", "tuned", "token_overlap", "chance"]
    assert [row[0] for row in rows[2:]] == ["| 1–2", "| 1–2", "| control", "| control"]
    assert rows[2][2:6] == ["1.000", "1.000 to 1.000", "100 %", "100 %"]
    assert "## Simulators: puzzles-v1" in page
    assert "* note: tuned: trained on rules" in page
    html = (tmp_path / "board" / "index.html").read_text()
    assert "Simulators: puzzles-v1" in html
    assert "beats near misses" in html


def test_a_control_that_was_run_by_itself_is_ranked_once(add: Add, puzzle_results: Make, tmp_path: Path) -> None:
    found = puzzle_results()
    add(found)
    own = dataclasses.replace(found.simulators[1], control=False)
    add(dataclasses.replace(found, run_id="c" * 12, simulators=(own, found.simulators[2])))
    leaderboard.build(tmp_path / "board")
    page = (tmp_path / "board" / "README.md").read_text().replace("\\", "")
    assert page.count("| token_overlap |") == 1
    (row,) = (line for line in page.splitlines() if "| token_overlap |" in line)
    assert row.split(" | ")[0].removeprefix("| ")[0].isdigit(), row


def test_the_schema_takes_an_entry(add: Add, puzzle_results: Make) -> None:
    schema = leaderboard.schema()
    assert {"$ref": "#/$defs/PuzzleEntry"} in schema["anyOf"]
    document = json.loads(add(puzzle_results()).read_text())
    assert set(schema["$defs"]["PuzzleEntry"]["required"]) == set(document)
