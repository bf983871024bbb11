"""What the puzzles say of a simulator, wherever it was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.leaderboard import entries, trust
from harness.leaderboard.trust import Measurement
from harness.results.run import Results, write_run
from harness.types import Identity, Interval, SimulatorInfo

Make = Callable[..., Results]
INFO = SimulatorInfo("tuned", Identity("org/model", "r1", transport="prompt"), "prompt", 11, "v1")


def _enter(board: Path, results: Results, runs: Path) -> None:
    entries.add(write_run(runs, results, ""), board, {results.task.name: results.task.digest})


def test_what_nobody_measured_says_how_to(tmp_path: Path) -> None:
    expected = "not measured: neurogloss run task=puzzles-away-v1 simulator=tuned"
    assert trust.sentence(INFO, tmp_path, tmp_path) == expected


def test_an_entry_of_the_leaderboard_is_read(tmp_path: Path, board: Path, puzzle_results: Make) -> None:
    _enter(board, puzzle_results(info=INFO), tmp_path / "runs")
    expected = (
        "1.000 (1.000 to 1.000) given the truth, beats 100 % of near misses and 100 % of unrelated ones "
        "(puzzles-v1, 2 of 2 puzzles, digest feedfacefeed); "
        "not measured: neurogloss run task=puzzles-away-v1 simulator=tuned"
    )
    assert trust.sentence(INFO, None, board) == expected


def test_the_leaderboard_that_ships_is_asked_by_default(
    tmp_path: Path, board: Path, puzzle_results: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    _enter(board, puzzle_results(info=INFO), tmp_path / "runs")
    monkeypatch.setattr(trust, "shipped", {"leaderboard": board}.get)
    assert trust.sentence(INFO).startswith("1.000 ")


def test_a_run_in_the_same_folder_is_read_and_so_are_its_controls(
    tmp_path: Path, board: Path, puzzle_results: Make
) -> None:
    write_run(tmp_path / "runs", puzzle_results(info=INFO), "")
    assert trust.sentence(INFO, tmp_path / "runs", board).startswith("1.000 ")
    assert "given the truth" in trust.sentence(SimulatorInfo("chance"), tmp_path / "runs", board)
    assert trust.sentence(INFO, None, board).startswith("not measured")


@pytest.mark.parametrize(
    "change",
    [
        {"transport": "generated"},
        {"levels": 10},
        {"prompt_version": "v2"},
        {"identity": Identity("org/model", "r2", transport="prompt")},
        {"identity": None},
    ],
)
def test_another_simulator_is_another(
    tmp_path: Path, board: Path, puzzle_results: Make, change: dict[str, Any]
) -> None:
    _enter(board, puzzle_results(info=INFO), tmp_path / "runs")
    assert trust.sentence(replace(INFO, **change), None, board).startswith("not measured")


@pytest.mark.parametrize(
    "change",
    [
        {"note": "new"},
        {"name": "mine"},
        {"control": True},
        {"identity": Identity("/a/folder", "r1", transport="prompt")},
    ],
)
def test_a_note_or_another_name_of_it_or_of_its_model_makes_no_other_simulator(
    tmp_path: Path, board: Path, puzzle_results: Make, change: dict[str, Any]
) -> None:
    _enter(board, puzzle_results(info=INFO), tmp_path / "runs")
    assert trust.sentence(replace(INFO, **change), None, board).startswith("1.000")


@pytest.mark.parametrize("anonymous", [SimulatorInfo("mine"), replace(INFO, prompt_version="")])
def test_a_simulator_without_a_model_or_a_prompt_is_known_by_its_name(anonymous: SimulatorInfo) -> None:
    assert trust.key(anonymous) == trust.key(replace(anonymous, note="new"))
    assert trust.key(anonymous) != trust.key(replace(anonymous, name="other"))


def test_all_puzzles_count_before_some_and_newer_before_older(puzzle_results: Make) -> None:
    results = puzzle_results(info=INFO)

    def measurement(created: str, size: int, name: str = "puzzles-v1") -> Measurement:
        task = replace(results.task, size=size, name=name)
        return Measurement(created, task, results.simulators, results.truths)

    older, newer, partial = measurement("2025-01", 2), measurement("2025-02", 2), measurement("2025-03", 60)
    best = trust.best(INFO, [newer, older, partial], trust.HOME)
    assert best is not None
    assert best[0] is newer
    assert best[1].category == ""
    assert trust.scores(INFO, [newer, older, partial]) == (-math.inf, pytest.approx(1.0))
    assert trust.scores(SimulatorInfo("other"), [newer, older, partial]) == (-math.inf, -math.inf)
    alone = trust.best(INFO, [partial], trust.HOME)
    assert alone is not None
    assert alone[0] is partial
    assert trust.best(INFO, [measurement("2025-02", 2, "puzzles-v2")], trust.HOME) is None


def test_what_was_measured_away_stands_first(puzzle_results: Make) -> None:
    results = puzzle_results(info=INFO)
    home = Measurement("2025", results.task, results.simulators, results.truths)
    weaker = replace(results.truths[0], metrics={"correlation": Interval(0.4, 0.3, 0.5, 2)})
    away = Measurement("2024", replace(results.task, name=trust.AWAY), results.simulators, (weaker,))
    text = trust.in_words(INFO, [home, away])
    assert text.startswith("0.400 (0.300 to 0.500) given the truth (puzzles-away-v1, 2 of 2 puzzles")
    assert text.index("(puzzles-away-v1") < text.index("; 1.000 (1.000 to 1.000) given the truth")
    assert "not measured" not in text
    assert trust.scores(INFO, [home, away]) == (0.4, pytest.approx(1.0))


def test_a_simulator_that_failed_on_every_puzzle_has_no_score(puzzle_results: Make) -> None:
    results = puzzle_results(info=INFO)
    failed = replace(results.truths[0], metrics={"auroc": Interval(0.5, math.nan, math.nan, 1)}, scored=0)
    measurement = Measurement(results.created, results.task, results.simulators, (failed,))
    assert trust.in_words(INFO, [measurement]).startswith("no score (puzzles-v1, 0 of 2 puzzles); not measured")
    assert trust.scores(INFO, [measurement]) == (-math.inf, -math.inf)


def test_a_damaged_run_beside_it_does_not_matter(tmp_path: Path, board: Path, puzzle_results: Make) -> None:
    (tmp_path / "puzzles-v1-0").mkdir()
    (tmp_path / "puzzles-v1-0" / "results.json").write_text("{")
    write_run(tmp_path, puzzle_results(info=INFO), "")
    assert trust.sentence(INFO, tmp_path, board).startswith("1.000")


def test_a_run_of_another_version_says_nothing(tmp_path: Path, board: Path, puzzle_results: Make) -> None:
    path = write_run(tmp_path, puzzle_results(info=INFO), "") / "results.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    assert trust.sentence(INFO, tmp_path, board).startswith("not measured")


def test_a_run_says_nothing_of_a_simulator_beside_its_own(tmp_path: Path, board: Path, puzzle_results: Make) -> None:
    results = puzzle_results(info=INFO)
    mine = SimulatorInfo("mine", Identity("org/mine", "r9", transport="prompt"), "prompt", 11, "v1")
    measurement = Measurement("2025", results.task, (mine, *results.simulators), results.truths)
    assert trust.best(INFO, [measurement], trust.HOME) is None


def test_other_puzzles_of_the_same_name_say_nothing(
    tmp_path: Path, board: Path, puzzle_results: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "runs", puzzle_results(info=INFO), "")
    monkeypatch.setattr(trust, "puzzles_digest", lambda _: "0" * 64)
    assert trust.sentence(INFO, tmp_path / "runs", board).startswith("not measured")
