"""The W&B tracker: what it logs is read back from the file that W&B wrote; it stays off the network unless asked.

A run that is killed, with everything that it has started or without, and run again is one run there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.results.run import Results, read_run, write_run
from harness.results.tables import TABLES
from harness.results.vocabulary import TaskInfo
from harness.share.tracker import Moment, RunningMean, Tracker
from harness.share.wandb import WandbTracker
from harness.share.wandb_contents import HEAT_MAP, board_table, heat_map, heat_maps_of, plots, summary, unit_table
from harness.types import (
    LOOKUP,
    Excerpt,
    ExcerptKind,
    Explanation,
    NeuroglossError,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    SimulatedExcerpt,
    Simulation,
    Unit,
    Usage,
)
from tests.fixtures import Command
from tests.share.wandb_files import Logged, runs

UNITS = (Unit("N", 0, 7), Unit("N", 3, 1))
KEY = "0123456789" * 4
USAGE = Usage(prompt_tokens=10, completion_tokens=2, usd=0.25)


def scored(unit: Unit, text: str, scores: Scores, outcome: Outcome = Outcome.OK) -> ScoredExplanation:
    usage = USAGE if outcome is Outcome.OK else Usage()
    return ScoredExplanation(Explanation(unit, text, outcome=outcome, usage=usage), "", (), None, scores)


@pytest.fixture
def results(make_results: Callable[..., Results]) -> Results:
    words = (
        scored(UNITS[0], 'tea, "coffee"\n\ufffd日', Scores({"correlation": 0.5})),
        scored(UNITS[1], "", Scores({}, missing={"correlation": "refused"}), Outcome.REFUSED),
    )
    ablated = tuple(scored(unit, "", Scores({"ablation": 0.1}), Outcome.EMPTY) for unit in UNITS)
    return make_results(
        {"words · tiny": (Role.EXPLAINER, words), RowKey("table", "lookup"): (Role.CEILING, ablated)},
        run_id="tiny-v1-0123456789ab",
        task=TaskInfo("tiny-v1", "feedface", 2, UNITS),
        config={"seed": 3, "simulator": {"model": {"api_key_env": "OPENAI_API_KEY"}}},
        provenance={"neurogloss": "0.1.0", "git": None, "packages": {"numpy": "2"}},
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no setting of W&B from outside."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


class Listener(ThreadingHTTPServer):
    """A loopback server that refuses everything and remembers that it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refuse)
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Refuse(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """A server that W&B would ask if it asked any."""
    with Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", listener.url)
        yield listener
        listener.shutdown()
        thread.join()


def offline(folder: Path) -> WandbTracker:
    return WandbTracker(str(folder), project="a-project", group="a-group", tags=["one", "two"])


def moment(count: int, mean: float) -> Moment:
    means = {RowKey("words · tiny", "all_at_once"): RunningMean(mean, count)}
    return Moment("simulate by all_at_once, level readings", count, 9, 1.5, USAGE, Usage(stored=1), means)


def steps(logged: Logged) -> list[tuple[Any, Any]]:
    """The count and the running mean of each step that has them."""
    mean = "so_far/words · tiny/all_at_once/correlation"
    return [(row["run/count"], row[mean]) for row in logged.history if "run/count" in row]


@pytest.mark.slow
def test_an_offline_run_holds_progress_summary_config_tables_plots_and_artefacts(
    results: Results, tmp_path: Path, home: Path, server: Listener, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "runs", results, "")
    state = set(threading.enumerate()), dict(os.environ)
    tracker = offline(tmp_path / "runs")
    tracker.begun(results.run_id, results.config)
    tracker.stage("explain")
    tracker.progressed(moment(1, 0.25))
    tracker.progressed(moment(9, 0.5))
    where = tracker.ended(results, folder)

    (logged,) = runs(tmp_path / "runs")
    assert where == str(logged.path.parent)
    assert (logged.run.project, logged.run.run_group, list(logged.run.tags)) == ("a-project", "a-group", ["one", "two"])
    assert (logged.run.run_id, logged.run.display_name) == ("tiny-v1-0123456789ab", "run-tiny-v1-0123")
    assert logged.config["simulator"] == {"model": {"api_key_env": "OPENAI_API_KEY"}}
    assert (logged.config["seed"], logged.config["task_digest"]) == (3, "feedface")
    assert logged.config["provenance"] == results.provenance

    assert logged.history[0]["run/stage"] == "explain"
    assert steps(logged) == [(1, 0.25), (9, 0.5)]
    assert (logged.history[1]["run/tokens"], logged.history[1]["run/usd"]) == (12, 0.25)
    figures = {name: value for name, value in logged.summary.items() if not name.startswith("_")}
    expected = summary([row.summary for row in results.rows])
    assert {name: figures[name] for name in expected} == expected
    assert not any(name.startswith(("run/", "so_far/")) for name in figures)
    assert logged.exit_code == 0
    units = logged.table("units")
    place = units["columns"].index(HEAT_MAP)
    shown = [row.pop(place) for row in units["data"]]
    written = unit_table(results, {})
    assert [row.pop(place) for row in written["data"]] == [None] * 4  # nothing was simulated
    assert (units, shown) == (written, [None] * 4)
    assert logged.table("board") == board_table(results)
    for name, plot in plots(results).items():
        assert logged.table(f"{name}_table") == plot["table"]

    task, made = (item for item in logged.artifacts if item.type != "run_table")
    assert (task.type, task.name, task.use_after_commit) == ("task", "tiny-v1", True)
    assert (made.type, made.name, made.use_after_commit) == ("results", "tiny-v1-tiny-v1-0123", False)
    digests = [json.loads(item.metadata)[key] for item, key in ((task, "digest"), (made, "task_digest"))]
    assert digests == ["feedface", "feedface"]
    assert [entry.path for entry in made.manifest.contents] == sorted(["results.json", "board.md", *TABLES])

    # nobody but us is told, and nobody but us is told of
    assert server.asked == []
    assert list(home.rglob("*")) == []
    assert (set(threading.enumerate()), dict(os.environ)) == state
    assert capfd.readouterr() == ("", "")
    assert logged.run.host == ""
    assert sys.executable.encode() not in logged.path.read_bytes()
    assert not list((tmp_path / "runs" / "wandb").glob("*.jsonl"))


@pytest.mark.slow
def test_a_run_that_was_killed_and_one_that_failed_are_finished_and_resumed_as_one_run(
    results: Results, tmp_path: Path, home: Path
) -> None:
    for count, name in enumerate(("killed", "failed"), start=1):
        tracker = offline(tmp_path)
        tracker.begun(results.run_id, results.config)
        tracker.progressed(moment(count, count / 10))
        if name == "failed":
            tracker.failed("the model is down")
        else:
            closed_by_a_kill(tracker)
    attempts = runs(tmp_path)
    assert [(attempt.exit_code, attempt.summary["failed"]) for attempt in attempts] == [
        (1, "the process of the run was killed"),
        (1, "the model is down"),
    ]
    tracker = offline(tmp_path)
    tracker.begun(results.run_id, results.config)
    tracker.progressed(moment(9, 0.5))
    tracker.ended(results, write_run(tmp_path, results, ""))
    (logged,) = runs(tmp_path)
    assert (logged.run.run_id, logged.exit_code) == (results.run_id, 0)
    assert steps(logged) == [(1, 0.1), (2, 0.2), (9, 0.5)]
    assert "failed" not in logged.summary


def closed_by_a_kill(tracker: WandbTracker) -> None:
    """Close what the tracker speaks into, as a kill of its process does, and wait for the other end."""
    assert tracker._logging is not None
    process = tracker._logging._process
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)


@pytest.mark.slow
def test_a_killed_and_resumed_run_is_one_run_there(
    tiny_task: Path, tiny_llama: Path, tmp_path: Path, home: Path, neurogloss: Command
) -> None:
    """By the command, killed by SIGKILL in the middle of its readings with all that it has started."""
    words = [
        *(f"task.name={tiny_task.name}", f"task.path={tiny_task}", "subject=transformers"),
        *(f"subject.name={tiny_llama}", "explainer=[token_activation,shuffled]", "explainer_model=fake"),
        *("simulator=all_at_once", "model@simulator.all_at_once.model=fake", "scores=panel", "board.resamples=200"),
        *(f"simulator.all_at_once.model.{setting}" for setting in (f"log={tmp_path / 'log'}", "delay=0.2")),
        *(f"output={tmp_path / 'runs'}", "track=[wandb,jsonl]", "units.limit=2"),
    ]
    process = subprocess.Popen([sys.executable, "-m", "harness", "run", *words], stdout=subprocess.DEVNULL)
    wait_for(lambda: any("simulate" in row["run/stage"] for row in journal(tmp_path / "runs")), process)
    for pid in [process.pid, *descendants(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (attempt,) = runs(tmp_path / "runs")
    assert attempt.exit_code is None
    before = journal(tmp_path / "runs")
    status, _, error = neurogloss("run", *words)
    assert status == 0, error
    (logged,) = runs(tmp_path / "runs")
    assert (logged.run.run_id, logged.exit_code) == (read_run(tmp_path / "runs" / "latest").run_id, 0)
    assert [row.items() - logged.history[place].items() for place, row in enumerate(before)] == [set()] * len(before)
    assert_equal_to_results(logged, tmp_path / "runs" / "latest")


def journal(folder: Path) -> list[dict[str, Any]]:
    """What a run that goes on, or was killed, has logged so far."""
    lines = [line for path in folder.glob("wandb/*.jsonl") for line in path.read_text().splitlines(keepends=True)]
    return [json.loads(line) for line in lines if line.endswith("\n")]


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def descendants(pid: int) -> list[int]:
    """The processes that one has started, and those that these have."""
    children = [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [*children, *(child for each in children for child in descendants(each))]


def assert_equal_to_results(logged: Logged, folder: Path) -> None:
    """Every figure of a run as W&B has it is that of its results.json."""
    results = read_run(folder)
    expected = summary([row.summary for row in results.rows])
    assert expected == {name: logged.summary[name] for name in expected}
    board, units = logged.table("board"), logged.table("units")
    assert board == board_table(results)
    rows = [item for row in results.rows for item in row.scored]
    assert len(units["data"]) == len(rows)
    for cells, item in zip(units["data"], rows, strict=True):
        row = dict(zip(units["columns"], cells, strict=True))
        assert (row["unit"], row["explanation"]) == (str(item.unit), item.explanation.text)
        assert {name: row[name] for name in item.scores.values} == dict(item.scores.values)
    texts = logged.heat_maps()
    assert len(texts) == len({(item.unit, item.explanation.explainer) for item in rows if item.explanation.text})
    assert all("<b>real</b>" in text and "<b>simulated</b>" in text for text in texts)
    last = [step for step in logged.history if "run/count" in step][-1]
    for row in results.rows:
        if row.summary.simulator != LOOKUP:
            key = f"so_far/{row.summary.explainer}/{row.summary.simulator}"
            assert last[f"{key}/correlation"] == pytest.approx(row.summary.metrics["correlation"].mean, abs=1e-12)
            assert last[f"{key}/units"] == row.summary.scored


def test_tables_keep_missing_cells_empty(results: Results) -> None:
    assert unit_table(results, {}) == {
        "columns": [
            *("explainer", "method", "model", "simulator", "unit", "group", "explanation", "outcome"),
            *(HEAT_MAP, "correlation", "ablation"),
        ],
        "data": [
            [
                *("words · tiny", "words", "tiny", "all_at_once", "L0N7", "L0", 'tea, "coffee"\n\ufffd日', "ok"),
                *(None, 0.5, None),
            ],
            ["words · tiny", "words", "tiny", "all_at_once", "L3N1", "L3", "", "refused", None, None, None],
            ["table", "table", "", "lookup", "L0N7", "L0", "", "empty", None, None, 0.1],
            ["table", "table", "", "lookup", "L3N1", "L3", "", "empty", None, None, 0.1],
        ],
    }
    board = board_table(results)
    rows = [dict(zip(board["columns"], row, strict=True)) for row in board["data"]]
    assert [(row["explainer"], row["method"], row["model"], row["role"], row["simulator"]) for row in rows] == [
        ("words · tiny", "words", "tiny", "explainer", "all_at_once"),
        ("table", "table", "", "ceiling", "lookup"),
    ]
    assert (rows[0]["correlation"], rows[0]["correlation/low"], rows[0]["ablation"]) == (0.5, None, None)
    assert (rows[0]["tokens"], rows[0]["usd"], rows[0]["coverage"]) == (12, 0.25, 1.0)
    assert (rows[1]["ablation"], rows[1]["ablation/high"]) == (0.1, None)


def test_a_run_of_puzzles_has_a_row_for_each_simulator(puzzle_results: Callable[..., Results]) -> None:
    results = puzzle_results()
    figures = summary([row.summary for row in results.rows])
    assert figures["true/oracle/correlation"] == pytest.approx(1.0)
    assert {"true/chance/correlation", "near/oracle/correlation", "max_activation/oracle/difference"} <= set(figures)
    table = unit_table(results, {})
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {row["unit"] for row in rows} == {"puzzle:pets", "puzzle:ing"}
    assert {row["group"] for row in rows} == {"puzzle:pets", "puzzle:ing"}
    assert {row["simulator"] for row in rows} == {"oracle", "token_overlap", "chance", "lookup"}


def test_a_heat_map_has_real_above_simulated_of_the_strongest_excerpt() -> None:
    def row(real: list[float], simulated: list[float | None] | None) -> dict[str, Any]:
        return {"tokens": ["<b>", " tea", "\n"], "real": real, "simulated": simulated}

    real, levels = re.findall(
        r"<div.*?</div>", heat_map([row([0.5, 0, 0], [1, 1, 1]), row([0, 4, -2], [10, None, 0])]), re.DOTALL
    )
    assert re.findall(r'title="(.*?)"', real) == ["0", "4", "-2"]
    none, full, half_below = "rgba(220,38,38,0.00)", "rgba(220,38,38,1.00)", "rgba(37,99,235,0.50)"
    assert re.findall(r'background:(.*?)"', real) == [none, full, half_below]
    assert re.findall(r'background:(.*?)"', levels) == [full, "#ddd", none]
    assert "&lt;b&gt;" in real
    assert heat_map([row([1, 2, 3], None)]).count("#ddd") == 3


def test_heat_maps_are_spread_over_all_explanations(make_results: Callable[..., Results], tmp_path: Path) -> None:
    excerpts = [
        SimulatedExcerpt(split, Excerpt(("a",), (), (1.0,), ExcerptKind.TOP), Simulation((5.0,)), (1.0,))
        for split in ("calibration", "valid")
    ]
    items = tuple(
        replace(scored(Unit("N", 0, place), "x", Scores({})), simulated=tuple(excerpts[place == 3 :]))
        for place in range(10)
    )
    results = make_results({"x": (Role.EXPLAINER, items)})
    folder = write_run(tmp_path, results, "")
    maps = heat_maps_of(results, folder, 3)
    assert [place for _, place in maps] == [0, 3, 6]
    assert len(heat_maps_of(results, folder, 0)) == 0
    table = unit_table(results, maps)
    place = table["columns"].index(HEAT_MAP)
    assert [index for index, row in enumerate(table["data"]) if row[place]] == [0, 3, 6]


def test_plots_hold_the_headline_by_layer_and_against_cost(results: Results) -> None:
    by_layer, by_cost = plots(results)["score_by_layer"], plots(results)["score_against_cost"]
    assert by_layer["table"]["data"] == [[0, 0.5, "words · tiny / all_at_once"]]
    assert by_cost["table"]["data"] == [["words · tiny / all_at_once", 12, 0.25, 0.5]]


def test_it_is_a_tracker(tmp_path: Path) -> None:
    assert isinstance(offline(tmp_path), Tracker)


def test_unknown_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"track\.wandb\.mode=offline or track\.wandb\.mode=online"):
        replace(offline(tmp_path), mode="onlin").check()
    with pytest.raises(NeuroglossError, match=r"track\.wandb\.heat_maps is -1"):
        replace(offline(tmp_path), heat_maps=-1).check()


def test_online_needs_a_key_in_the_named_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    online = replace(offline(tmp_path), mode="online")
    online.check()
    with pytest.raises(NeuroglossError, match="MY_KEY is not set"):
        replace(online, api_key_env="MY_KEY").check()
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(NeuroglossError, match="WANDB_API_KEY is not set"):
        online.check()
    offline(tmp_path).check()


def test_without_wandb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(NeuroglossError, match=r"neurogloss\[wandb\]"):
        offline(tmp_path).check()


@pytest.mark.slow
def test_a_server_that_refuses_is_one_sentence_without_the_key(
    results: Results, tmp_path: Path, home: Path, server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    tracker = replace(offline(tmp_path), mode="online", api_key_env="MY_KEY")
    with pytest.raises(NeuroglossError, match=r"W&B did not take the run .*nothing was asked of a model") as refused:
        tracker.begun(results.run_id, results.config)
    assert server.asked
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_secret_in_the_config_is_never_logged(results: Results, tmp_path: Path, home: Path) -> None:
    with pytest.raises(NeuroglossError, match=r"model\.name"):
        offline(tmp_path).begun(results.run_id, {"model": {"name": "sk-" + "abcdefghijklmnopqrstuv"}})
    assert list(tmp_path.iterdir()) == [home]
