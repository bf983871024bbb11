"""The W&B tracker: what it logs is read back from the file that W&B wrote; it stays off the network unless asked."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.results.run import Results
from harness.results.vocabulary import TaskInfo
from harness.share.tracker import Tracker
from harness.share.wandb import WandbTracker, board_table, summary, unit_table
from harness.types import (
    Explanation,
    NeuroglossError,
    Outcome,
    Role,
    RowKey,
    ScoredExplanation,
    Scores,
    Unit,
    Usage,
)

UNITS = (Unit("N", 0, 7), Unit("N", 3, 1))
OFFLINE = WandbTracker(project="a-project", group="a-group", tags=["one", "two"])
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


def records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file: a LevelDB log (blocks of 32 KiB, chunks of checksum, length, type) of protobufs."""
    from wandb.proto import wandb_internal_pb2

    content, position, parts = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while position < len(content):
        if 32768 - position % 32768 < 7:  # no room for a chunk's header: the block's end is padding
            position += 32768 - position % 32768
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def items(updates: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in updates}


@pytest.mark.slow
def test_an_offline_run_holds_summary_config_and_tables(
    results: Results, tmp_path: Path, home: Path, server: Listener, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    state = set(threading.enumerate()), dict(os.environ)
    OFFLINE.check()
    OFFLINE.begun(results.run_id, results.config)
    OFFLINE.stage("explain")
    assert list(folder.iterdir()) == []
    where = OFFLINE.ended(results, folder)

    assert where is not None
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    assert Path(where) == path.parent
    logged = list(records(path))
    run = next(record.run for record in logged if record.HasField("run"))
    assert (run.project, run.run_group, list(run.tags)) == ("a-project", "a-group", ["one", "two"])
    assert run.display_name == "tiny-v1-0123456789ab"
    config = items(run.config.update)
    assert config["seed"] == 3
    assert config["simulator"] == {"model": {"api_key_env": "OPENAI_API_KEY"}}
    assert config["task_digest"] == "feedface"
    assert config["provenance"] == results.provenance

    final: dict[str, Any] = {}
    for record in logged:
        final |= items(record.summary.update)
    for name, value in summary([row.summary for row in results.rows]).items():
        assert final[name] == value
    assert final["words · tiny/all_at_once/correlation"] == 0.5
    files = {item.path for record in logged for item in record.files.files}
    for name, expected in (("units", unit_table(results)), ("board", board_table(results))):
        (media,) = (file for file in files if file.startswith(f"media/table/{name}"))
        assert json.loads((path.parent / "files" / media).read_text(encoding="utf-8")) == expected

    # nobody but us is told, and nobody but us is told of
    assert server.asked == []
    assert list(home.rglob("*")) == []
    assert (set(threading.enumerate()), dict(os.environ)) == state
    assert capfd.readouterr() == ("", "")
    assert platform.node().encode() not in path.read_bytes() or len(platform.node()) < 4
    assert sys.executable.encode() not in path.read_bytes()


def test_tables_keep_missing_cells_empty(results: Results) -> None:
    assert unit_table(results) == {
        "columns": [
            *("explainer", "method", "model", "simulator", "unit", "group", "explanation", "outcome"),
            *("correlation", "ablation"),
        ],
        "data": [
            [
                *("words · tiny", "words", "tiny", "all_at_once", "L0N7", "L0", 'tea, "coffee"\n\ufffd日', "ok"),
                *(0.5, None),
            ],
            ["words · tiny", "words", "tiny", "all_at_once", "L3N1", "L3", "", "refused", None, None],
            ["table", "table", "", "lookup", "L0N7", "L0", "", "empty", None, 0.1],
            ["table", "table", "", "lookup", "L3N1", "L3", "", "empty", None, 0.1],
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
    table = unit_table(results)
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert {row["unit"] for row in rows} == {"puzzle:pets", "puzzle:ing"}
    assert {row["group"] for row in rows} == {"puzzle:pets", "puzzle:ing"}
    assert {row["simulator"] for row in rows} == {"oracle", "token_overlap", "chance", "lookup"}


def test_it_is_a_tracker() -> None:
    assert isinstance(OFFLINE, Tracker)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"track\.wandb\.mode=offline or track\.wandb\.mode=online"):
        replace(OFFLINE, mode="onlin").check()


def test_online_needs_a_key_in_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    online = replace(OFFLINE, mode="online")
    online.check()
    with pytest.raises(NeuroglossError, match="MY_KEY is not set"):
        replace(online, api_key_env="MY_KEY").check()
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(NeuroglossError, match="WANDB_API_KEY is not set"):
        online.check()
    OFFLINE.check()


def test_without_wandb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    with pytest.raises(NeuroglossError, match=r"neurogloss\[wandb\]"):
        OFFLINE.check()


def test_a_server_that_refuses_is_one_sentence_without_the_key(
    results: Results, tmp_path: Path, home: Path, server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(NeuroglossError, match="W&B did not take the run") as refused:
        replace(OFFLINE, mode="online", api_key_env="MY_KEY").ended(results, tmp_path / "run")
    assert server.asked
    assert str(tmp_path / "run") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_secret_in_the_config_is_never_logged(results: Results, tmp_path: Path, home: Path) -> None:
    leaky = replace(results, config={"model": {"name": "sk-" + "abcdefghijklmnopqrstuv"}})
    with pytest.raises(NeuroglossError, match=r"model\.name"):
        OFFLINE.ended(leaky, tmp_path)
    assert list(tmp_path.iterdir()) == [home]
