"""The tracker of JSON lines: a line for each event of a run, whole whatever else is written, and no secret in any."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.results.run import Results
from harness.share.jsonl import JsonlTracker
from harness.share.tracker import Tracker
from harness.types import NeuroglossError, Role

Make = Callable[..., Results]
Command = Callable[..., tuple[int, str, str]]


def _lines(file: Path) -> list[dict[str, Any]]:
    def refused(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refused) for line in file.read_text().splitlines()]


def test_each_event_is_a_line_as_soon_as_it_happens(tmp_path: Path, make_results: Make) -> None:
    file = tmp_path / "track.jsonl"
    tracker = JsonlTracker(str(file))
    assert isinstance(tracker, Tracker)
    tracker.check()
    assert file.read_text() == ""
    tracker.begun("abc", {"seed": 0, "model": {"api_key_env": "OPENAI_API_KEY"}})
    assert [line["event"] for line in _lines(file)] == ["begun"]
    tracker.stage("explain")
    tracker.stage("simulate by tuned")
    assert [line.get("stage") for line in _lines(file)] == [None, "explain", "simulate by tuned"]
    results = make_results({"lonely": (Role.EXPLAINER, ())})  # without a single score
    assert tracker.ended(results, tmp_path / "run") == str(file)
    first, *_, last = _lines(file)
    assert first["config"] == {"seed": 0, "model": {"api_key_env": "OPENAI_API_KEY"}}
    assert (last["event"], last["folder"]) == ("ended", str(tmp_path / "run"))
    assert (last["rows"][0]["explainer"], last["rows"][0]["scored"]) == ("lonely", 0)
    assert {line["run_id"] for line in _lines(file)} == {"abc"}
    assert all(line["time"].endswith("+00:00") for line in _lines(file))


def test_rows_hold_the_figures_of_the_board(tmp_path: Path, make_results: Make) -> None:
    file = tmp_path / "track.jsonl"
    results = make_results()
    JsonlTracker(str(file)).ended(results, tmp_path)
    (line,) = _lines(file)
    assert [row["explainer"] for row in line["rows"]] == ["good · large", "bad", "shuffled"]
    assert line["rows"][0]["metrics"]["correlation"]["mean"] == pytest.approx(0.5)
    single = make_results({"x": (Role.EXPLAINER, results.rows[0].scored[:1])})
    JsonlTracker(str(file)).ended(single, tmp_path)
    assert math.isnan(single.rows[0].summary.metrics["correlation"].low)
    assert _lines(file)[1]["rows"][0]["metrics"]["correlation"]["low"] is None


def _write_many(file: str, name: str) -> None:
    tracker = JsonlTracker(file)
    tracker.begun(name, {"words": [name * 5000] * 20})  # longer than any buffer
    for number in range(50):
        tracker.stage(f"{number} " + name * 20_000)


def test_two_runs_at_once_leave_whole_lines(tmp_path: Path) -> None:
    file = tmp_path / "track.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(str(file), name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    lines = _lines(file)
    for name in "ab":
        stages = [line["stage"].split()[0] for line in lines if line["run_id"] == name and line["event"] == "stage"]
        assert stages == [str(number) for number in range(50)]
    assert len(lines) == 2 * 51


def test_a_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writes are not seen to mix on every machine, so that their number is what counts."""
    sizes: list[int] = []

    class Watched:
        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def write(self, content: bytes) -> None:
            sizes.append(content.count(b"\n"))

    def watch(_: Path, mode: str, buffering: int = -1) -> Watched:
        assert (mode, buffering) == ("ab", 0)
        return Watched()

    monkeypatch.setattr(Path, "open", watch)
    JsonlTracker(str(tmp_path / "x")).begun("a", {"long": "x" * 100_000})
    assert sizes == [1]


def test_what_stands_in_the_file_stays(tmp_path: Path, make_results: Make) -> None:
    file = tmp_path / "track.jsonl"
    JsonlTracker(str(file)).begun("first", {})
    tracker = JsonlTracker(str(file))
    tracker.check()
    tracker.begun("second", {})
    assert [line["run_id"] for line in _lines(file)] == ["first", "second"]


def test_a_file_that_cannot_be_written_is_refused_by_the_check(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"cannot be written .*set track\.jsonl\.file to another file"):
        JsonlTracker(str(tmp_path)).check()
    (tmp_path / "file").write_text("")
    with pytest.raises(NeuroglossError, match="cannot be written"):
        JsonlTracker(str(tmp_path / "file" / "track.jsonl")).check()


def test_a_secret_is_never_written(tmp_path: Path) -> None:
    file = tmp_path / "track.jsonl"
    secret = "sk-" + "abcdefghijklmnopqrstuv"
    with pytest.raises(NeuroglossError, match=r"model\.name") as refused:
        JsonlTracker(str(file)).begun("a", {"model": {"name": secret}})
    assert secret not in str(refused.value)
    assert not file.exists() or secret not in file.read_text()


def test_a_run_is_followed_by_every_tracker_that_it_names(
    tmp_path: Path, small: list[str], neurogloss: Command
) -> None:
    status, _, error = neurogloss("run", "track=[jsonl]", "explainer=[max_activation]", "units.limit=1", *small)
    assert status == 0, error
    lines = _lines(tmp_path / "runs" / "track.jsonl")
    events = [line["event"] for line in lines]
    assert (events[0], events[-1]) == ("begun", "ended")
    stages = [line["stage"] for line in lines if line["event"] == "stage"]
    assert stages[0] == "explain"
    assert {"simulate by token_overlap", "score by panel"} <= set(stages)
    assert (tmp_path / "runs" / "latest").resolve() == Path(lines[-1]["folder"]).resolve()


def test_an_unwritable_file_stops_a_run_before_any_work(tmp_path: Path, small: list[str], neurogloss: Command) -> None:
    status, _, error = neurogloss("run", "track=[jsonl]", f"track.jsonl.file={tmp_path}", *small)
    assert status == 2
    assert "set track.jsonl.file to another file" in error
    assert not list((tmp_path / "runs").glob("*/results.json"))
