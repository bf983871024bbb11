"""The W&B tracker: what it logs is read back from the file that W&B wrote; it stays off the network unless asked."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from harness.results import ExplainerInfo, Results, SimulatorInfo, TaskInfo
from harness.track import TrackSettings, board_table, check, neuron_table, summary, track
from harness.types import (
    Explanation,
    Identity,
    Interval,
    NeuroglossError,
    NeuronId,
    Outcome,
    Role,
    ScoredExplanation,
    Scores,
    Summary,
    Usage,
)

NEURONS = (NeuronId(0, 7), NeuronId(3, 1))
MODEL = Identity("tiny-1M", "abc")
OFFLINE = TrackSettings(enabled=True, project="a-project", group="a-group", tags=["one", "two"])
KEY = "0123456789" * 4


def scored(neuron: NeuronId, text: str, scores: Scores, outcome: Outcome = Outcome.OK) -> ScoredExplanation:
    return ScoredExplanation(Explanation(neuron, "words", text, outcome=outcome), (), None, scores)


@pytest.fixture
def results() -> Results:
    good = Scores({"correlation": 0.5, "ablation": math.nan})
    none = Scores({}, missing={"correlation": "refused"})
    return Results(
        run_id="tiny-v1-0123456789ab",
        created="2025-01-02T03:04:05+00:00",
        task=TaskInfo("tiny-v1", "feedface", 2, NEURONS),
        subject=MODEL,
        simulator=SimulatorInfo("all_at_once", MODEL, "prompt", 11),
        explainers=(ExplainerInfo("words", Role.EXPLAINER, MODEL), ExplainerInfo("floor", Role.FLOOR)),
        summaries=(
            Summary(
                "words",
                Role.EXPLAINER,
                "all_at_once",
                {"correlation": Interval(0.5, math.nan, math.nan, 1)},
                neurons=2,
                scored=1,
                explain_usage=Usage(prompt_tokens=10, completion_tokens=2, usd=0.25),
            ),
            Summary("floor", Role.FLOOR, "all_at_once", {"ablation": Interval(0.1, 0.0, 0.2, 2)}, 2, 2),
        ),
        scored={
            "words": (
                scored(NEURONS[0], 'tea, "coffee"\n\ufffd日', good),
                scored(NEURONS[1], "", none, Outcome.REFUSED),
            ),
            "floor": (),
        },
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


def test_an_offline_run_holds_summary_config_and_tables(
    results: Results, tmp_path: Path, home: Path, server: Listener, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    before = set(threading.enumerate()), dict(os.environ)
    where = track(results, OFFLINE, folder)

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
    for name, value in summary(results.summaries).items():
        assert final[name] == value
    files = {kept.path for record in logged for kept in record.files.files}
    for name, expected in (("neurons", neuron_table(results.scored)), ("board", board_table(results.summaries))):
        (media,) = (file for file in files if file.startswith(f"media/table/{name}"))
        assert json.loads((path.parent / "files" / media).read_text(encoding="utf-8")) == expected

    # nobody but us is told, and nobody but us is told of
    assert server.asked == []
    assert list(home.rglob("*")) == []
    assert (set(threading.enumerate()), dict(os.environ)) == before
    assert capfd.readouterr() == ("", "")
    assert platform.node().encode() not in path.read_bytes() or len(platform.node()) < 4
    assert sys.executable.encode() not in path.read_bytes()


def test_tables_keep_missing_cells_empty(results: Results) -> None:
    assert neuron_table(results.scored) == {
        "columns": ["explainer", "neuron", "layer", "explanation", "outcome", "correlation", "ablation"],
        "data": [
            ["words", "L0N7", 0, 'tea, "coffee"\n\ufffd日', "ok", 0.5, None],
            ["words", "L3N1", 3, "", "refused", None, None],
        ],
    }
    board = board_table(results.summaries)
    rows = [dict(zip(board["columns"], row, strict=True)) for row in board["data"]]
    assert [row["explainer"] for row in rows] == ["words", "floor"]
    assert (rows[0]["correlation"], rows[0]["correlation/low"], rows[0]["ablation"]) == (0.5, None, None)
    assert (rows[0]["tokens"], rows[0]["usd"], rows[0]["coverage"]) == (12, 0.25, 0.5)
    assert (rows[1]["ablation"], rows[1]["ablation/high"]) == (0.1, 0.2)


def test_off_means_off(results: Results, tmp_path: Path) -> None:
    assert track(results, TrackSettings(mode="nonsense"), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(NeuroglossError, match=r"track\.mode=offline or track.mode=online"):
        check(replace(OFFLINE, mode="onlin"))


def test_online_needs_a_key_in_the_named_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    online = replace(OFFLINE, mode="online")
    check(online)
    with pytest.raises(NeuroglossError, match="MY_KEY is not set"):
        check(replace(online, api_key_env="MY_KEY"))
    monkeypatch.delenv("WANDB_API_KEY")
    with pytest.raises(NeuroglossError, match="WANDB_API_KEY is not set"):
        check(online)
    check(OFFLINE)


def test_without_wandb_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    check(TrackSettings())
    with pytest.raises(NeuroglossError, match=r"neurogloss\[wandb\]"):
        check(OFFLINE)


def test_a_server_that_refuses_is_one_sentence_without_the_key(
    results: Results, tmp_path: Path, home: Path, server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with pytest.raises(NeuroglossError, match="W&B did not take the run") as refused:
        track(results, replace(OFFLINE, mode="online", api_key_env="MY_KEY"), tmp_path / "run")
    assert server.asked
    assert str(tmp_path / "run") in str(refused.value)
    assert "\n" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_a_secret_in_the_config_is_never_logged(results: Results, tmp_path: Path, home: Path) -> None:
    leaky = replace(results, config={"model": {"name": "sk-" + "abcdefghijklmnopqrstuv"}})
    with pytest.raises(NeuroglossError, match=r"model\.name"):
        track(leaky, OFFLINE, tmp_path)
    assert list(tmp_path.iterdir()) == [home]
