"""``neurogloss batch``: a run by way of files equals a live one, whatever becomes of the files on their way."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.config.compose import composed
from harness.jobs import batch, run
from harness.types import NeuroglossError
from tests.fixtures import Command
from tests.models.conftest import Act, Loopback, _chat
from tests.models.server.test_model import copied, tokens

Answer = dict[str, Any]
EXPLAINER = ("explainer=[summary,max_activation]", "explainer_model=server", "explainer_model.server.name=tiny")
SIMULATOR = (
    "simulator=all_at_once",
    "model@simulator.all_at_once.model=server",
    "simulator.all_at_once.model.name=tiny",
)


def scripted(path: str, body: dict[str, Any]) -> Act:
    """A model that copies lines with a level by their words, and else explains by a number."""
    number = int(hashlib.sha256(json.dumps([body["messages"], body.get("seed")]).encode()).hexdigest(), 16) % 10
    if not body.get("logprobs"):
        return Act(_chat(f"the word number {number}"))
    text = copied(body, str(number))
    return Act(_chat(text, tokens(text)))


@pytest.fixture
def server() -> Iterator[Loopback]:
    loopback = Loopback()
    loopback.script = scripted
    yield loopback
    loopback.close()


@pytest.fixture
def settings(server: Loopback, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A run of two units whose explainer and simulator are on the server; its files are under the current folder."""
    monkeypatch.chdir(tmp_path)
    places = ("explainer_model.server", "simulator.all_at_once.model")
    urls = [f"{place}.base_url={server.url}" for place in places]
    kept = [text for text in small if not text.startswith(("explainer_model=", "simulator=", "output="))]
    return [*kept, *EXPLAINER, *SIMULATOR, *urls, "units.limit=2"]


def answers(path: Path, reply: Callable[[str, dict[str, Any]], Act] = scripted) -> list[Answer]:
    """What the provider of a batch makes of a file of requests."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {
            "custom_id": line["custom_id"],
            "response": {"status_code": act.status, "request_id": "r", "body": act.body},
            "error": None,
        }
        for line in lines
        for act in [reply(line["url"].removeprefix("/v1"), line["body"])]
    ]


def written(path: Path, lines: Sequence[Answer]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def done(neurogloss: Command, *arguments: str) -> str:
    status, out, err = neurogloss(*arguments)
    assert status == 0, err
    return out


def results(folder: Path) -> dict[str, Any]:
    """What a run says, but for when and how fast it was made."""
    document: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return {name: value for name, value in document.items() if name not in ("created", "seconds", "provenance")}


def test_a_run_by_batches_asks_nothing_and_equals_a_live_one(
    neurogloss: Command, settings: list[str], server: Loopback, tmp_path: Path
) -> None:
    done(neurogloss, "run", *settings, "output=live")
    sent = [json.dumps(body, sort_keys=True) for _, body in server.asked]
    done(neurogloss, "run", *settings, "output=live")  # whose usage says what was stored
    server.asked.clear()

    first = done(neurogloss, "batch", "write", *settings, "1.jsonl")
    assert re.search(
        r"3 requests written \(2 completions, 1 probes\).*simulations of 2 explanations will follow", first
    )
    answered = str(written(tmp_path / "answers-1", answers(Path("1.jsonl"))))
    assert "3 replies stored" in done(neurogloss, "batch", "read", answered)
    second = done(neurogloss, "batch", "write", *settings, "2.jsonl")
    assert "level readings" in second
    assert "will follow" not in second
    done(neurogloss, "batch", "read", str(written(tmp_path / "answers-2", answers(Path("2.jsonl")))))
    done(neurogloss, "run", *settings)

    assert server.asked == []
    lines = [line for name in ("1.jsonl", "2.jsonl") for line in Path(name).read_text().splitlines()]
    assert sorted(json.dumps(json.loads(line)["body"], sort_keys=True) for line in lines) == sorted(sent)
    by_batch, live = (results(Path(folder) / "latest") for folder in ("runs", "live"))
    ours = json.dumps(by_batch).replace('"runs', '"live').replace(by_batch["run_id"], live["run_id"])
    assert json.loads(ours) == live
    for name in ("explanations.parquet", "simulations.parquet", "scores.parquet"):
        assert (Path("runs/latest") / name).read_bytes() == (Path("live/latest") / name).read_bytes()


def test_candidates_are_compared_before_the_best_is_simulated(settings: list[str], server: Loopback) -> None:
    """Each round writes what the live run asks in the same stage, and nothing that a later reply makes needless."""
    drawn = [text for text in settings if not text.startswith("explainer=")]
    drawn += ["explainer=[summary]", "asking.candidates=2", "asking.temperature=0.7", "units.limit=1"]
    plan = run.prepare(composed("run", drawn))
    kinds = []
    for number in range(9):
        outcome = batch.write(plan, Path(f"{number}.jsonl"), lambda *_: None)
        if not outcome.kinds:
            break
        kinds.append(dict(outcome.kinds))
        batch.check(batch.read([written(Path("answers"), answers(Path(f"{number}.jsonl")))], Path("runs/store.sqlite")))
    assert kinds[0] == {"completions": 2}
    assert kinds[1] == {"probes": 1}
    assert kinds[2] == {"level readings": 2 * 4}  # two candidates on the calibration excerpts
    live = Loopback()
    try:
        live.script = scripted
        elsewhere = [text.replace(server.url, live.url) for text in drawn]
        run.run(run.prepare(composed("run", [*elsewhere, "output=live"])), [], lambda *_: None)
        assert sum(sum(kind.values()) for kind in kinds) == len(live.asked)
    finally:
        live.close()


def test_a_batch_that_came_back_in_part_goes_on(neurogloss: Command, settings: list[str], tmp_path: Path) -> None:
    said = done(neurogloss, "batch", "write", *settings, "1.jsonl")
    assert "The prices of explainer_model.server are unknown" in said
    first, second, probe = answers(Path("1.jsonl"))
    expired = {**second, "response": None, "error": {"code": "batch_expired", "message": "not run in time"}}
    answered = str(written(tmp_path / "answers", [first, expired, probe]))
    status, out, err = neurogloss("batch", "read", answered)
    assert status == 2
    assert f"{answered}, line 2: the request has failed (not run in time)." in out
    assert "2 replies stored" in out
    assert "1 lines hold no reply that can be used" in err
    again = done(neurogloss, "batch", "write", *settings, "2.jsonl")
    assert "of which 1 stand in earlier files too" in again
    assert "simulations of 1 explanations will follow" in again
    lines = [json.loads(line) for line in Path("2.jsonl").read_text().splitlines()]
    assert lines[0]["custom_id"] == second["custom_id"]
    assert len(lines) > 1  # simulations of the explanation that has come


def test_a_store_that_is_not_there_is_named(neurogloss: Command, tmp_path: Path) -> None:
    status, _, err = neurogloss("batch", "read", "answers.jsonl", "--store", str(tmp_path / "store.sqlite"))
    assert status == 2
    assert "so that no batch was written for it; see --store." in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kinds", "waiting", "sentence"),
    [
        ({"completions": 2, "probes": 1}, 2, "write again: simulations of 2 explanations will follow."),
        ({"probes": 1}, 0, "write again: readings of levels will follow the trial."),
        ({"level readings": 9}, 0, "and run, or write again to see that nothing is missing."),
        ({}, 0, "0 requests written: the store answers all of them"),
    ],
)
def test_what_comes_next_is_said(kinds: dict[str, int], waiting: int, sentence: str) -> None:
    assert sentence in batch._next_step(batch.Written((), kinds, 0, waiting))


def test_a_file_that_was_forgotten_is_asked_for(settings: list[str]) -> None:
    plan = run.prepare(composed("run", settings))
    with pytest.raises(NeuroglossError, match="end the command with a new file such as requests"):
        batch.write(plan, Path("units.limit=2"), lambda *_: None)
    assert not Path("runs").exists()
