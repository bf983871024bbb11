"""``neurogloss plan`` on a small task, with models that must not be asked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.jobs import estimate
from harness.types import Candidate, Explanation, Unit
from tests.fixtures import Command

_ROW = re.compile(r"(?P<stage>.+?) (?P<counts>\d+ \d+ \S+ \S+) (–|\S+ (s|min|h)) (?P<usd>\S+)")
METHODS = ("units.limit=2", "explainer=[token_activation,max_activation]")
FAKE = ("simulator=all_at_once", "model@simulator.all_at_once.model=fake")


def server(where: str, group: str) -> list[str]:
    """A server that is not there."""
    return [
        group,
        *(f"{where}.{setting}" for setting in ("name=tiny", "base_url=http://127.0.0.1:9/v1")),
        f"{where}.usd_per_million_prompt_tokens=2.0",
    ]


def plan(neurogloss: Command, arguments: list[str]) -> list[list[str]]:
    """The words of each line of a plan."""
    status, out, err = neurogloss("plan", *arguments)
    assert status == 0, err
    return [line.split() for line in out.splitlines()]


def rows_of(lines: list[list[str]]) -> dict[str, list[str]]:
    """The figures of each row, the time left out, by its stage."""
    names = ("explain", "simulate by", "score by", "all")
    rows = [(" ".join(line), _ROW.fullmatch(" ".join(line))) for line in lines]
    return {row["stage"]: [*row["counts"].split(), row["usd"]] for text, row in rows if row and text.startswith(names)}


def without(overrides: list[str], *groups: str) -> list[str]:
    return [text for text in overrides if text.partition("=")[0] not in groups]


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["all_at_once", "one_at_a_time"])
def test_a_run_on_servers_is_planned_by_stage_and_model(
    neurogloss: Command, small: list[str], tmp_path: Path, simulator: str
) -> None:
    where = f"simulator.{simulator}.model"
    servers = [
        *without(small, "explainer_model", "simulator"),
        f"simulator={simulator}",
        *server("explainer_model.server", "explainer_model=server"),
        *server(where, f"model@{where}=server"),
    ]
    lines = plan(neurogloss, [*servers, *METHODS, "budget.tokens=10"])
    rows = rows_of(lines)
    explain, simulate = rows["explain tiny"], rows[f"simulate by {simulator} tiny"]
    assert explain[:2] == ["2", "0"]
    assert int(simulate[0]) > 2
    assert float(rows["all"][-1]) == pytest.approx(float(explain[-1]) + float(simulate[-1]), abs=2e-4)
    assert any("budget.tokens" in line for line in lines)
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_judges_are_planned_as_they_are_asked(neurogloss: Command, small: list[str], tmp_path: Path) -> None:
    judged = [
        *without(small, "scores"),
        *METHODS,
        "scores=[panel,detection]",
        "model@scores.detection.model=fake",
        f"scores.detection.model.log={tmp_path / 'log'}",
    ]
    row = rows_of(plan(neurogloss, judged))["score by detection fake"]
    status, _, err = neurogloss("run", *judged)
    assert status == 0, err
    assert int(row[0]) == len((tmp_path / "log").read_text().split())


@pytest.mark.slow
def test_what_a_run_has_stored_is_not_planned_again(neurogloss: Command, small: list[str]) -> None:
    arguments = [*without(small, "simulator"), *METHODS, *FAKE]
    rows = rows_of(plan(neurogloss, arguments))
    assert int(rows["all"][0]) > 4
    status, _, err = neurogloss("run", *arguments)
    assert status == 0, err
    resumed = rows_of(plan(neurogloss, arguments))
    assert resumed["all"][:2] == ["0", rows["all"][0]]


@pytest.mark.slow
def test_all_that_choosing_among_candidates_asks_is_planned(
    neurogloss: Command, small: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    logged = [f"{where}.log={log}" for where in ("explainer_model.fake", "simulator.all_at_once.model")]
    overrides = [
        *without(small, "simulator"),
        *METHODS,
        *FAKE,
        *logged,
        "asking.candidates=3",
        "asking.temperature=0.7",
    ]
    rows = rows_of(plan(neurogloss, overrides))
    status, _, err = neurogloss("run", *overrides)
    assert status == 0, err
    assert int(rows["all"][0]) == len(log.read_text().split())


def test_a_candidate_that_may_be_chosen_is_planned_at_its_longest() -> None:
    candidates = (Candidate("a"), Candidate("abc"), Candidate("ab"))
    explanation = Explanation(Unit("N", 0, 0), text="a", candidates=candidates)
    assert estimate._longest(explanation).text == "abc"


def test_puzzles_are_planned(neurogloss: Command, tmp_path: Path) -> None:
    arguments = ["task=puzzles-v1", "task.limit=2", *FAKE, "explainer=[max_activation]", f"output={tmp_path / 'runs'}"]
    rows = rows_of(plan(neurogloss, arguments))
    assert list(rows) == ["simulate by all_at_once fake", "all"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.0, "0 s"), (59.4, "59 s"), (60.0, "1 min"), (7199.0, "120 min"), (9000.0, "2.5 h")],
)
def test_times_are_in_seconds_minutes_or_hours(seconds: float | None, text: str) -> None:
    assert estimate._duration(seconds) == text
