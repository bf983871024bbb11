"""Trackers hear how far a run is, what it costs and its mean so far, and nothing of the run changes by that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.config.compose import composed
from harness.jobs import following
from harness.jobs import run as runs
from harness.jobs.following import Follower
from harness.results.run import Results, read_run
from harness.share.tracker import Moment, Tracker
from harness.types import LOOKUP, NeuroglossError, RowKey

TABLES = ("explanations.parquet", "simulations.parquet", "scores.parquet")


@dataclass
class Recorder:
    """A tracker that keeps what it hears, and can refuse to hear the end."""

    problem: str = ""
    heard: list[tuple[str, Any]] = field(default_factory=list)

    def check(self) -> None:
        pass

    def begun(self, run_id: str, config: Mapping[str, Any]) -> None:
        self.heard.append(("begun", run_id))

    def stage(self, name: str) -> None:
        self.heard.append(("stage", name))

    def progressed(self, moment: Moment) -> None:
        self.heard.append(("progressed", moment))

    def ended(self, results: Results, folder: Path) -> str | None:
        self.heard.append(("ended", results.run_id))
        return self._place("there")

    def failed(self, sentence: str) -> None:
        self.heard.append(("failed", sentence))
        self._place("")

    def _place(self, place: str) -> str:
        if self.problem:
            raise NeuroglossError(self.problem)
        return place

    @property
    def moments(self) -> list[Moment]:
        return [value for name, value in self.heard if name == "progressed"]


def quiet(stage: str, count: int, total: int) -> None:
    """Progress that nobody looks at."""


Track = Callable[..., None]


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch) -> Track:
    """Makes trackers follow every run, at every reply."""

    def track(**trackers: Tracker) -> None:
        monkeypatch.setattr(runs, "trackers_of", lambda settings: trackers)
        monkeypatch.setattr(runs, "Follower", partial(Follower, seconds=0.0))
        monkeypatch.setattr(following, "_SHARE", 1e12)  # the means are worked out whenever they can be

    return track


@pytest.fixture
def asking(small: list[str], tmp_path: Path) -> list[str]:
    """A run whose simulator asks a scripted model, and notes what it is asked."""
    return [
        *(*small, "explainer=[token_activation,shuffled,token_lookup]", "simulator=all_at_once", "units.limit=2"),
        *("model@simulator.all_at_once.model=fake", f"simulator.all_at_once.model.log={tmp_path / 'log'}"),
    ]


def finish(words: list[str]) -> Path:
    return runs.run(runs.prepare(composed("run", words)), words, quiet).folder


@pytest.mark.slow
def test_the_mean_so_far_grows_to_that_of_the_board_and_changes_nothing(
    asking: list[str], track: Track, tmp_path: Path
) -> None:
    plain = finish([*asking, f"output={tmp_path / 'plain'}"])
    recorder, log = Recorder(), (tmp_path / "log").read_text().splitlines()
    track(recorder=recorder)
    folder = finish([*asking, f"output={tmp_path / 'runs'}"])
    assert (tmp_path / "log").read_text().splitlines()[len(log) :] == log, "nothing is asked but what is asked anyway"
    for name in TABLES:
        assert (folder / name).read_bytes() == (plain / name).read_bytes()

    results = read_run(folder)
    rows = {row.key: row.summary for row in results.rows if row.key.simulator != LOOKUP}
    last = recorder.moments[-1]
    assert last.means.keys() == rows.keys()
    for row, running in last.means.items():
        assert running.units == rows[row].scored
        assert running.mean == pytest.approx(rows[row].metrics["correlation"].mean, abs=1e-12)
    assert last.spent.requests == len(log) + 2  # the readings, and two explanations
    row = RowKey("token_activation · fake", "all_at_once")
    units = [moment.means[row].units for moment in recorder.moments if row in moment.means]
    assert sorted(units) == units
    assert {1, 2} <= set(units)
    first = next(moment for moment in recorder.moments if row in moment.means)
    (unit, *_) = (item for item in results.scored[row] if item.scores.values)
    assert first.count < first.total
    assert first.means[row].mean == pytest.approx(unit.scores.values["correlation"], abs=1e-12)


@pytest.mark.slow
def test_stages_are_told_in_order_and_what_is_stored_counts_as_saved(asking: list[str], track: Track) -> None:
    finish(asking)
    recorder = Recorder()
    track(recorder=recorder)
    finish(asking)
    assert [name for name, _ in recorder.heard[:2]] == ["begun", "stage"]
    assert recorder.heard[-1][0] == "ended"
    stages = [name for event, name in recorder.heard if event == "stage"]
    assert stages == ["explain", "simulate by all_at_once", "score by panel", "summarise"]
    assert recorder.moments[-1].spent.requests == 0
    assert recorder.moments[-1].saved.prompt_tokens > 0
    assert recorder.moments[-1].means[RowKey("shuffled", "all_at_once")].units == 2


def test_a_failure_is_told_to_all_and_is_not_hidden_by_a_tracker_that_fails(
    small: list[str], track: Track, capfd: pytest.CaptureFixture[str]
) -> None:
    refusing, listening = Recorder("the disk is full"), Recorder()
    track(refusing=refusing, listening=listening)
    with pytest.raises(NeuroglossError, match="need at least two"):
        finish([*small, "explainer=shuffled", "units.limit=1"])
    for tracker in (refusing, listening):
        assert "need at least two" in tracker.heard[-1][1]
        assert [name for name, _ in tracker.heard].count("failed") == 1
    assert "neurogloss: the disk is full" in capfd.readouterr().err


def test_an_end_that_one_tracker_cannot_record_is_told_to_the_others(small: list[str], track: Track) -> None:
    refusing, listening = Recorder("the network is down"), Recorder()
    track(refusing=refusing, listening=listening)
    with pytest.raises(NeuroglossError, match="the network is down"):
        finish([*small, "explainer=max_activation"])
    assert listening.heard[-1][0] == "ended"
    assert "failed" not in {name for name, _ in (*refusing.heard, *listening.heard)}


def test_ctrl_c_is_told_as_such() -> None:
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt), Follower({"recorder": recorder}, quiet).following("a", {}):
        raise KeyboardInterrupt
    assert recorder.heard == [("begun", "a"), ("failed", "it was stopped")]


def test_between_first_and_last_replies_seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder, now = Recorder(), 0.0
    follower = Follower({"recorder": recorder}, quiet, seconds=5.0)
    monkeypatch.setattr(following.time, "monotonic", lambda: now)
    for count in range(100):
        now = count / 10
        follower.progress("explain, completions", count, 100)
    follower.progress("explain, completions", 100, 100)
    assert [moment.count for moment in recorder.moments] == [0, 50, 100]
