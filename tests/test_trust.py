from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import puzzle_leaderboard, results, trust
from harness.puzzle_results import PuzzleResults, compact
from harness.results import SimulatorInfo
from harness.types import Identity

Make = Callable[..., PuzzleResults]
INFO = SimulatorInfo("tuned", Identity("org/model", "r1", transport="prompt"), "prompt", 11, "v1")


def _run(runs: Path, found: PuzzleResults) -> None:
    folder = runs / f"puzzles-v1-{found.run_id}"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"kind": "puzzles", **results.to_json(compact(found))}))


def _entry(board: Path, found: PuzzleResults, folder: str = "entries/puzzles-v1") -> None:
    entry = puzzle_leaderboard.entry(found)
    (board / folder).mkdir(parents=True, exist_ok=True)
    (board / folder / entry.file).write_text(json.dumps(results.to_json(entry)))


def test_what_nobody_measured_says_how_to(tmp_path: Path) -> None:
    expected = "not measured: neurogloss run task=puzzles-v1 simulator=tuned"
    assert trust.sentence(INFO, tmp_path, tmp_path) == expected


@pytest.mark.parametrize("folder", ["entries/puzzles-v1", "puzzles-v1"])
def test_an_entry_of_the_leaderboard_is_found_in_a_checkout_and_in_a_wheel(
    tmp_path: Path, puzzle_results: Make, folder: str
) -> None:
    _entry(tmp_path, puzzle_results(info=INFO), folder)
    expected = (
        "1.000 (1.000 to 1.000) given the truth, beats 100 % of near misses and 100 % of unrelated ones "
        "(puzzles-v1, 2 of 2 puzzles, digest feedfacefeed)"
    )
    assert trust.sentence(INFO, None, tmp_path) == expected


def test_a_run_in_the_same_folder_is_found_and_so_are_its_controls(tmp_path: Path, puzzle_results: Make) -> None:
    _run(tmp_path, puzzle_results(info=INFO))
    assert trust.sentence(INFO, tmp_path, tmp_path / "none").startswith("1.000 ")
    assert "given the truth" in trust.sentence(SimulatorInfo("chance"), tmp_path, tmp_path / "none")
    assert trust.sentence(INFO, None, tmp_path / "none").startswith("not measured")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"transport": "generated"},
        {"levels": 10},
        {"prompt_version": "v2"},
        {"identity": Identity("org/model", "r2", transport="prompt")},
        {"identity": None},
    ],
)
def test_another_simulator_is_another(tmp_path: Path, puzzle_results: Make, change: dict[str, Any]) -> None:
    _entry(tmp_path, puzzle_results(info=INFO))
    other = dataclasses.replace(INFO, **change)
    assert trust.sentence(other, tmp_path, tmp_path).startswith("not measured")
    assert trust.file_name(other) != trust.file_name(INFO)


@pytest.mark.parametrize("change", [{"note": "new"}, {"identity": Identity("/a/folder", "r1", transport="prompt")}])
def test_a_note_or_another_place_of_its_model_makes_no_other_simulator(
    tmp_path: Path, puzzle_results: Make, change: dict[str, Any]
) -> None:
    _entry(tmp_path, puzzle_results(info=INFO))
    assert trust.sentence(dataclasses.replace(INFO, **change), tmp_path, tmp_path).startswith("1.000")


def test_all_puzzles_count_before_some_and_newer_before_older(puzzle_results: Make) -> None:
    def standing(created: str, size: int) -> trust.Standing:
        found = puzzle_results(info=INFO)
        return trust.Standing(created, dataclasses.replace(found.task, size=size), found.simulators)

    whole, newer, part = standing("2025-01", 2), standing("2025-02", 2), standing("2025-03", 60)
    best = trust.best(INFO, [newer, whole, part])
    assert best is not None
    assert best[0] is newer
    assert trust.score(INFO, [newer, whole, part]) == pytest.approx(1.0)
    assert trust.score(SimulatorInfo("other"), [newer, whole, part]) is None
    only = trust.best(INFO, [part])
    assert only is not None
    assert only[0] is part
    elsewhere = dataclasses.replace(newer, task=dataclasses.replace(newer.task, name="puzzles-v2"))
    assert trust.best(INFO, [elsewhere]) is None


def test_a_damaged_run_beside_it_does_not_matter(tmp_path: Path, puzzle_results: Make) -> None:
    (tmp_path / "puzzles-v1-0").mkdir()
    (tmp_path / "puzzles-v1-0" / "results.json").write_text("{")
    _run(tmp_path, puzzle_results(info=INFO))
    assert trust.sentence(INFO, tmp_path, tmp_path / "none").startswith("1.000")


def test_the_names_of_entries_are_the_simulators(tmp_path: Path) -> None:
    assert trust.file_name(SimulatorInfo("token_overlap")) == "token_overlap.json"
    assert trust.file_name(INFO).startswith("tuned-")
    assert "/" not in trust.file_name(SimulatorInfo("../evil"))
